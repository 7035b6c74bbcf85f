//! Splits the line of an inline command into arguments: spaces, quotes, escapes.
//!
//! `"..."` knows `\n \r \t \b \a`, `\xHH`, and `\c` for any other `c`; `'...'` knows `\'` alone.
//! A closing quote ends the word: a space or the end has to follow it. A NUL is a byte like
//! any other (a Redis server waits for ever after one).

use crate::resp::args::Span;
use crate::resp::invalid::Invalid;

/// Which quotes are open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

/// Splits `line` (without its LF), which lies at `base` of its request. An argument is never
/// longer than what stands for it, so it is written over that.
pub fn split_in_place(line: &mut [u8], base: usize, spans: &mut Vec<Span>) -> Result<(), Invalid> {
    let mut words = Words { line, read: 0, written: 0 };
    loop {
        while words.here().is_some_and(is_space) {
            words.read += 1;
        }
        if words.here().is_none() {
            return Ok(());
        }
        words.written = words.read;
        let start = words.written;
        words.word()?;
        // A line is at most 64 KiB long.
        spans.push(Span { start: (base + start) as u32, len: (words.written - start) as u32 });
    }
}

/// A line that is rewritten while it is read: `written <= read`.
struct Words<'a> {
    line: &'a mut [u8],
    read: usize,
    written: usize,
}

impl Words<'_> {
    /// The byte at `read + offset`, unless the line ends before.
    fn ahead(&self, offset: usize) -> Option<u8> {
        self.line.get(self.read + offset).copied()
    }

    /// The byte at `read`.
    fn here(&self) -> Option<u8> {
        self.ahead(0)
    }

    /// Writes one byte that `used` bytes stood for.
    fn put(&mut self, byte: u8, used: usize) {
        if let Some(place) = self.line.get_mut(self.written) {
            *place = byte;
        }
        self.written += 1;
        self.read += used;
    }

    /// Reads one word from where it begins to behind its end.
    fn word(&mut self) -> Result<(), Invalid> {
        let mut quotes = Quotes::None;
        loop {
            let Some(byte) = self.here() else {
                return if quotes == Quotes::None {
                    Ok(())
                } else {
                    Err(Invalid::UnbalancedQuotes)
                };
            };
            match (quotes, byte) {
                (Quotes::None, b' ' | b'\n' | b'\r' | b'\t') => return Ok(()),
                (Quotes::None, b'"') => {
                    quotes = Quotes::Double;
                    self.read += 1;
                }
                (Quotes::None, b'\'') => {
                    quotes = Quotes::Single;
                    self.read += 1;
                }
                (Quotes::Double, b'"') | (Quotes::Single, b'\'') => {
                    if self.ahead(1).is_some_and(|next| !is_space(next)) {
                        return Err(Invalid::UnbalancedQuotes);
                    }
                    self.read += 1;
                    return Ok(());
                }
                (Quotes::Double, b'\\') => self.escape(),
                (Quotes::Single, b'\\') if self.ahead(1) == Some(b'\'') => self.put(b'\'', 2),
                _ => self.put(byte, 1),
            }
        }
    }

    /// Reads a backslash between double quotes.
    fn escape(&mut self) {
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (self.ahead(1), hex(self.ahead(2)), hex(self.ahead(3))) {
            (Some(b'x'), Some(high), Some(low)) => self.put((high * 16 + low) as u8, 4),
            (Some(b'n'), ..) => self.put(b'\n', 2),
            (Some(b'r'), ..) => self.put(b'\r', 2),
            (Some(b't'), ..) => self.put(b'\t', 2),
            (Some(b'b'), ..) => self.put(8, 2),
            (Some(b'a'), ..) => self.put(7, 2),
            (Some(other), ..) => self.put(other, 2),
            (None, ..) => self.put(b'\\', 1),
        }
    }
}

/// What C calls a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::resp::args::Args;

    /// A line, and its words unless it is refused.
    type Row = (&'static [u8], Option<&'static [&'static [u8]]>);

    fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut line = line.to_vec();
        let mut spans = Vec::new();
        split_in_place(&mut line, 0, &mut spans).ok()?;
        Some(Args::new(&line, &spans).iter().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn words_quotes_and_escapes() {
        let rows: &[Row] = &[
            (b"", Some(&[])),
            (b"   \t\r", Some(&[])),
            (b"PING\r", Some(&[b"PING"])),
            (b" SET  a b ", Some(&[b"SET", b"a", b"b"])),
            (b"SET a \"b c\"", Some(&[b"SET", b"a", b"b c"])),
            (b"\"\" ''", Some(&[b"", b""])),
            (br#""\x41\x4a\n\r\t\b\a\q\\\"" x"#, Some(&[b"AJ\n\r\t\x08\x07q\\\"", b"x"])),
            (br#""\xZZ\x4""#, Some(&[b"xZZx4"])),
            (br"'\'\n\\ '", Some(&[br"'\n\\ "])),
            (br"'a\\'", None),
            (b"ab\"c d\"", Some(&[b"abc d"])),
            (b"\"a\"b", None),
            (b"'a'\"b\"", None),
            (b"\"a", None),
            (b"'a", None),
            (b"\"a\\", None),
            (b"\"a\\\"", None),
            (b"a\\", Some(&[b"a\\"])),
            (b"a\x0bb \x0c c", Some(&[b"a\x0bb", b"c"])),
            (b"a\0b", Some(&[b"a\0b"])),
            (b"\"\\x00\\xff\"", Some(&[b"\0\xff"])),
        ];
        for (line, want) in rows {
            let want = want.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(split(line), want, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_is_quoted_comes_back() {
        for seed in 0..2000 {
            let mut prng = Prng::new(seed);
            let words: Vec<Vec<u8>> = (0..prng.below(6))
                .map(|_| (0..prng.below(20)).map(|_| prng.next() as u8).collect())
                .collect();
            let mut line = Vec::new();
            for word in &words {
                line.push(b'"');
                for &byte in word {
                    match byte {
                        b' ' | b'a'..=b'z' => line.push(byte),
                        b'"' | b'\\' => line.extend([b'\\', byte]),
                        _ => line.extend(format!("\\x{byte:02X}").bytes()),
                    }
                }
                line.extend(b"\"  ");
            }
            assert_eq!(split(&line), Some(words), "seed {seed}");
        }
    }
}
