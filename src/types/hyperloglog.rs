//! HyperLogLogs: how many different elements were added, within a per cent, in at most 12 KiB. They
//! are strings, byte for byte those of Redis.
//!
//! ```text
//! H Y L L | encoding | 3 unused | count, 8 bytes, little endian | registers
//! ```
//!
//! A string is one if and only if
//!
//! - it has 16 bytes at least and begins with `HYLL`;
//! - the encoding is 0, dense, and 12,288 bytes follow the first 16; or it is 1, sparse.
//!
//! The count is the last answer, and true if and only if its highest bit is not set. There are
//! 16,384 registers. Dense: six bits each, the first in the lowest bits of the first byte. Sparse:
//! a row of runs, valid if and only if all together have 16,384 registers:
//!
//! ```text
//! 00nnnnnn            n + 1 registers that are 0
//! 01nnnnnn nnnnnnnn   n + 1 registers that are 0, the high bits of n first
//! 1vvvvvnn            n + 1 registers that are v + 1
//! ```
//!
//! Who reads all registers checks all runs. Adding looks only at the runs up to its register, as in
//! Redis: what lies behind may be anything, and is found by whoever counts.
//!
//! An element picks a register by 14 bits of its hash; the register keeps the largest *rank* seen,
//! the place of the first one among the other 50 bits. The count follows from how many registers
//! have which value (Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
//! arXiv:1702.01284, section 4).

use std::borrow::Cow;

/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bytes before the registers.
pub const HEADER: usize = 16;
/// Bytes of a dense one.
pub const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;
/// The longest that a valid sparse one can be: a run of two bytes for each register.
pub const SPARSE_MAX: usize = HEADER + 2 * REGISTERS;

const INDEX_BITS: u32 = 14;
/// Bits of a hash that a rank is taken from.
const RANK_BITS: u32 = 64 - INDEX_BITS;
/// The highest rank of a hash.
const RANK_MAX: usize = RANK_BITS as usize + 1;
/// The highest value in a run.
const RUN_VALUE_MAX: u8 = 32;
/// The most registers with a value in one run.
const RUN_VALUES_MAX: usize = 4;
/// The most zeros in a run of one byte.
const RUN_ZEROS_MAX: usize = 64;
/// How many runs are looked at after a change, for two that can be one.
const MERGE_SCAN: usize = 5;

const MAGIC: &[u8; 4] = b"HYLL";
/// The byte with the bit that says the count is not true any more.
const STALE_AT: usize = 15;
const STALE: u8 = 0x80;

/// The registers make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// How registers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Six bits each.
    Dense,
    /// As runs.
    Sparse,
}

/// The registers, one a byte.
pub type Registers = [u8; REGISTERS];

/// A string that is one; borrowed until it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch<'a> {
    bytes: Cow<'a, [u8]>,
}

/// Neighbouring registers that are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Their value.
    pub value: u8,
    /// How many.
    pub len: usize,
    /// Bytes that it is stored in.
    pub bytes: usize,
}

/// Where the run of a register lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its first byte.
    at: usize,
    /// Its first register.
    first: usize,
    run: Run,
    /// The first byte of the run before it; of itself if there is none.
    before: usize,
}

/// How a string of `len` bytes that begins with `head` stores registers; nothing if it does not.
pub fn encoding(head: &[u8], len: usize) -> Option<Encoding> {
    match (head.strip_prefix(MAGIC)?.first()?, len) {
        (0, DENSE_LEN) => Some(Encoding::Dense),
        (1, HEADER..) => Some(Encoding::Sparse),
        _ => None,
    }
}

/// The register that an element picks, and its rank.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64(element, 0xadc8_3b19);
    let index = hash & (REGISTERS as u64 - 1);
    // The one beyond the last bit ends the search where there is no other.
    let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
    (index as usize, rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A by Austin Appleby: multiply and mix, eight bytes at a time.
fn murmur64(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

/// The count that follows from registers, of which `histogram` have which value.
fn estimate(histogram: &[u32; 64]) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let count = |value: usize| f64::from(histogram.get(value).copied().unwrap_or_default());
    let all = REGISTERS as f64;
    let mut sum = all * tau((all - count(RANK_MAX)) / all);
    for value in (1..RANK_MAX).rev() {
        sum = (sum + count(value)) * 0.5;
    }
    sum += all * sigma(count(0) / all);
    let estimate = ALPHA * all * all / sum;
    // Only registers that no hash gives make it infinite; Redis gets this number then.
    if estimate < i64::MAX as f64 { estimate.round() as u64 } else { 1 << 63 }
}

/// x + x^2 + 2 x^4 + 4 x^8 + ...
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * factor;
        factor += factor;
        if sum == before {
            return sum;
        }
    }
}

