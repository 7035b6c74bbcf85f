//! Bytes to requests: arrays of bulk strings and inline commands, in place and incrementally.
//!
//! What has been parsed of a request is never looked at again, however small the pieces are in
//! which it arrives. Nothing is reserved from a number that was sent.

use crate::base::number::parse_i64;
use crate::limits::{
    AHEAD_ARGS_MAX, ARGS_MAX, INLINE_MAX, QUERY_BUFFER_MAX, SPANS_KEEP, STRING_MAX,
    UNAUTHENTICATED_ARGS_MAX, UNAUTHENTICATED_BULK_MAX,
};
use crate::resp::args::{Args, Span};
use crate::resp::buffer::Buffer;
use crate::resp::inline::split_in_place;
use crate::resp::invalid::Invalid;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A client that may give commands.
    Open,
    /// One that has to authenticate first.
    BeforeAuth,
}

/// What a request may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one argument: proto-max-bulk-len.
    pub bulk: usize,
    /// Bytes of a request that is not whole yet: client-query-buffer-limit.
    pub query_buffer: usize,
    /// Strangers may send less.
    pub access: Access,
}

/// What the bytes at hand give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next request has not arrived whole.
    Incomplete,
    /// A request; `Parser::args` shows it.
    Request,
    /// Not the protocol: nothing that follows has a meaning.
    Invalid(Invalid),
}

/// The state of one connection's input. One request at a time is shown, in place.
#[derive(Debug, Default)]
pub struct Parser {
    /// The arguments so far, from the start of the request.
    spans: Vec<Span>,
    /// Arguments that are still to come.
    missing: usize,
    /// The length of the next argument, once its line has been read.
    bulk: Option<usize>,
    /// Bytes after the parsed ones in which there is no line end.
    searched: usize,
}

/// The first line of a request or argument.
enum Line {
    /// Its number, and its length with the line end.
    Number(usize, usize),
    /// Its end has not arrived.
    Unfinished,
    /// It is longer than any number.
    Endless,
    /// A number below zero: no request, or a wrong argument.
    Negative(usize),
    /// No number.
    Wrong,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bulk: STRING_MAX, query_buffer: QUERY_BUFFER_MAX, access: Access::Open }
    }
}

impl Parser {
    /// A parser at the start of a connection.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// The next request of `buffer`. The one before is given up: it was executed, or copied.
    pub fn next(&mut self, buffer: &mut Buffer, limits: &Limits) -> Step {
        let step = loop {
            if self.missing > 0 {
                break self.arguments(buffer, limits);
            }
            buffer.consume();
            self.spans.clear();
            let begun = match buffer.window().0.first() {
                None => break Step::Incomplete,
                Some(b'*') => self.begin(buffer, limits),
                Some(_) => self.inline(buffer),
            };
            match begun {
                // An empty request: no reply, the next one.
                Ok(()) if self.missing == 0 && self.spans.is_empty() => {}
                Ok(()) if self.missing == 0 => break Step::Request,
                Ok(()) => {}
                Err(step) => break step,
            }
        };
        match step {
            Step::Request => self.guard(buffer),
            Step::Incomplete if buffer.pending() > limits.query_buffer.min(QUERY_BUFFER_TOP) => {
                Step::Invalid(Invalid::QueryBuffer)
            }
            _ => step,
        }
    }

    /// The request that `next` found.
    pub fn args<'a>(&'a self, buffer: &'a Buffer) -> Args<'a> {
        Args::new(buffer.window().0, &self.spans)
    }

    /// The second words of the requests behind the one that `next` found, as far as they are there
    /// and have at most `AHEAD_ARGS_MAX` words. What is done with them may change nothing: `next`
    /// has not judged them.
    pub fn ahead<'a>(&self, buffer: &'a Buffer) -> impl Iterator<Item = &'a [u8]> {
        let (window, parsed) = buffer.window();
        let mut rest = window.get(parsed..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (word, len) = second_word(rest)?;
            rest = rest.get(len..).unwrap_or_default();
            Some(word)
        })
    }

    /// Gives memory back that a request with very many arguments left behind; between requests.
    pub fn shrink(&mut self) {
        if self.missing == 0 && self.spans.capacity() > SPANS_KEEP {
            self.spans = Vec::new();
        }
    }

    /// Reads `*count`.
    fn begin(&mut self, buffer: &mut Buffer, limits: &Limits) -> Result<(), Step> {
        let (window, at) = buffer.window();
        match line(window.get(at..).unwrap_or_default(), &mut self.searched) {
            Line::Number(count, _) if count > ARGS_MAX => Err(Invalid::MultibulkLength.into()),
            Line::Number(count, _)
                if count > UNAUTHENTICATED_ARGS_MAX && limits.access == Access::BeforeAuth =>
            {
                Err(Invalid::UnauthenticatedMultibulk.into())
            }
            Line::Number(count, len) => {
                self.missing = count;
                buffer.parsed_to(at + len);
                Ok(())
            }
            Line::Negative(len) => {
                buffer.parsed_to(at + len);
                Ok(())
            }
            Line::Unfinished => Err(Step::Incomplete),
            Line::Endless => Err(Invalid::BigMultibulkCount.into()),
            Line::Wrong => Err(Invalid::MultibulkLength.into()),
        }
    }

    /// Reads `$length` and an argument, as often as they are missing and there.
    fn arguments(&mut self, buffer: &mut Buffer, limits: &Limits) -> Step {
        let (window, mut at) = buffer.window();
        let step = loop {
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    let rest = window.get(at..).unwrap_or_default();
                    match bulk_line(rest, &mut self.searched, limits) {
                        Ok((len, line)) => {
                            at += line;
                            len
                        }
                        Err(step) => break step,
                    }
                }
            };
            // The two bytes of the line end are not looked at, as in Redis.
            let end = at + len + 2;
            if end > window.len() {
                self.bulk = Some(len);
                break Step::Incomplete;
            }
            self.bulk = None;
            // 32 bits hold it: the window is at most as long as a query buffer may get.
            self.spans.push(Span { start: at as u32, len: len as u32 });
            at = end;
            self.missing -= 1;
            if self.missing == 0 {
                break Step::Request;
            }
        };
        buffer.parsed_to(at);
        step
    }

    /// Reads a line that is split at spaces and quotes.
    fn inline(&mut self, buffer: &mut Buffer) -> Result<(), Step> {
        let (window, at) = buffer.window();
        let unsearched = window.get(at + self.searched..).unwrap_or_default();
        let found = memchr::memchr(b'\n', unsearched).map(|n| self.searched + n);
        if found.unwrap_or(window.len() - at) > INLINE_MAX {
            return Err(Invalid::BigInline.into());
        }
        let Some(end) = found else {
            self.searched = window.len() - at;
            return Err(Step::Incomplete);
        };
        self.searched = 0;
        let text = buffer.window_mut().get_mut(at..at + end).unwrap_or_default();
        split_in_place(text, at, &mut self.spans).map_err(Step::Invalid)?;
        buffer.parsed_to(at + end + 1);
        Ok(())
    }

    /// A browser that was tricked into sending a request must not reach the commands in its body.
    #[inline]
    fn guard(&self, buffer: &Buffer) -> Step {
        let name = self.args(buffer).at(0);
        let begins = name.first().map(u8::to_ascii_lowercase);
        if matches!(begins, Some(b'p' | b'h'))
            && (name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:"))
        {
            return Step::Invalid(Invalid::CrossProtocol);
        }
        Step::Request
    }
}

