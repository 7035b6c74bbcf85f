//! Every kind of damage, in samples; all of it with `BASALT_LONG=1`. `BASALT_DAMAGE=TEXT` leaves
//! out what is not called so, to repeat what a failure names: `"shard-003.base.aof, byte 69153,"`.

use super::*;
use crate::base::prng::Prng;

fn long() -> bool {
    std::env::var_os("BASALT_LONG").is_some()
}

/// Where a long run stands: it takes an hour.
fn report(test: &str, ground: &Ground, started: Instant) {
    let Tally { cases, refused, whole, cut, taken_for_the_end } = &ground.tally;
    eprintln!(
        "{test}: {cases} cases over {} bytes: {refused} refused, {whole} whole, {cut} cut, \
         {taken_for_the_end} taken for the end, in {:?}",
        ground.sample.bytes(),
        started.elapsed()
    );
}

/// Runs cases until there are too many that fail.
struct Run {
    ground: Ground,
    failed: Vec<String>,
    started: Instant,
    /// Only what has this in its name.
    only: Option<String>,
}

impl Run {
    fn new(left: Left) -> Run {
        let only = std::env::var("BASALT_DAMAGE").ok();
        Run { ground: Ground::new(left), failed: Vec::new(), started: Instant::now(), only }
    }

    fn case(&mut self, what: &str, kind: Kind, changes: &Changes) {
        if self.only.as_ref().is_some_and(|only| !what.contains(only)) {
            return;
        }
        if let Err(why) = self.ground.judge(what, kind, changes) {
            self.failed.push(why);
            assert!(self.failed.len() < 10, "{:#?}", self.failed);
        }
    }

    fn damage(&mut self, what: &str, changes: &Changes) {
        self.case(what, Kind::Damage, changes);
    }

    fn paths(&self) -> Vec<String> {
        self.ground.sample.files.keys().cloned().collect()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        self.ground.sample.files[path].clone()
    }

    fn end(self, test: &str) -> Tally {
        report(test, &self.ground, self.started);
        assert!(self.failed.is_empty(), "{} failed: {:#?}", self.failed.len(), self.failed);
        self.ground.tally
    }
}

fn flips(left: Left, sampled: u64) -> Tally {
    let mut run = Run::new(left);
    let total = run.ground.sample.bytes();
    assert!(total >= 64 << 10, "only {total} bytes");
    let mut flip = |at: usize, bit: u32| {
        let mut rest = at;
        let files = &run.ground.sample.files;
        let (path, bytes) = files
            .iter()
            .find(|(_, bytes)| {
                let here = rest < bytes.len();
                if !here {
                    rest -= bytes.len();
                }
                here
            })
            .expect("within the files");
        let (path, mut bytes) = (path.clone(), bytes.clone());
        bytes[rest] ^= 1 << bit;
        run.damage(&format!("{path}, byte {rest}, bit {bit}"), &change(&path, bytes));
    };
    if long() {
        (0..total).for_each(|at| (0..8).for_each(|bit| flip(at, bit)));
    } else {
        let mut prng = Prng::new(u64::from(left == Left::Killed));
        for _ in 0..sampled {
            flip(prng.below(total as u64) as usize, prng.below(8) as u32);
        }
    }
    run.end(&format!("flips, {left:?}"))
}

#[test]
fn flipped_bits_behind_a_stop_are_all_refused() {
    let tally = flips(Left::Stopped, 2000);
    assert_eq!(tally.refused, tally.cases, "every byte is vouched for: {tally:?}");
}

#[test]
fn flipped_bits_behind_a_kill_lose_nothing() {
    let tally = flips(Left::Killed, 3000);
    assert_eq!(tally.refused + tally.whole, tally.cases, "{tally:?}");
    // What can be damaged unpunished is the last record of each shard, which holds no data.
    assert!(tally.whole <= tally.cases / 20, "{tally:?}");
}

