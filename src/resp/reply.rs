//! Writes one client's replies in the protocol version it chose, and tells encoded ones apart.

use crate::base::number::{parse_i64, push_double};
use crate::resp::error::Error;

/// The protocol version of a session, as HELLO sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// RESP2, the default.
    #[default]
    Two,
    /// RESP3: maps, sets, doubles, booleans, nulls of their own, pushes.
    Three,
}

/// A writer of replies at the end of a buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
}

/// The replies in a piece of encoded bytes, one after another, each with all it contains.
/// A piece that ends in the middle of a reply ends the iteration before it.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

/// Splits well-formed encoded replies (RESP2 or RESP3), without looking into strings.
pub fn elements(bytes: &[u8]) -> Elements<'_> {
    Elements { rest: bytes }
}

/// What follows the header of an encoded array (or set, push), and how many elements it states;
/// nothing for every other reply, nulls included.
pub fn array_body(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (kind, number, rest) = header(bytes)?;
    match kind {
        b'*' | b'~' | b'>' => Some((usize::try_from(number).ok()?, rest)),
        _ => None,
    }
}

/// The bytes of an encoded bulk string; nothing for every other reply, nulls included.
pub fn bulk_value(bytes: &[u8]) -> Option<&[u8]> {
    match header(bytes)? {
        (b'$', len, rest) => rest.get(..usize::try_from(len).ok()?),
        _ => None,
    }
}

/// Is this the encoded form of a null, of any kind in either version?
pub fn is_null(bytes: &[u8]) -> bool {
    matches!(bytes, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n")
}

/// Is this an encoded error?
pub fn is_error(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'-' | b'!'))
}

impl<'a> Reply<'a> {
    /// Writes at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Reply<'a> {
        Reply { out, proto }
    }

    /// The version in use.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Bytes in the buffer so far; with `rewind` what was written since can be taken back.
    pub fn mark(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written since `mark`.
    pub fn rewind(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// `+text`; the text has no CR or LF.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.end();
    }

    /// `-ERR ...`.
    pub fn error(&mut self, error: &Error) {
        self.out.push(b'-');
        error.write_to(self.out);
        self.end();
    }

    /// `:n`.
    #[inline]
    pub fn integer(&mut self, n: i64) {
        match n {
            0 => self.out.extend_from_slice(b":0\r\n"),
            1 => self.out.extend_from_slice(b":1\r\n"),
            _ => self.line(b':', itoa::Buffer::new().format(n).as_bytes()),
        }
    }

    /// `$len bytes`.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 16);
        self.head(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.end();
    }

    /// Opens a bulk of `len` bytes which `fill` appends itself (long strings in pieces).
    pub fn bulk_with(&mut self, len: usize, fill: impl FnOnce(&mut Vec<u8>)) {
        self.head(b'$', len);
        let start = self.out.len();
        fill(self.out);
        // A wrong length would make the client misread every reply that follows.
        assert_eq!(self.out.len() - start, len, "a bulk reply of another length than announced");
        self.end();
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, n: i64) {
        self.bulk(itoa::Buffer::new().format(n).as_bytes());
    }

    /// `$-1`, or `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        match self.proto {
            Proto::Two => self.out.extend_from_slice(b"$-1\r\n"),
            Proto::Three => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    /// `*-1`, or `_` in RESP3.
    pub fn null_array(&mut self) {
        match self.proto {
            Proto::Two => self.out.extend_from_slice(b"*-1\r\n"),
            Proto::Three => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    /// `*n`; n replies follow.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.head(b'*', n);
    }

    /// `%n`, or `*2n` in RESP2; n pairs follow.
    pub fn map(&mut self, n: usize) {
        match self.proto {
            Proto::Two => self.head(b'*', n * 2),
            Proto::Three => self.head(b'%', n),
        }
    }

    /// `~n`, or `*n` in RESP2.
    pub fn set(&mut self, n: usize) {
        self.head(self.of(b'*', b'~'), n);
    }

    /// `>n`, or `*n` in RESP2.
    pub fn push(&mut self, n: usize) {
        self.head(self.of(b'*', b'>'), n);
    }

    /// `,x`, or a bulk in RESP2, printed as Redis prints it.
    pub fn double(&mut self, x: f64) {
        let mut text = Vec::with_capacity(32);
        push_double(&mut text, x);
        match self.proto {
            Proto::Two => self.bulk(&text),
            Proto::Three => self.line(b',', &text),
        }
    }

    /// `#t` / `#f`, or `:1` / `:0` in RESP2.
    pub fn boolean(&mut self, yes: bool) {
        let line: &[u8] = match (self.proto, yes) {
            (Proto::Two, true) => b":1\r\n",
            (Proto::Two, false) => b":0\r\n",
            (Proto::Three, true) => b"#t\r\n",
            (Proto::Three, false) => b"#f\r\n",
        };
        self.out.extend_from_slice(line);
    }

    /// `=len txt:...`, or a bulk in RESP2. `format` has three letters.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.proto {
            Proto::Two => self.bulk(text),
            Proto::Three => {
                self.head(b'=', text.len() + 4);
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.end();
            }
        }
    }

    /// A big number (RESP3 `(`), or a bulk in RESP2; `digits` is a decimal integer.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Two => self.bulk(digits.as_bytes()),
            Proto::Three => self.line(b'(', digits.as_bytes()),
        }
    }

    /// A reply that was encoded elsewhere, as it is.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// The letter of the version in use.
    fn of(&self, two: u8, three: u8) -> u8 {
        match self.proto {
            Proto::Two => two,
            Proto::Three => three,
        }
    }

    /// A type's letter and a length.
    #[inline]
    fn head(&mut self, kind: u8, n: usize) {
        if let (Ok(digit), true) = (u8::try_from(n), n < 10) {
            self.out.extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']);
        } else {
            self.line(kind, itoa::Buffer::new().format(n).as_bytes());
        }
    }

    /// A type's letter and a line.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.end();
    }

    /// The end of a line.
    #[inline]
    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = element_len(self.rest)?;
        let (element, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(element)
    }
}