/// (1 - x - (1 - x^(1/2))^2 / 2 - (1 - x^(1/4))^2 / 4 - ...) / 3
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * factor;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// The count of what was added to any of several, from their registers together.
pub fn count_registers(registers: &Registers) -> u64 {
    let mut histogram = [0; 64];
    registers.iter().for_each(|value| add_to(&mut histogram, *value, 1));
    estimate(&histogram)
}

fn add_to(histogram: &mut [u32; 64], value: u8, count: usize) {
    if let Some(entry) = histogram.get_mut(usize::from(value)) {
        *entry += count as u32;
    }
}

impl Run {
    /// The run that these bytes begin with; nothing if it is cut off.
    fn read(bytes: &[u8]) -> Option<Run> {
        Some(match *bytes.first()? {
            byte @ 0x80.. => {
                let (value, len) = ((byte >> 2 & 31) + 1, usize::from(byte & 3) + 1);
                Run { value, len, bytes: 1 }
            }
            byte @ 0x40.. => {
                let len = usize::from(byte & 63) << 8 | usize::from(*bytes.get(1)?);
                Run { value: 0, len: len + 1, bytes: 2 }
            }
            byte => Run { value: 0, len: usize::from(byte) + 1, bytes: 1 },
        })
    }

    /// Appends a run of `len` registers; none if there are none.
    fn write(value: u8, len: usize, out: &mut Vec<u8>) {
        let Some(last) = len.checked_sub(1) else { return };
        if value > 0 {
            out.push(0x80 | (value - 1) << 2 | last as u8);
        } else if len <= RUN_ZEROS_MAX {
            out.push(last as u8);
        } else {
            out.extend_from_slice(&[0x40 | (last >> 8) as u8, last as u8]);
        }
    }
}

