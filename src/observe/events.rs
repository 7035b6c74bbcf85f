//! LATENCY LATEST, HISTORY and RESET: the last slow events of each kind.

use std::collections::{BTreeMap, VecDeque};

/// Samples that are kept for each event, as in Redis.
const SAMPLES: usize = 160;

/// The samples of one event, oldest first: unix second and milliseconds.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<(u64, u64)>,
    longest: u64,
}

/// Slow events by name (`command`, `fast-command`, `aof-fsync-always`, ...).
#[derive(Clone, Debug, Default)]
pub struct Events {
    by_name: BTreeMap<&'static str, History>,
}

impl Events {
    /// Keeps an event that took `millis`, if `threshold` (0: none is kept) asks for it.
    pub fn add(&mut self, name: &'static str, second: u64, millis: u64, threshold: u64) {
        if threshold == 0 || millis < threshold {
            return;
        }
        let history = self.by_name.entry(name).or_default();
        history.longest = history.longest.max(millis);
        match history.samples.back_mut() {
            // Within one second only the longest is kept.
            Some(last) if last.0 == second => last.1 = last.1.max(millis),
            _ => history.samples.push_back((second, millis)),
        }
        if history.samples.len() > SAMPLES {
            history.samples.pop_front();
        }
    }

    /// For each event its name, last second, last milliseconds, and the longest ever.
    pub fn latest(&self) -> impl Iterator<Item = (&'static str, u64, u64, u64)> {
        self.by_name.iter().filter_map(|(name, history)| {
            let (second, millis) = *history.samples.back()?;
            Some((*name, second, millis, history.longest))
        })
    }

    /// The samples of one event, oldest first.
    pub fn history(&self, name: &str) -> impl Iterator<Item = (u64, u64)> {
        self.by_name.get(name).into_iter().flat_map(|history| history.samples.iter().copied())
    }

    /// Forgets one event; says whether there was one.
    pub fn reset(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// Forgets all; says how many there were.
    pub fn reset_all(&mut self) -> usize {
        std::mem::take(&mut self.by_name).len()
    }

    /// Adds the events of another core.
    pub fn merge(&mut self, other: &Events) {
        for (name, history) in &other.by_name {
            let mine = self.by_name.entry(name).or_default();
            mine.longest = mine.longest.max(history.longest);
            mine.samples.extend(&history.samples);
            mine.samples.make_contiguous().sort_unstable();
            let over = mine.samples.len().saturating_sub(SAMPLES);
            mine.samples.drain(..over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_below_the_threshold_are_not_kept() {
        let mut events = Events::default();
        events.add("command", 1, 99, 100);
        events.add("command", 1, 99, 0);
        assert_eq!(events.latest().count(), 0);
        events.add("command", 1, 100, 100);
        events.add("command", 1, 300, 100);
        events.add("command", 1, 200, 100);
        events.add("command", 2, 150, 100);
        assert_eq!(events.latest().collect::<Vec<_>>(), [("command", 2, 150, 300)]);
        assert_eq!(events.history("command").collect::<Vec<_>>(), [(1, 300), (2, 150)]);
        assert_eq!(events.history("none").count(), 0);
        assert!(events.reset("command") && !events.reset("command"));
    }

    #[test]
    fn history_is_bounded_and_merged_by_time() {
        let (mut one, mut other) = <(Events, Events)>::default();
        for second in 0..1000 {
            let events = if second % 2 == 0 { &mut one } else { &mut other };
            events.add("fork", second, 1 + second, 1);
        }
        one.merge(&other);
        let seconds: Vec<u64> = one.history("fork").map(|(second, _)| second).collect();
        assert_eq!(seconds, (1000 - SAMPLES as u64..1000).collect::<Vec<_>>());
        assert_eq!(one.reset_all(), 1);
    }
}
