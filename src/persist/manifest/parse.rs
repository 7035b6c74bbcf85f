//! Reads the lines of a manifest in the order in which they are written.

use super::{Base, End, HashId, Manifest, Segment, ShardFiles, VERSION};
use crate::base::checksum::crc64;
use crate::base::ids::{Epoch, Generation, Lsn, ShardId, SlotRange};
use crate::base::time::Millis;
use crate::base::wire::hex;
use crate::limits::{MANIFEST_MAX, SHARDS_MAX};
use crate::persist::fault::StorageFault;
use crate::persist::names::{self, Name};
use crate::persist::record::{Policy, RunId};
use crate::persist::value_codec::Counts;

/// The lines that are left.
struct Lines<'a> {
    file: &'a str,
    text: &'a str,
    line: usize,
    offset: usize,
}

/// The words of one line behind its key.
struct Words<'a> {
    words: std::str::SplitAsciiWhitespace<'a>,
    file: &'a str,
    line: usize,
    offset: usize,
    key: &'a str,
}

pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Manifest, StorageFault> {
    let fault = |offset: usize, expected: &str, found: String| {
        StorageFault::new(file, offset as u64, expected, found)
    };
    if bytes.len() > MANIFEST_MAX {
        return Err(fault(0, "a manifest of less than 16 MiB", format!("{} bytes", bytes.len())));
    }
    let bad_text = |_| fault(0, "text", "other bytes".to_string());
    let text = std::str::from_utf8(bytes).map_err(bad_text)?;
    let mut lines = Lines { file, text, line: 0, offset: 0 };
    // The version comes first: another one may be sealed in another way.
    let mut words = lines.key("basalt-manifest")?;
    let version = words.number::<u32>()?;
    if version != VERSION {
        return Err(fault(0, "format version 1", version.to_string()));
    }
    let Some(body) = text.len().checked_sub(SEAL).and_then(|at| text.split_at_checked(at)) else {
        return Err(fault(text.len(), "a checksum line", "the end".to_string()));
    };
    let expected = format!("checksum {:016x}\n", crc64(body.0.as_bytes()));
    if body.1 != expected {
        let found = body.1.trim_end().escape_debug().to_string();
        return Err(fault(body.0.len(), expected.trim_end(), found));
    }
    lines.text = body.0;
    fields(&mut lines)
}

/// Length of the last line.
const SEAL: usize = "checksum 0123456789abcdef\n".len();

fn fields(lines: &mut Lines<'_>) -> Result<Manifest, StorageFault> {
    let run = lines.key("run")?.run()?;
    let generation = Generation(lines.key("generation")?.number()?);
    let cut = Epoch(lines.key("cut-epoch")?.number()?);
    let cut_time = Millis(lines.key("cut-time")?.number()?);
    let durable = Epoch(lines.key("durable-epoch")?.number()?);
    let boot = lines.key("boot")?.word()?;
    let boot = if boot == "-" { String::new() } else { boot.to_string() };
    let appendonly = lines.key("appendonly")?.map("yes or no", |word| match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    })?;
    let policy = lines.key("appendfsync")?.map("always, everysec or no", |word| {
        Policy::ALL.into_iter().find(|policy| policy.name() == word)
    })?;
    let mut words = lines.key("hash")?;
    let function = words.number()?;
    let seed = words.map("16 hexadecimal digits", |word| hex(word.as_bytes()).map(|h| h as u64))?;
    let mut words = lines.key("retained")?;
    let mut retained = Vec::new();
    while !words.at_end() {
        retained.push(Generation(words.number()?));
    }
    let mut words = lines.key("shards")?;
    let count: u16 = words.number()?;
    if usize::from(count) > SHARDS_MAX {
        return Err(words.fault("at most 256 shards", &count.to_string()));
    }
    let mut slots = Vec::new();
    while lines.next_is("slots") {
        let mut words = lines.key("slots")?;
        let (first, last) = (words.number()?, words.number()?);
        slots.push(SlotRange { first, last, shard: ShardId(words.number()?) });
    }
    let mut shards = Vec::new();
    for shard in 0..count {
        shards.push(shard_files(lines, shard)?);
    }
    lines.end()?;
    let hash = HashId { function, seed };
    Ok(Manifest {
        run,
        generation,
        cut,
        cut_time,
        durable,
        boot,
        appendonly,
        policy,
        hash,
        retained,
        slots,
        shards,
    })
}