fn shorten(left: Left) -> Tally {
    let mut run = Run::new(left);
    let mut prng = Prng::new(2);
    for path in run.paths() {
        let bytes = run.bytes(&path);
        let mut lengths: BTreeSet<usize> = if long() {
            (0..bytes.len()).collect()
        } else {
            (0..40).map(|_| prng.below(bytes.len() as u64) as usize).collect()
        };
        let edges = edges(&run.ground.sample, &path);
        let near = edges.iter().flat_map(|at| [at.saturating_sub(1), *at, at + 1]);
        let near: Vec<usize> = near.filter(|at| *at < bytes.len()).collect();
        let sampled = near.len().min(60);
        lengths.extend((0..sampled).map(|_| near[prng.below(near.len() as u64) as usize]));
        lengths.extend([0, 1, bytes.len() - 1]);
        for length in lengths {
            let cut = change(&path, &bytes[..length]);
            run.damage(&format!("{path} truncated to {length}"), &cut);
            if length % 8 == 0 {
                let mut zeros = bytes.clone();
                zeros[length..].fill(0);
                run.damage(&format!("{path} zeros from {length}"), &change(&path, zeros));
            }
        }
    }
    run.end(&format!("shortened, {left:?}"))
}

#[test]
fn shortened_files() {
    let stopped = shorten(Left::Stopped);
    assert_eq!((stopped.cut, stopped.taken_for_the_end), (0, 0), "{stopped:?}");
    let killed = shorten(Left::Killed);
    assert!(killed.cut > 10 && killed.refused > 500, "{killed:?}");
}

fn patches(run: &mut Run, prng: &mut Prng) {
    let count = if long() { 2000 } else { 25 };
    for path in run.paths() {
        let bytes = run.bytes(&path);
        let length = bytes.len() as u64;
        for _ in 0..count {
            let (from, to) = (prng.below(length) as usize, prng.below(length) as usize);
            let span = 1 + prng.below(length.min(600)) as usize;
            let end = (to + span).min(bytes.len());
            let mut zeros = bytes.clone();
            zeros[to..end].fill(0);
            if zeros != bytes {
                run.damage(&format!("{path} zeros {to}..{end}"), &change(&path, zeros));
            }
            let block = bytes[from..(from + span).min(bytes.len())].to_vec();
            let mut moved = bytes.clone();
            moved.splice(to..(to + block.len()).min(bytes.len()), block.iter().copied());
            let mut twice = bytes.clone();
            twice.splice(to..to, block.iter().copied());
            let mut without = bytes.clone();
            without.drain(to..end);
            for (how, other) in [("over", moved), ("into", twice), ("without", without)] {
                if other != bytes {
                    let what = format!("{path}: {from}+{span} {how} {to}");
                    run.damage(&what, &change(&path, other));
                }
            }
        }
        let mut same = bytes.clone();
        same.extend_from_slice(&bytes);
        run.damage(&format!("{path} twice"), &change(&path, same));
        for (what, tail) in
            [("a byte", &b"x"[..]), ("zeros", &[0; 4096]), ("a line", b"#r1 s=\r\n")]
        {
            let longer = [&bytes[..], tail].concat();
            run.damage(&format!("{path} with {what} behind it"), &change(&path, longer));
        }
    }
}

#[test]
fn patched_files() {
    for left in [Left::Stopped, Left::Killed] {
        let mut run = Run::new(left);
        patches(&mut run, &mut Prng::new(3));
        let tally = run.end(&format!("patched, {left:?}"));
        assert!(tally.refused > tally.cases / 2, "{tally:?}");
    }
}

