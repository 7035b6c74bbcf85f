//! What clients know about the writes they sent, and what a crash may have left of them.

use std::time::{Duration, Instant};

/// Where the value of a line is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A string key.
    Key(String),
    /// A field of a hash.
    Field(&'static str, String),
    /// A list of the numbers from 1 on.
    List(String),
    /// The score of a member of a sorted set.
    Score(&'static str, String),
    /// A set of the numbers from 1 on.
    Set(String),
    /// A stream with the ids from 1-0 on.
    Stream(String),
    /// The deadline of a field of a hash, and the field.
    Deadline(&'static str, String),
    /// A library of functions.
    Library(String),
}

/// When one write was sent, and when somebody first knew that it had been done: by its reply, or
/// because another client read its effect.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Before its first byte left.
    pub sent: Instant,
    /// After the reply, or the reading, had arrived.
    pub known: Option<Instant>,
}

/// The writes to one place by one client: the n-th makes its value n.
#[derive(Clone, Debug)]
pub struct Line {
    /// The place.
    pub place: Place,
    base: i64,
    ops: Vec<Times>,
}

impl Line {
    /// A place that does not exist yet.
    pub fn new(place: Place) -> Line {
        Line { place, base: 0, ops: Vec::new() }
    }

    /// Notes that the next write is being sent; the value that it makes.
    pub fn send(&mut self) -> i64 {
        self.ops.push(Times { sent: Instant::now(), known: None });
        self.sent()
    }

    /// The value if all that was sent was done.
    pub fn sent(&self) -> i64 {
        self.base + self.ops.len() as i64
    }

    /// The highest value that anybody knows of.
    pub fn known(&self) -> i64 {
        let known = self.ops.iter().rposition(|op| op.known.is_some());
        known.map_or(self.base, |at| self.base + at as i64 + 1)
    }

    /// When somebody last came to know of a write.
    pub fn last_known(&self) -> Option<Instant> {
        self.ops.iter().filter_map(|op| op.known).max()
    }

    /// The writes that made `value` and what was before it are known from this moment on.
    pub fn know(&mut self, value: i64, when: Instant) {
        let count = usize::try_from(value - self.base).unwrap_or(0).min(self.ops.len());
        for op in self.ops[..count].iter_mut().rev() {
            if op.known.is_some_and(|before| before <= when) {
                break;
            }
            op.known = Some(when);
        }
    }

    /// Goes on from what survived.
    pub fn rebase(&mut self, survived: i64) {
        self.base = survived;
        self.ops.clear();
    }

    /// The last write that survived and the first that did not.
    fn edge(&self, survived: i64) -> (Option<Times>, Option<Times>) {
        let count = usize::try_from(survived - self.base).unwrap_or(0);
        (count.checked_sub(1).and_then(|n| self.ops.get(n).copied()), self.ops.get(count).copied())
    }
}

/// What has to be there after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Everything that anybody knew of (P1, P2).
    Known,
    /// A prefix over all lines (P3), and of it everything that was known this long before.
    Prefix(Instant, Duration),
}

impl Promise {
    /// The same when this was the last that anybody knew of. What may be lost is a stretch of what
    /// was acknowledged; how long the disk stood still after its end, with nothing more
    /// acknowledged, does not count.
    pub fn before(self, last: Option<Instant>) -> Promise {
        match (self, last) {
            (Promise::Prefix(cut, slack), Some(last)) => Promise::Prefix(cut.min(last), slack),
            _ => self,
        }
    }
}

/// Checks what survived; a text for each promise that was broken.
pub fn check(lines: &[(&Line, i64)], promise: Promise) -> Vec<String> {
    let mut broken = Vec::new();
    let mut latest: Option<(Instant, &Line)> = None;
    for &(line, survived) in lines {
        if survived > line.sent() || survived < line.base {
            let (base, sent) = (line.base, line.sent());
            broken.push(format!("{:?} is {survived}, not in {base}..={sent}", line.place));
        } else if let (Some(last), _) = line.edge(survived)
            && latest.is_none_or(|(sent, _)| sent < last.sent)
        {
            latest = Some((last.sent, line));
        }
    }
    let last = lines.iter().filter_map(|(line, _)| line.last_known()).max();
    for &(line, survived) in lines {
        let (_, Some(Times { known: Some(known), .. })) = line.edge(survived) else { continue };
        let age = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(known));
        let what = || {
            let place = &line.place;
            let most = line.known();
            format!(
                "{place:?}: {survived} survived, {most} was known, the next {age:?} before the end"
            )
        };
        match promise {
            Promise::Known => broken.push(what()),
            Promise::Prefix(cut, slack) if known + slack < cut => {
                broken.push(format!("{} for {:?} before the cut", what(), cut - known));
            }
            Promise::Prefix(..) => {}
        }
        if let Some((sent, later)) = latest
            && known < sent
        {
            let gap = sent - known;
            let later = &later.place;
            broken.push(format!("{}; a write to {later:?} {gap:?} later survived", what()));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, sent: i64, known: i64) -> Line {
        let mut line = Line::new(Place::Key(name.to_owned()));
        for _ in 0..sent {
            let value = line.send();
            if value <= known {
                line.know(value, Instant::now());
            }
        }
        line
    }

    #[test]
    fn a_known_write_that_is_gone_is_found() {
        let a = line("a", 10, 7);
        assert_eq!(a.known(), 7);
        for (survived, broken) in [(6, true), (7, false), (10, false), (11, true)] {
            assert_eq!(!check(&[(&a, survived)], Promise::Known).is_empty(), broken, "{survived}");
        }
    }

    #[test]
    fn a_read_makes_a_write_known() {
        let mut a = line("a", 10, 3);
        a.know(8, Instant::now());
        assert!(!check(&[(&a, 7)], Promise::Known).is_empty());
        assert!(check(&[(&a, 8)], Promise::Known).is_empty());
    }

    #[test]
    fn a_gap_before_a_survivor_is_found() {
        let (a, b) = (line("a", 5, 5), line("b", 5, 5));
        let far = Promise::Prefix(Instant::now(), Duration::from_secs(3600));
        for (left, right, broken) in [(5, 5, false), (3, 0, false), (4, 1, true), (5, 3, false)] {
            let found = check(&[(&a, left), (&b, right)], far);
            assert_eq!(!found.is_empty(), broken, "{left} {right} {found:?}");
        }
    }

    #[test]
    fn too_much_lost_is_found() {
        let a = line("a", 5, 5);
        let cut = Instant::now() + Duration::from_secs(10);
        let promise = |slack| Promise::Prefix(cut, Duration::from_secs(slack));
        assert!(!check(&[(&a, 4)], promise(3)).is_empty());
        assert!(check(&[(&a, 4)], promise(30)).is_empty());
    }

    #[test]
    fn what_survived_is_the_new_start() {
        let mut a = line("a", 5, 5);
        a.rebase(5);
        assert_eq!(a.send(), 6);
        assert!(!check(&[(&a, 4)], Promise::Known).is_empty());
        assert!(check(&[(&a, 5)], Promise::Known).is_empty());
    }
}