impl<'a> Sketch<'a> {
    /// One to which nothing was added. Its count is true: 0.
    pub fn empty() -> Sketch<'static> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(1);
        bytes.resize(HEADER, 0);
        Run::write(0, REGISTERS, &mut bytes);
        Sketch { bytes: Cow::Owned(bytes) }
    }

    /// The one that a string is, if it is one.
    pub fn of(bytes: &'a [u8]) -> Option<Sketch<'a>> {
        encoding(bytes, bytes.len()).map(|_| Sketch { bytes: Cow::Borrowed(bytes) })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, if they are not those that it was made of.
    pub fn changed(self) -> Option<Vec<u8>> {
        match self.bytes {
            Cow::Owned(bytes) => Some(bytes),
            Cow::Borrowed(_) => None,
        }
    }

    /// How its registers are stored.
    pub fn encoding(&self) -> Encoding {
        if self.bytes.get(MAGIC.len()) == Some(&0) { Encoding::Dense } else { Encoding::Sparse }
    }

    fn registers(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// The runs of a sparse one; they may not be all that there should be.
    pub fn runs(&self) -> Runs<'_> {
        Runs { rest: self.registers() }
    }

    /// The last count, if it is true.
    pub fn cached(&self) -> Option<u64> {
        let bytes: [u8; 8] = self.bytes.get(HEADER - 8..HEADER)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes)).filter(|count| count >> 63 == 0)
    }

    /// The count is not true any more.
    pub fn forget_count(&mut self) {
        if let Some(byte) = self.bytes.to_mut().get_mut(STALE_AT) {
            *byte |= STALE;
        }
    }

    /// Counts.
    pub fn count(&self) -> Result<u64, Corrupt> {
        let mut histogram = [0; 64];
        self.for_each_run(|_, value, len| add_to(&mut histogram, value, len))?;
        Ok(estimate(&histogram))
    }

    /// Raises `registers` to its own where those are higher.
    pub fn merge_into(&self, registers: &mut Registers) -> Result<(), Corrupt> {
        self.for_each_run(|first, value, len| {
            let run = registers.get_mut(first..first + len).unwrap_or_default();
            run.iter_mut().for_each(|register| *register = (*register).max(value));
        })
    }

    /// Gives all registers to `each`, as a first one, a value and how many have it. Finds what is
    /// corrupt after what comes before it.
    fn for_each_run(&self, mut each: impl FnMut(usize, u8, usize)) -> Result<(), Corrupt> {
        if self.encoding() == Encoding::Dense {
            let (groups, _) = self.registers().as_chunks::<3>();
            for (nth, [a, b, c]) in groups.iter().enumerate() {
                let values = [a & 63, (a >> 6 | b << 2) & 63, (b >> 4 | c << 4) & 63, c >> 2];
                let numbered = values.into_iter().enumerate();
                numbered.for_each(|(at, value)| each(4 * nth + at, value, 1));
            }
            return Ok(());
        }
        let mut first = 0;
        for run in self.runs() {
            let run = run?;
            if first + run.len > REGISTERS {
                return Err(Corrupt);
            }
            each(first, run.value, run.len);
            first += run.len;
        }
        if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
    }

    /// Stores the registers dense, if they are not; the count stays.
    pub fn make_dense(&mut self) -> Result<(), Corrupt> {
        if self.encoding() == Encoding::Dense {
            return Ok(());
        }
        let mut bytes = self.bytes.get(..HEADER).unwrap_or_default().to_vec();
        bytes.resize(DENSE_LEN, 0);
        let mut dense = Sketch { bytes: Cow::Owned(bytes) };
        if let Some(encoding) = dense.bytes.to_mut().get_mut(MAGIC.len()) {
            *encoding = 0;
        }
        self.for_each_run(|first, value, len| {
            if value > 0 {
                (first..first + len).for_each(|index| dense.set_dense(index, value));
            }
        })?;
        self.bytes = dense.bytes;
        Ok(())
    }

    /// Adds an element; says whether a register rose. A sparse one stays so up to `limit` bytes.
    pub fn add(&mut self, element: &[u8], limit: usize) -> Result<bool, Corrupt> {
        let (index, rank) = place(element);
        self.raise(index, rank, limit)
    }

    /// Raises a register to `value`, which is not 0; says whether it was lower.
    pub fn raise(&mut self, index: usize, value: u8, limit: usize) -> Result<bool, Corrupt> {
        match self.encoding() {
            Encoding::Dense => Ok(self.raise_dense(index, value)),
            Encoding::Sparse if value > RUN_VALUE_MAX => {
                self.make_dense()?;
                Ok(self.raise_dense(index, value))
            }
            Encoding::Sparse => self.raise_sparse(index, value, limit),
        }
    }

    fn raise_dense(&mut self, index: usize, value: u8) -> bool {
        let rises = self.dense(index) < value;
        if rises {
            self.set_dense(index, value);
        }
        rises
    }

    /// A register of a dense one.
    fn dense(&self, index: usize) -> u8 {
        let byte = |at| self.bytes.get(at).copied().unwrap_or_default();
        let (at, shift) = dense_place(index);
        (u16::from_le_bytes([byte(at), byte(at + 1)]) >> shift) as u8 & 63
    }

    fn set_dense(&mut self, index: usize, value: u8) {
        let (at, shift) = dense_place(index);
        let (mask, value) = (63_u16 << shift, u16::from(value) << shift);
        let bytes = self.bytes.to_mut();
        for (nth, byte) in bytes.iter_mut().skip(at).take(2).enumerate() {
            *byte = *byte & !(mask >> (8 * nth)) as u8 | (value >> (8 * nth)) as u8;
        }
    }

    fn raise_sparse(&mut self, index: usize, value: u8, limit: usize) -> Result<bool, Corrupt> {
        let place = self.find(index).ok_or(Corrupt)?;
        let Place { at, first, run, before } = place;
        if run.value >= value {
            return Ok(false);
        }
        // What was one run becomes up to three.
        let mut new = Vec::with_capacity(MERGE_SCAN);
        Run::write(run.value, index - first, &mut new);
        Run::write(value, 1, &mut new);
        Run::write(run.value, first + run.len - 1 - index, &mut new);
        if new.len() > run.bytes && self.bytes.len() + new.len() - run.bytes > limit {
            self.make_dense()?;
            return Ok(self.raise_dense(index, value));
        }
        let bytes = self.bytes.to_mut();
        bytes.splice(at..at + run.bytes, new);
        merge_runs(bytes, before);
        Ok(true)
    }

    /// Where the run of a register is.
    fn find(&self, index: usize) -> Option<Place> {
        let (mut at, mut before, mut first) = (HEADER, HEADER, 0);
        loop {
            let run = Run::read(self.bytes.get(at..)?)?;
            if index < first + run.len {
                return Some(Place { at, first, run, before });
            }
            (before, first, at) = (at, first + run.len, at + run.bytes);
        }
    }
}

/// The first byte of a dense register, and the bit of it at which the register begins.
fn dense_place(index: usize) -> (usize, usize) {
    (HEADER + index * 6 / 8, index * 6 % 8)
}

/// Makes one of neighbouring runs with the same value, where one can hold them: only a few runs
/// from `at` on, as in Redis, for the bytes are to be the same.
fn merge_runs(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGE_SCAN {
        let Some(run) = bytes.get(at..).and_then(Run::read) else { return };
        let next = bytes.get(at + run.bytes..).and_then(Run::read);
        match next {
            Some(next)
                if run.value > 0
                    && next.value == run.value
                    && run.len + next.len <= RUN_VALUES_MAX =>
            {
                let mut merged = Vec::with_capacity(1);
                Run::write(run.value, run.len + next.len, &mut merged);
                bytes.splice(at..at + 2, merged);
            }
            _ => at += run.bytes,
        }
    }
}

/// The runs of a sparse one.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    rest: &'a [u8],
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, Corrupt>;

    fn next(&mut self) -> Option<Result<Run, Corrupt>> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(run) = Run::read(self.rest) else {
            self.rest = &[];
            return Some(Err(Corrupt));
        };
        self.rest = self.rest.get(run.bytes..).unwrap_or_default();
        Some(Ok(run))
    }
}

#[cfg(test)]
mod tests;
