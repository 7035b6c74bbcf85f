//! Backups as a set: their names, and which of them stay. Pure.
//!
//! A backup is a data directory of its own, named after the moment when it was made:
//! `2026-11-21T10-45-00.123Z`. While it is being written its name ends in `.partial`.

use std::collections::BTreeSet;

use crate::base::calendar::{date, parse_utc, utc};
use crate::base::time::Millis;

/// How many backups stay: the last one of each of the latest hours, days and months that have one.
/// None of all three: every one stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Hours.
    pub hourly: usize,
    /// Days.
    pub daily: usize,
    /// Months.
    pub monthly: usize,
}

/// What the name of a backup ends in before it is complete.
pub const PARTIAL: &str = ".partial";

/// The name of the backup of a moment.
pub fn name(moment: Millis) -> String {
    utc(moment).replace(':', "-")
}

/// The moment that a name stands for, if it is exactly one that `name` gives.
pub fn moment(text: &str) -> Option<Millis> {
    let (day, time) = text.split_once('T')?;
    let moment = parse_utc(&format!("{day}T{}", time.replace('-', ":")))?;
    (name(moment) == text).then_some(moment)
}

/// Is this the name of a backup that was not completed?
pub fn is_partial(text: &str) -> bool {
    text.strip_suffix(PARTIAL).is_some_and(|text| moment(text).is_some())
}

/// Which of these backups are removed, the oldest first. The newest never is.
pub fn superfluous(backups: &[Millis], keep: Keep) -> Vec<Millis> {
    let all: BTreeSet<Millis> = backups.iter().copied().collect();
    if keep == Keep::default() {
        return Vec::new();
    }
    let mut stays: BTreeSet<Millis> = all.last().copied().into_iter().collect();
    const HOUR: u64 = 3_600_000;
    stays.extend(latest_of(&all, keep.hourly, |moment| moment.0 / HOUR));
    stays.extend(latest_of(&all, keep.daily, |moment| moment.0 / (24 * HOUR)));
    stays.extend(latest_of(&all, keep.monthly, |moment| {
        let (year, month, _) = date(moment.0 / (24 * HOUR));
        year * 12 + month
    }));
    all.difference(&stays).copied().collect()
}

/// The last one of each of the `count` latest periods that have one.
fn latest_of(
    all: &BTreeSet<Millis>,
    count: usize,
    period: impl Fn(Millis) -> u64,
) -> impl Iterator<Item = Millis> {
    let mut last = None;
    all.iter()
        .rev()
        .filter(move |moment| last.replace(period(**moment)) != Some(period(**moment)))
        .take(count)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn names() {
        let at = Millis(1_795_257_900_123);
        assert_eq!(name(at), "2026-11-21T10-45-00.123Z");
        assert_eq!(moment(&name(at)), Some(at));
        assert!(is_partial("2026-11-21T10-45-00.123Z.partial"));
        for bad in ["", "LOCK", "2026-11-21", "2026-11-21T10-45-00Z", "x.partial", "000042"] {
            assert!(moment(bad).is_none() && !is_partial(bad), "{bad}");
        }
    }

    /// What stays of one backup every ten minutes for a year.
    fn after_a_year(keep: Keep) -> Vec<String> {
        let mut backups: Vec<Millis> = Vec::new();
        for n in 0..6 * 24 * 365 {
            backups.push(Millis(1_767_225_600_000 + n * 600_000));
            let gone = superfluous(&backups, keep);
            backups.retain(|backup| !gone.contains(backup));
        }
        backups.iter().map(|backup| name(*backup)).collect()
    }

    #[test]
    fn hours_days_and_months_stay() {
        let stays = after_a_year(Keep { hourly: 3, daily: 2, monthly: 2 });
        let expected = [
            "2026-11-30T23-50-00.000Z",
            "2026-12-30T23-50-00.000Z",
            "2026-12-31T21-50-00.000Z",
            "2026-12-31T22-50-00.000Z",
            "2026-12-31T23-50-00.000Z",
        ];
        assert_eq!(stays, expected);
        let stays = after_a_year(Keep { hourly: 48, daily: 31, monthly: 0 });
        // Two of the days have all of their hours.
        assert_eq!(stays.len(), 48 + 29);
    }

    #[test]
    fn any_set() {
        for seed in 0..500 {
            let mut prng = Prng::new(seed);
            let any = |prng: &mut Prng| Millis(prng.below(40 * 86_400_000));
            let backups: Vec<_> = (0..prng.below(60)).map(|_| any(&mut prng)).collect();
            let keep = Keep {
                hourly: prng.below(5) as usize,
                daily: prng.below(5) as usize,
                monthly: prng.below(3) as usize,
            };
            let gone = superfluous(&backups, keep);
            assert!(
                backups.iter().max().is_none_or(|newest| !gone.contains(newest)),
                "seed {seed}"
            );
            let mut left = backups.clone();
            left.retain(|backup| !gone.contains(backup));
            // Once is enough: what stays, stays.
            assert_eq!(superfluous(&left, keep), [], "seed {seed}");
            let most = (keep.hourly + keep.daily + keep.monthly).max(1);
            assert!(keep == Keep::default() || left.len() <= most, "seed {seed}");
        }
        assert_eq!(superfluous(&[Millis(1), Millis(2)], Keep::default()), []);
    }
}
