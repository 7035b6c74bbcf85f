//! Where replies end in a stream of bytes, without keeping them.

/// What a whole reply was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Anything else.
    Fine,
    /// A null: a key that is not there.
    Null,
    /// An error, with its text.
    Error(String),
}

/// What of a line is kept: a length, or enough of an error to tell it.
const LINE_MAX: usize = 200;
/// A reply that claims more elements than this is not one that a load here asks for.
const ELEMENTS_MAX: u64 = 1 << 32;

/// The state between two reads.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// The line so far, without its type byte's meaning.
    line: Vec<u8>,
    /// Bytes of a bulk string, with its line end, still to come.
    skip: u64,
    /// Elements of the reply still to come.
    left: u64,
    /// What the reply is, once its first line is known.
    whole: Option<Reply>,
}

impl Scanner {
    /// At the start of a reply.
    pub fn new() -> Scanner {
        Scanner { line: Vec::with_capacity(LINE_MAX), skip: 0, left: 1, whole: None }
    }

    /// Takes bytes and hands on each reply that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], take: &mut dyn FnMut(Reply)) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let here = self.skip.min(bytes.len() as u64);
                bytes = bytes.get(here as usize..).unwrap_or_default();
                self.skip -= here;
                if self.skip == 0 {
                    self.element_done(take);
                }
                continue;
            }
            let end = memchr::memchr(b'\n', bytes);
            let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or(part));
            bytes = rest;
            if end.is_some() {
                self.line_done(take)?;
                self.line.clear();
            }
        }
        Ok(())
    }

    fn line_done(&mut self, take: &mut dyn FnMut(Reply)) -> Result<(), String> {
        let text = String::from_utf8_lossy(self.line.trim_ascii_end());
        let mut chars = text.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        let number = rest.parse::<i64>();
        let null = kind == Some('_') || number == Ok(-1);
        let mut more = 0;
        let reply = match kind {
            Some('+' | ':' | '(' | ',' | '#') => Reply::Fine,
            Some('-') => Reply::Error(rest.to_owned()),
            Some('_') => Reply::Null,
            Some('$' | '=' | '!' | '*' | '~' | '>' | '%') if null => Reply::Null,
            Some('$' | '=' | '!') => {
                self.skip = u64::try_from(number.unwrap_or(-2)).map_err(|_| odd(&text))? + 2;
                Reply::Fine
            }
            Some('*' | '~' | '>' | '%') => {
                more = u64::try_from(number.unwrap_or(-2)).map_err(|_| odd(&text))?;
                more = if kind == Some('%') { more.saturating_mul(2) } else { more };
                Reply::Fine
            }
            _ => return Err(odd(&text)),
        };
        self.whole.get_or_insert(reply);
        self.left = self.left.saturating_add(more);
        if self.left > ELEMENTS_MAX {
            return Err(odd(&text));
        }
        if self.skip == 0 {
            self.element_done(take);
        }
        Ok(())
    }

    fn element_done(&mut self, take: &mut dyn FnMut(Reply)) {
        self.left -= 1;
        if self.left == 0 {
            self.left = 1;
            take(self.whole.take().unwrap_or(Reply::Fine));
        }
    }
}

fn odd(line: &str) -> String {
    format!("not a reply: {line:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_found_however_they_are_cut() {
        let text: &[u8] = b"+OK\r\n$3\r\nab\n\r\n$-1\r\n:5\r\n*2\r\n$0\r\n\r\n*1\r\n:1\r\n-ERR no\r\n*0\r\n*-1\r\n_\r\n%1\r\n+a\r\n+b\r\n+PONG\r\n";
        let expected = [
            Reply::Fine,
            Reply::Fine,
            Reply::Null,
            Reply::Fine,
            Reply::Fine,
            Reply::Error("ERR no".to_owned()),
            Reply::Fine,
            Reply::Null,
            Reply::Null,
            Reply::Fine,
            Reply::Fine,
        ];
        for step in 1..text.len() {
            let (mut scanner, mut found) = (Scanner::new(), Vec::new());
            for part in text.chunks(step) {
                scanner.feed(part, &mut |reply| found.push(reply)).expect("replies");
            }
            assert_eq!(found, expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bad in ["hello\r\n", "$x\r\n", "*-7\r\n", "\r\n", "*99999999999\r\n"] {
            let mut scanner = Scanner::new();
            assert!(scanner.feed(bad.as_bytes(), &mut |_| {}).is_err(), "{bad:?}");
        }
        let mut scanner = Scanner::new();
        let mut text = String::new();
        let long = format!("-ERR {}\r\n", "x".repeat(1000));
        let mut take = |reply| {
            if let Reply::Error(told) = reply {
                text = told;
            }
        };
        scanner.feed(long.as_bytes(), &mut take).expect("an error is a reply");
        assert_eq!(text.len(), LINE_MAX - 1);
    }
}
