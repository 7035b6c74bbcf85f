//! LATENCY GRAPH: the samples of one event as a drawing in four rows, with their age below.

use crate::observe::events::Events;

/// Rows of the drawing.
const ROWS: usize = 4;
/// What a column ends with, from low to high within its row.
const TIPS: [char; 3] = ['_', 'o', '#'];
/// Columns, one for each sample: the latest ones.
const COLUMNS: usize = 80;

/// The drawing of an event's samples; nothing if there are none. `now` is a unix second.
pub fn graph(events: &Events, name: &str, now: u64) -> Option<String> {
    let samples: Vec<(u64, u64)> = events.history(name).collect();
    let samples = samples.get(samples.len().saturating_sub(COLUMNS)..)?;
    let values = || samples.iter().map(|(_, millis)| *millis);
    let (low, high) = (values().min()?, values().max()?);
    let longest = events.latest().find(|(event, ..)| *event == name).map_or(high, |all| all.3);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {longest} ms)\n{}\n",
        "-".repeat(COLUMNS)
    );
    let span = (high - low).max(1);
    let steps = (ROWS * TIPS.len()) as u64;
    for row in (0..ROWS).rev() {
        let line = values().map(|millis| {
            let step = ((millis - low) * steps / span).min(steps - 1) as usize;
            match step.checked_sub(row * TIPS.len()) {
                None => ' ',
                Some(above) => TIPS.get(above).copied().unwrap_or('|'),
            }
        });
        push(&mut text, line.collect());
    }
    let ages: Vec<String> = samples.iter().map(|(second, _)| age(now, *second)).collect();
    let most = ages.iter().map(String::len).max().unwrap_or_default();
    text.push('\n');
    for at in 0..most {
        push(&mut text, ages.iter().map(|age| age.chars().nth(at).unwrap_or(' ')).collect());
    }
    Some(text)
}

fn push(text: &mut String, line: String) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// How long ago, in the largest unit of which it is at least one.
fn age(now: u64, second: u64) -> String {
    let seconds = now.saturating_sub(second);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_shows_height_and_age() {
        let mut events = Events::default();
        for (second, millis) in [(100, 10), (150, 22), (160, 16), (161, 13)] {
            events.add("command", second, millis, 1);
        }
        let drawn = graph(&events, "command", 165).unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "command - high 22 ms, low 10 ms (all time high 22 ms)");
        assert_eq!(&lines[2..6], [" #", " |_", " ||_", "_|||"]);
        assert_eq!(&lines[7..], ["1154", "m5ss", " s"]);
        assert!(graph(&events, "nothing", 165).is_none());
    }
}