#[test]
fn files_in_the_place_of_others() {
    for left in [Left::Stopped, Left::Killed] {
        let mut run = Run::new(left);
        let paths = run.paths();
        for a in &paths {
            for b in &paths {
                if a == b {
                    continue;
                }
                run.damage(&format!("{a} copied over {b}"), &change(b, run.bytes(a)));
                let swapped = [(a, run.bytes(b)), (b, run.bytes(a))];
                let swapped = swapped.map(|(path, bytes)| (path.clone(), Some(bytes)));
                run.damage(&format!("{a} and {b} swapped"), &BTreeMap::from(swapped));
                let gone = [(a.clone(), None), (b.clone(), None)];
                run.damage(&format!("{a} and {b} missing"), &BTreeMap::from(gone));
            }
            run.damage(&format!("{a} missing"), &BTreeMap::from([(a.clone(), None)]));
            run.damage(&format!("{a} is a directory"), &change(a, *b"/"));
            let mut prng = Prng::new(4);
            let noise: Vec<u8> = run.bytes(a).iter().map(|_| prng.next() as u8).collect();
            run.damage(&format!("{a} is noise"), &change(a, noise));
            let text = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
            run.damage(&format!("{a} is the log of another server"), &change(a, text));
        }
        // A file of another database, in which all is the same but the run.
        let (other, _) = sample(left, &boot_id(), RUNS[1]);
        for (path, bytes) in other.files {
            if path != names::MANIFEST && !path.ends_with("base.aof") {
                let Tally { refused, cut, .. } = run.ground.tally;
                run.damage(&format!("{path} is foreign"), &change(&path, bytes));
                // After a power cut an open segment may end in anything, even at its start.
                let tally = &run.ground.tally;
                assert!(tally.refused + tally.cut == refused + cut + 1, "{path} is foreign");
                assert!(tally.cut == cut || path.ends_with("000006.aof"), "{path} is foreign");
            }
        }
        // What lies beside the database changes nothing.
        let before = run.ground.tally.whole;
        for path in ["notes.txt", "000003/x", "000003/shard-000.000001.aof", "MANIFEST.tmp", "LOCK"]
        {
            run.damage(&format!("{path} lies there"), &change(path, "anything"));
        }
        assert_eq!(run.ground.tally.whole, before + 5);
        let tally = run.end(&format!("in the place of others, {left:?}"));
        assert!(tally.refused > tally.cases * 9 / 10, "{tally:?}");
    }
}

/// Other numbers in the place of each number of a line, and the line without each of its words.
fn edits(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut all = Vec::new();
    for at in 0..words.len() {
        let mut without = words.clone();
        without.remove(at);
        all.push(without.join(" "));
        let numbers = ["0", "1", "2", "65535", "18446744073709551615", "99999999999999999999", "-"];
        for number in numbers {
            let mut edited = words.clone();
            let value = words[at].rsplit('=').next().unwrap_or_default();
            let other = words[at].replace(value, number);
            edited[at] = &other;
            all.push(edited.join(" "));
        }
    }
    all.retain(|edited| edited != line);
    all
}

#[test]
fn edited_manifests() {
    for left in [Left::Stopped, Left::Killed] {
        let mut run = Run::new(left);
        let text = String::from_utf8(run.bytes(names::MANIFEST)).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let seal_line = lines.last().unwrap().clone();
        let body = &lines[..lines.len() - 1];
        let mut variants: Vec<(String, Vec<String>)> = Vec::new();
        for at in 0..body.len() {
            let mut gone = body.to_vec();
            gone.remove(at);
            variants.push((format!("line {at} gone"), gone));
            let mut twice = body.to_vec();
            twice.insert(at, body[at].clone());
            variants.push((format!("line {at} twice"), twice));
            if at + 1 < body.len() && body[at] != body[at + 1] {
                let mut swapped = body.to_vec();
                swapped.swap(at, at + 1);
                variants.push((format!("line {at} swapped"), swapped));
            }
            for edited in edits(&body[at]) {
                let what = format!("line {at}: {edited}");
                let mut other = body.to_vec();
                other[at] = edited;
                variants.push((what, other));
            }
        }
        for (what, lines) in &variants {
            let open: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let refused = run.ground.tally.refused;
            run.damage(what, &change(names::MANIFEST, format!("{open}{seal_line}\n")));
            assert_eq!(run.ground.tally.refused, refused + 1, "{what} was not refused");
            run.case(&format!("{what}, sealed"), Kind::Sealed, &seal(lines));
        }
        let stale = run.ground.sample.stale.encode();
        run.case("an older manifest", Kind::Sealed, &change(names::MANIFEST, stale));
        let tally = run.end(&format!("edited manifests, {left:?}"));
        assert!(tally.cases > 1000, "{tally:?}");
    }
}