/// The second word of a whole request, and the request's length. What is done with it may change
/// nothing: nobody has judged the request.
pub fn second_word(window: &[u8]) -> Option<(&[u8], usize)> {
    let number = |at: usize, kind: u8| {
        let rest = window.get(at..).filter(|rest| rest.first() == Some(&kind))?;
        let Line::Number(number, len) = line(rest, &mut 0) else { return None };
        Some((number, at + len))
    };
    let (words, mut at) = number(0, b'*').filter(|(words, _)| *words <= AHEAD_ARGS_MAX)?;
    let mut word = None;
    for index in 0..words {
        let (len, start) = number(at, b'$')?;
        if index == 1 {
            word = window.get(start..start.checked_add(len)?);
        }
        at = start.checked_add(len)?.checked_add(2)?;
    }
    word.filter(|_| at <= window.len()).map(|word| (word, at))
}

/// Above this, spans would not hold a position, whatever the setting says.
const QUERY_BUFFER_TOP: usize = u32::MAX as usize / 2;

/// The line before an argument: the argument's length, and its own with the line end.
#[inline]
fn bulk_line(rest: &[u8], searched: &mut usize, limits: &Limits) -> Result<(usize, usize), Step> {
    let read = line(rest, searched);
    let first = rest.first().copied().unwrap_or_default();
    match read {
        Line::Unfinished => Err(Step::Incomplete),
        Line::Endless => Err(Invalid::BigBulkCount.into()),
        _ if first != b'$' => Err(Invalid::ExpectedDollar(first).into()),
        Line::Number(len, _) if len > limits.bulk.min(QUERY_BUFFER_TOP) => {
            Err(Invalid::BulkLength.into())
        }
        Line::Number(len, _)
            if len > UNAUTHENTICATED_BULK_MAX && limits.access == Access::BeforeAuth =>
        {
            Err(Invalid::UnauthenticatedBulk.into())
        }
        Line::Number(len, line) => Ok((len, line)),
        Line::Negative(_) | Line::Wrong => Err(Invalid::BulkLength.into()),
    }
}

/// Reads the number between a line's first byte and its CR. `searched` bytes are known to hold
/// no CR.
#[inline]
fn line(rest: &[u8], searched: &mut usize) -> Line {
    // Nearly all numbers have one to three digits.
    let (number, len) = match *rest {
        [_, a @ b'0'..=b'9', b'\r', _, ..] => (digit(a), 4),
        [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] => (digit(a) * 10 + digit(b), 5),
        [_, a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', _, ..] => {
            (digit(a) * 100 + digit(b) * 10 + digit(c), 6)
        }
        _ => return long_line(rest, searched),
    };
    *searched = 0;
    Line::Number(number, len)
}

/// The value of a decimal digit.
#[inline]
fn digit(byte: u8) -> usize {
    usize::from(byte - b'0')
}

/// `line` for what is not a short number.
#[inline(never)]
fn long_line(rest: &[u8], searched: &mut usize) -> Line {
    let unsearched = rest.get(*searched..).unwrap_or_default();
    let Some(found) = memchr::memchr(b'\r', unsearched) else {
        *searched = rest.len();
        return if rest.len() > INLINE_MAX { Line::Endless } else { Line::Unfinished };
    };
    let end = *searched + found;
    // The LF has to be there too.
    if end + 2 > rest.len() {
        *searched = end;
        return Line::Unfinished;
    }
    *searched = 0;
    let Some(number) = rest.get(1..end).and_then(parse_i64) else { return Line::Wrong };
    match usize::try_from(number) {
        Ok(number) => Line::Number(number, end + 2),
        Err(_) => Line::Negative(end + 2),
    }
}

impl From<Invalid> for Step {
    fn from(invalid: Invalid) -> Step {
        Step::Invalid(invalid)
    }
}

#[cfg(test)]
mod tests;