fn shard_files(lines: &mut Lines<'_>, shard: u16) -> Result<ShardFiles, StorageFault> {
    let mut words = lines.key("shard")?;
    let number: u16 = words.number()?;
    if number != shard {
        return Err(words.fault(&format!("shard {shard}"), &number.to_string()));
    }
    words.map("after", |word| (word == "after").then_some(()))?;
    let after = Lsn(words.number()?);
    let mut files = ShardFiles { after, base: None, segments: Vec::new() };
    if lines.next_is("base") {
        let mut words = lines.key("base")?;
        files.base = Some(Base {
            path: words.word()?.to_string(),
            run: words.field("run=", |value| hex(value.as_bytes()).map(RunId))?,
            length: words.field("length=", |value| value.parse().ok())?,
            crc: words.field("crc=", |value| hex(value.as_bytes()).map(|crc| crc as u64))?,
            entries: words.field("entries=", Counts::parse)?,
        });
    }
    while lines.next_is("segment") {
        let mut words = lines.key("segment")?;
        let path = words.word()?.to_string();
        let number = match names::parse(&path) {
            Some(Name::Segment(_, _, number)) => number,
            _ => return Err(words.fault("the path of a segment", &path)),
        };
        files.segments.push(Segment {
            path,
            number,
            run: words.field("run=", |value| hex(value.as_bytes()).map(RunId))?,
            first: words.field("first=", first)?,
            end: words.field("end=", end)?,
        });
    }
    Ok(files)
}

fn first(value: &str) -> Option<Option<Lsn>> {
    if value == "-" { Some(None) } else { value.parse().ok().map(|lsn| Some(Lsn(lsn))) }
}

fn end(value: &str) -> Option<Option<End>> {
    if value == "-" {
        return Some(None);
    }
    let (length, next) = value.split_once(',')?;
    Some(Some(End { length: length.parse().ok()?, next: Lsn(next.parse().ok()?) }))
}

impl<'a> Lines<'a> {
    fn peek(&self) -> &'a str {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        rest.split_once('\n').map_or(rest, |(line, _)| line)
    }

    fn next_is(&self, key: &str) -> bool {
        self.peek().split(' ').next() == Some(key)
    }

    /// The next line, which must begin with this key.
    fn key(&mut self, key: &'a str) -> Result<Words<'a>, StorageFault> {
        let text = self.peek();
        self.line += 1;
        let (file, line, offset) = (self.file, self.line, self.offset);
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(key) {
            let found = text.escape_debug().to_string();
            let expected = format!("line {line}: {key}");
            return Err(StorageFault::new(file, offset as u64, expected, clip(&found)));
        }
        self.offset += text.len() + 1;
        Ok(Words { words, file, line, offset, key })
    }

    fn end(&self) -> Result<(), StorageFault> {
        let left = self.peek();
        if left.is_empty() {
            return Ok(());
        }
        let expected = format!("line {}: checksum", self.line + 1);
        Err(StorageFault::new(self.file, self.offset as u64, expected, clip(left)))
    }
}

impl<'a> Words<'a> {
    fn fault(&self, expected: &str, found: &str) -> StorageFault {
        let Words { file, line, offset, key, .. } = self;
        let expected = format!("line {line}: {key}: {expected}");
        StorageFault::new(*file, *offset as u64, expected, clip(found))
    }

    fn at_end(&self) -> bool {
        self.words.clone().next().is_none()
    }

    fn word(&mut self) -> Result<&'a str, StorageFault> {
        self.words.next().ok_or_else(|| self.fault("one more word", "the line's end"))
    }

    fn map<T>(
        &mut self,
        expected: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, StorageFault> {
        let word = self.word()?;
        read(word).ok_or_else(|| self.fault(expected, word))
    }

    fn field<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, StorageFault> {
        self.map(key, |word| read(word.strip_prefix(key)?))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, StorageFault> {
        self.map("a number", |word| word.parse().ok())
    }

    fn run(&mut self) -> Result<RunId, StorageFault> {
        self.map("32 hexadecimal digits", |word| hex(word.as_bytes()).map(RunId))
    }
}

/// A found text, short enough for one line of a log.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
