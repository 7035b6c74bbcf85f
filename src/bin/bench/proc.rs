//! What /proc says of a process and of the machine: parsers of its files, and a tree of processes.

use std::fs;

/// Of /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// User and system time, in clock ticks.
    pub own: u64,
    /// The same of children that have ended and been waited for.
    pub ended: u64,
    /// Resident pages.
    pub pages: u64,
}

/// Reads /proc/PID/stat, whose second field is a name in parentheses that may hold anything.
pub fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // The first field here is the third of the manual's table.
    let number = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    Some(Stat {
        own: number(14)? + number(15)?,
        ended: number(16)? + number(17)?,
        pages: number(24)?,
    })
}

/// Reads /proc/PID/smaps_rollup: bytes, with each shared page counted in parts.
pub fn parse_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Reads /proc/PID/io: bytes that went to a device, of ended children too.
pub fn parse_written(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

/// Reads /proc/stat: clock ticks in which these processors had work and the host of this virtual
/// machine ran something else.
pub fn parse_stolen(text: &str, cores: &[usize]) -> u64 {
    let of = |core: &usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")));
        line?.split_whitespace().nth(7)?.parse::<u64>().ok()
    };
    cores.iter().filter_map(of).sum()
}

/// Reads /proc/PID/task/TID/children.
pub fn parse_children(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Reads a list of processors such as `0,2-3`.
pub fn parse_cores(text: &str) -> Result<Vec<usize>, String> {
    let bad = || format!("{text:?} is not a list of cores such as 0,2-3");
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let low: usize = low.trim().parse().map_err(|_| bad())?;
        let high: usize = high.trim().parse().map_err(|_| bad())?;
        if low > high || high >= rustix::thread::CpuSet::MAX_CPU {
            return Err(bad());
        }
        cores.extend(low..=high);
    }
    Ok(cores)
}

/// Processes in a tree, the first one included; a fork that runs away is not followed further.
const TREE_MAX: usize = 64;

/// A process and all below it that live.
pub fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() && all.len() < TREE_MAX {
        let pid = all.get(at).copied().unwrap_or(root);
        at += 1;
        // A child belongs to the thread that forked it.
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(parse_children(&text));
        }
    }
    all
}

/// Seconds of CPU of the tree, of what has ended in it too.
pub fn cpu_seconds(root: u32) -> f64 {
    let mut ticks = 0;
    for pid in tree(root) {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ticks += parse_stat(&text).map_or(0, |stat| stat.own + stat.ended);
    }
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Seconds that the host has taken from these processors.
pub fn stolen_seconds(cores: &[usize]) -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    parse_stolen(&text, cores) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Bytes that the tree has had written to devices.
pub fn written(root: u32) -> u64 {
    let read = |pid| fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    tree(root).into_iter().filter_map(|pid| parse_written(&read(pid))).sum()
}

/// Resident bytes of the root alone: after a fork nearly all pages of a child are its parent's too.
pub fn resident(root: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{root}/stat")).unwrap_or_default();
    parse_stat(&text).map_or(0, |stat| stat.pages) * rustix::param::page_size() as u64
}

/// Proportional bytes of the tree: a page that two processes share counts once.
pub fn pss(root: u32) -> u64 {
    let read = |pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    tree(root).into_iter().filter_map(|pid| parse_pss(&read(pid))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 2 3 4 11 22 33 44 20 0 3 0 999 888 777 1";
        assert_eq!(parse_stat(stat), Some(Stat { own: 33, ended: 77, pages: 777 }));
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_pss("a-b ---p [rollup]\nRss: 9 kB\nPss:     12 kB\n"), Some(12 << 10));
        assert_eq!(parse_pss(""), None);
        let io = "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\n";
        assert_eq!(parse_written(io), Some(4096));
        let machine = "cpu  9 9 9\ncpu0 1 2 3 4 5 6 7 80 0 0\ncpu1 1 2 3 4 5 6 7 9 0 0\nintr 5\n";
        assert_eq!(parse_stolen(machine, &[1]), 9);
        assert_eq!(parse_stolen(machine, &[0, 1, 2]), 89);
        assert_eq!(parse_children("12 13 \n"), [12, 13]);
        assert_eq!(parse_cores("0,2-3"), Ok(vec![0, 2, 3]));
        for bad in ["", "a", "3-2", "0,", "99999"] {
            assert!(parse_cores(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("5").spawn().expect("sleep");
        let tree = tree(own);
        child.kill().expect("a child");
        child.wait().expect("its end");
        assert!(tree.contains(&own) && tree.contains(&child.id()), "{tree:?}");
        assert!(pss(own) > 100_000 && resident(own) > 100_000);
    }
}
