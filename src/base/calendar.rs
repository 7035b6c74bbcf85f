//! The civil calendar in UTC: moments as people write them.

use crate::base::time::Millis;
use crate::base::wire::decimal;

/// Year, month and day of a day counted from 1970-01-01 (the civil calendar, in eras of 400 years
/// that begin on 1 March, so that the leap day is a year's last).
pub fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The day of a date, counted from 1970-01-01; nothing if there is no such date.
fn day(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let year_of_era = shifted_year % 400;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (shifted_year / 400 * 146_097 + day_of_era).checked_sub(719_468)?;
    (date(days) == (year, month, day)).then_some(days)
}

/// `2026-11-21T10:45:00.123Z`
pub fn utc(moment: Millis) -> String {
    let (seconds, millis) = (moment.0 / 1000, moment.0 % 1000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Reads a moment: as `utc` writes it, with a space for the T, without the Z, the milliseconds,
/// the seconds or the time of day; or as seconds since 1970, with a fraction or not; or as 13
/// digits of milliseconds.
pub fn parse_utc(text: &str) -> Option<Millis> {
    let number = |text: &str| decimal(text.as_bytes());
    let thousandths = |digits: &str| {
        let three = digits.len() <= 3 && !digits.is_empty();
        three.then(|| number(&format!("{digits:0<3}"))).flatten()
    };
    let with_fraction = |text: &str| match text.split_once('.') {
        Some((whole, fraction)) => Some((number(whole)?, thousandths(fraction)?)),
        None => Some((number(text)?, 0)),
    };
    if !text.contains('-') {
        let (seconds, millis) = with_fraction(text)?;
        let is_millis = text.len() == 13 && !text.contains('.');
        return match is_millis {
            true => Some(Millis(seconds)),
            false => seconds.checked_mul(1000)?.checked_add(millis).map(Millis),
        };
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (days, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let mut parts = days.split('-').map(number);
    let days = day(parts.next()??, parts.next()??, parts.next()??)?;
    let mut times = time.split(':');
    let (hour, minute) = (number(times.next()?)?, number(times.next()?)?);
    let (second, millis) = with_fraction(times.next().unwrap_or("0"))?;
    if parts.next().is_some() || times.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(Millis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_778, (2026, 11, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected);
        }
        for days in 0..60_000 {
            let (year, month, of_month) = date(days);
            assert_eq!(day(year, month, of_month), Some(days));
        }
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        let moment = Millis(1_795_257_900_123);
        let text = utc(moment);
        assert_eq!(text, "2026-11-21T10:45:00.123Z");
        for (text, millis) in [
            (text.as_str(), 123),
            ("2026-11-21 10:45:00.123", 123),
            ("2026-11-21T10:45:00Z", 0),
            ("2026-11-21 10:45", 0),
            ("1795257900.123", 123),
            ("1795257900.1", 100),
            ("1795257900", 0),
            ("1795257900123", 123),
        ] {
            assert_eq!(parse_utc(text), Some(Millis(1_795_257_900_000 + millis)), "{text}");
        }
        assert_eq!(parse_utc("2026-11-21"), Some(Millis(20_778 * 86_400_000)));
        for bad in ["", "x", "2026", "-1", "2026-02-29", "2026-13-01", "2026-1", "1.2345", "1."] {
            assert!(parse_utc(bad).is_none() || bad == "2026", "{bad}");
        }
        for bad in ["2026-11-21T24:00", "2026-11-21T10:60", "2026-11-21T10", "2026-11-21-1 1:1"] {
            assert_eq!(parse_utc(bad), None, "{bad}");
        }
    }
}