/// Bytes of the first reply in `bytes`, with all it contains.
fn element_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    // Replies still to pass. Counted, not recursive: nesting costs no stack.
    let mut pending = 1u64;
    while pending > 0 {
        let here = bytes.get(at..)?;
        let (kind, number, rest) = header(here)?;
        at = bytes.len() - rest.len();
        pending -= 1;
        // A negative number is a null: it has no body.
        let number = u64::try_from(number).unwrap_or(0);
        match kind {
            b'$' | b'=' | b'!' if !here.starts_with(b"$-") => {
                at = at.checked_add(usize::try_from(number).ok()?)?.checked_add(2)?;
            }
            b'*' | b'~' | b'>' => pending = pending.checked_add(number)?,
            // An attribute comes before the reply that it is about.
            b'|' => pending = pending.checked_add(number.checked_mul(2)?)?.checked_add(1)?,
            b'%' => pending = pending.checked_add(number.checked_mul(2)?)?,
            _ => {}
        }
    }
    (at <= bytes.len()).then_some(at)
}

/// The first line: its type, its number (0 where it is none), and what follows the line.
fn header(bytes: &[u8]) -> Option<(u8, i64, &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end + 1)?;
    let (&kind, line) = line.split_first()?;
    let number = parse_i64(line.strip_suffix(b"\r\n")?).unwrap_or(0);
    Some((kind, number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(proto: Proto, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, proto));
        String::from_utf8(out).unwrap()
    }

    /// One row: what is written, in RESP2 and in RESP3.
    type Row = (fn(&mut Reply<'_>), &'static str, &'static str);

    const ROWS: &[Row] = &[
        (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
        (|r| r.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
        (|r| r.error(&Error::Syntax), "-ERR syntax error\r\n", "-ERR syntax error\r\n"),
        (|r| r.integer(0), ":0\r\n", ":0\r\n"),
        (|r| r.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (|r| r.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
        (|r| r.bulk(b"0123456789"), "$10\r\n0123456789\r\n", "$10\r\n0123456789\r\n"),
        (|r| r.bulk_integer(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n"),
        (|r| r.bulk_with(2, |out| out.extend(b"hi")), "$2\r\nhi\r\n", "$2\r\nhi\r\n"),
        (|r| r.null(), "$-1\r\n", "_\r\n"),
        (|r| r.null_array(), "*-1\r\n", "_\r\n"),
        (|r| r.array(12), "*12\r\n", "*12\r\n"),
        (|r| r.map(5), "*10\r\n", "%5\r\n"),
        (|r| r.set(2), "*2\r\n", "~2\r\n"),
        (|r| r.push(2), "*2\r\n", ">2\r\n"),
        (|r| r.double(3.5), "$3\r\n3.5\r\n", ",3.5\r\n"),
        (|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
        (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
        (|r| r.verbatim("txt", b"abc"), "$3\r\nabc\r\n", "=7\r\ntxt:abc\r\n"),
        (|r| r.big_number("123"), "$3\r\n123\r\n", "(123\r\n"),
    ];

    #[test]
    fn each_kind_in_both_versions() {
        for (write, two, three) in ROWS {
            assert_eq!(written(Proto::Two, write), *two);
            assert_eq!(written(Proto::Three, write), *three);
        }
    }

    #[test]
    fn rewind_takes_back() {
        let mut out = b"before".to_vec();
        let mut reply = Reply::new(&mut out, Proto::Two);
        let mark = reply.mark();
        reply.array(3);
        reply.rewind(mark);
        reply.ok();
        assert_eq!(out, b"before+OK\r\n");
    }

    #[test]
    fn elements_are_whole_replies() {
        let parts = [
            "+OK\r\n",
            ":5\r\n",
            "$-1\r\n",
            "$2\r\n\r\n\r\n",
            "*-1\r\n",
            "_\r\n",
            "*0\r\n",
            "*2\r\n*1\r\n$1\r\na\r\n$-1\r\n",
            "%1\r\n+a\r\n*1\r\n:1\r\n",
            "~1\r\n#t\r\n",
            ",3.5\r\n",
            "=7\r\ntxt:abc\r\n",
            "!5\r\nERR x\r\n",
            "-ERR y\r\n",
            "(12\r\n",
            "|1\r\n+k\r\n+v\r\n:9\r\n",
            ">1\r\n+x\r\n",
        ];
        let all = parts.concat();
        let got: Vec<&[u8]> = elements(all.as_bytes()).collect();
        let want: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        assert_eq!(got, want);
        for cut in 0..all.len() {
            let whole: usize = elements(&all.as_bytes()[..cut]).map(<[u8]>::len).sum();
            assert!(whole <= cut);
        }
        let nested = "*1\r\n".repeat(100_000) + ":1\r\n";
        assert_eq!(elements(nested.as_bytes()).count(), 1);
        assert_eq!(elements(b"*9223372036854775807\r\n*9223372036854775807\r\n").count(), 0);
        assert_eq!(elements(b"$9223372036854775807\r\n").count(), 0);
    }

    #[test]
    fn encoded_replies_can_be_read() {
        assert_eq!(array_body(b"*2\r\n:1\r\n:2\r\n"), Some((2, b":1\r\n:2\r\n".as_slice())));
        assert_eq!(array_body(b"*-1\r\n"), None);
        assert_eq!(array_body(b":1\r\n"), None);
        assert_eq!(bulk_value(b"$3\r\nabc\r\n"), Some(b"abc".as_slice()));
        assert_eq!(bulk_value(b"$-1\r\n"), None);
        assert!(is_null(b"_\r\n") && is_null(b"$-1\r\n") && !is_null(b"$0\r\n\r\n"));
        assert!(is_error(b"-ERR x\r\n") && !is_error(b"+OK\r\n"));
    }
}
