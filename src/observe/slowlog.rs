//! The slow log: a ring of commands that took long, with their arguments cut short.

use std::cmp::Reverse;
use std::collections::VecDeque;

/// Arguments that are kept of one command; the last place tells how many were left out.
const ARGUMENTS: usize = 32;
/// Bytes that are kept of one argument.
const BYTES: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowEntry {
    /// Its number; no two entries have the same.
    pub id: u64,
    /// When it ran: seconds since 1970.
    pub second: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Its arguments, cut short.
    pub args: Vec<Vec<u8>>,
    /// The client's address and port.
    pub peer: String,
    /// The client's name.
    pub client: String,
}

/// A slow command before it is known who sent it: the core that ran it may not know the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    second: u64,
    micros: u64,
    args: Vec<Vec<u8>>,
}

/// Which commands are kept: `slowlog-log-slower-than` and `slowlog-max-len`.
#[derive(Clone, Copy, Debug)]
pub struct SlowPolicy {
    /// Microseconds from which a command is slow; negative: none is.
    pub slower_than: i64,
    /// Entries that are kept.
    pub max_len: usize,
}

/// The slow log of one core. Numbers of entries advance by the number of cores, so that they stay
/// unique when the logs are shown together.
#[derive(Clone, Debug)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    next: u64,
    step: u64,
}

impl Slow {
    /// A command that ran at this second, for so many microseconds.
    pub fn new<'a>(
        second: u64,
        micros: u64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Slow {
        Slow { second, micros, args: shortened(args) }
    }
}

impl SlowPolicy {
    /// The microseconds from which commands are kept, if any are.
    pub fn least_micros(self) -> Option<u64> {
        u64::try_from(self.slower_than).ok().filter(|_| self.max_len > 0)
    }

    /// Is a command that took so many microseconds kept?
    pub fn keeps(self, micros: u64) -> bool {
        self.least_micros().is_some_and(|least| micros >= least)
    }
}

impl SlowLog {
    /// The log of core `core` out of `cores`.
    pub fn new(core: u16, cores: u16) -> SlowLog {
        SlowLog { entries: VecDeque::new(), next: u64::from(core), step: u64::from(cores.max(1)) }
    }

    /// Keeps the command, sent from this address by a client of this name, if the policy says so.
    pub fn add(&mut self, policy: SlowPolicy, slow: Slow, peer: &str, client: &str) {
        if !policy.keeps(slow.micros) {
            return;
        }
        self.entries.push_front(SlowEntry {
            id: self.next,
            second: slow.second,
            micros: slow.micros,
            args: slow.args,
            peer: peer.to_owned(),
            client: client.to_owned(),
        });
        self.next += self.step;
        self.entries.truncate(policy.max_len);
    }

    /// Entries, the latest first.
    pub fn entries(&self) -> impl Iterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    /// SLOWLOG LEN.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// SLOWLOG RESET; numbers go on.
    pub fn reset(&mut self) {
        self.entries.clear();
    }
}

/// The entries of several cores as one log: the latest first, `most` of them at most.
pub fn merged(mut entries: Vec<SlowEntry>, most: usize) -> Vec<SlowEntry> {
    entries.sort_by_key(|entry| Reverse((entry.second, entry.id)));
    entries.truncate(most);
    entries
}

fn shortened<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let total = args.len();
    let kept = if total > ARGUMENTS { ARGUMENTS - 1 } else { total };
    let mut out: Vec<Vec<u8>> = args.take(kept).map(shortened_argument).collect();
    if total > kept {
        out.push(format!("... ({} more arguments)", total - kept).into_bytes());
    }
    out
}

fn shortened_argument(arg: &[u8]) -> Vec<u8> {
    match arg.split_at_checked(BYTES) {
        Some((head, tail)) if !tail.is_empty() => {
            let mut out = head.to_vec();
            out.extend_from_slice(format!("... ({} more bytes)", tail.len()).as_bytes());
            out
        }
        _ => arg.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(log: &mut SlowLog, slower_than: i64, max_len: usize, micros: u64, args: &[&[u8]]) {
        let slow = Slow::new(micros, micros, args.iter().copied());
        log.add(SlowPolicy { slower_than, max_len }, slow, "1.2.3.4:5", "me");
    }

    #[test]
    fn the_policy_decides() {
        let cases = [(10, 128, 9, false), (10, 128, 10, true), (0, 1, 0, true)];
        let never = [(-1, 128, u64::MAX, false), (0, 0, 5, false)];
        for (slower_than, max_len, micros, kept) in cases.into_iter().chain(never) {
            let mut log = SlowLog::new(0, 1);
            add(&mut log, slower_than, max_len, micros, &[b"get"]);
            assert_eq!(log.len() == 1, kept, "{slower_than} {max_len} {micros}");
        }
    }

    #[test]
    fn it_is_a_ring_and_numbers_go_on() {
        let mut log = SlowLog::new(1, 4);
        for micros in 0..5 {
            add(&mut log, 0, 3, micros, &[b"ping"]);
        }
        let ids = |log: &SlowLog| log.entries().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(ids(&log), [17, 13, 9]);
        log.reset();
        assert!(log.is_empty());
        add(&mut log, 0, 3, 9, &[b"ping"]);
        assert_eq!(ids(&log), [21]);
    }

    #[test]
    fn long_commands_are_cut_short() {
        let long = vec![b'x'; 200];
        let exact = vec![b'y'; 128];
        let mut args: Vec<&[u8]> = vec![&long, &exact];
        let mut log = SlowLog::new(0, 1);
        add(&mut log, 0, 9, 1, &args);
        args.resize(32, b"a");
        add(&mut log, 0, 9, 2, &args);
        args.push(b"a");
        add(&mut log, 0, 9, 3, &args);
        let entries: Vec<&SlowEntry> = log.entries().collect();
        assert_eq!(entries[0].args.len(), 32);
        assert_eq!(entries[0].args[31], b"... (2 more arguments)");
        assert_eq!((entries[1].args.len(), entries[1].args[31].as_slice()), (32, &b"a"[..]));
        let cut = format!("{}... (72 more bytes)", "x".repeat(128));
        assert_eq!(entries[2].args, [cut.into_bytes(), exact]);
    }

    #[test]
    fn logs_of_several_cores_are_shown_by_time() {
        let (mut one, mut other) = (SlowLog::new(0, 2), SlowLog::new(1, 2));
        for second in [1, 4, 5] {
            add(&mut one, 0, 9, second, &[b"a"]);
        }
        for second in [2, 3, 5] {
            add(&mut other, 0, 9, second, &[b"a"]);
        }
        let all = one.entries().chain(other.entries()).cloned().collect();
        let shown: Vec<u64> = merged(all, 4).iter().map(|entry| entry.second).collect();
        assert_eq!(shown, [5, 5, 4, 3]);
    }
}
