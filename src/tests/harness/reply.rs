//! Replies of both protocol versions, kept apart to the letter, and their decoder.

use std::fmt;

/// One reply; every difference that a client library could see is a different value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// `+`
    Simple(Vec<u8>),
    /// `-`
    Error(Vec<u8>),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`: the text says which.
    Null(&'static str),
    /// `*`
    Array(Vec<Reply>),
    /// `%`
    Map(Vec<(Reply, Reply)>),
    /// `~`
    Set(Vec<Reply>),
    /// `>`
    Push(Vec<Reply>),
    /// `,` as it was written.
    Double(Vec<u8>),
    /// `#`
    Bool(bool),
    /// `=` with its three letters.
    Verbatim(Vec<u8>),
    /// `(`
    BigNumber(Vec<u8>),
}

impl Reply {
    /// Is it an error?
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Is it one of the nulls?
    pub fn is_null(&self) -> bool {
        matches!(self, Reply::Null(_))
    }

    /// The integer, also one that came as a string; anything else is a failed test.
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(n) => *n,
            Reply::Bulk(text) => String::from_utf8_lossy(text).parse().expect("a number"),
            other => panic!("expected a number, got {other}"),
        }
    }

    /// The number, and 0 for a null: the value of a counter that may not exist.
    pub fn count(&self) -> i64 {
        if self.is_null() { 0 } else { self.int() }
    }

    /// The text of a status, a string or an error.
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(text) | Reply::Bulk(text) | Reply::Double(text) => lossy(text),
            Reply::Error(text) => format!("-{}", lossy(text)),
            Reply::Verbatim(text) => lossy(text.get(4..).unwrap_or_default()),
            other => panic!("expected text, got {other}"),
        }
    }

    /// The elements of an array, set or push; a map counts as its keys and values in turn.
    pub fn items(&self) -> Vec<Reply> {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items.clone(),
            Reply::Map(pairs) => pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect(),
            other => panic!("expected a list, got {other}"),
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes as a reader of a failed test wants to see them: printable, and not endless.
pub fn shown(bytes: &[u8]) -> String {
    let head = bytes.get(..200).unwrap_or(bytes);
    let more =
        if bytes.len() > 200 { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", head.escape_ascii())
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, mark: &str, items: &[Reply]| {
            write!(f, "{mark}[")?;
            for (n, item) in items.iter().enumerate() {
                if n == 40 {
                    return write!(f, ", ... {} items]", items.len());
                }
                write!(f, "{}{item}", if n == 0 { "" } else { ", " })?;
            }
            write!(f, "]")
        };
        match self {
            Reply::Simple(text) => write!(f, "+{}", shown(text)),
            Reply::Error(text) => write!(f, "-{}", shown(text)),
            Reply::Int(n) => write!(f, ":{n}"),
            Reply::Bulk(text) => write!(f, "\"{}\"", shown(text)),
            Reply::Null(how) => write!(f, "(null {how})"),
            Reply::Array(items) => list(f, "*", items),
            Reply::Set(items) => list(f, "~", items),
            Reply::Push(items) => list(f, ">", items),
            Reply::Map(_) => list(f, "%", &self.items()),
            Reply::Double(text) => write!(f, ",{}", shown(text)),
            Reply::Bool(value) => write!(f, "#{value}"),
            Reply::Verbatim(text) => write!(f, "={}", shown(text)),
            Reply::BigNumber(text) => write!(f, "({}", shown(text)),
        }
    }
}

/// Decodes one reply at the start of `input`: the reply and its length, or `None` while bytes are
/// missing. A byte that no server may send is a panic: the test has failed.
pub fn decode(input: &[u8]) -> Option<(Reply, usize)> {
    let end = input.windows(2).position(|two| two == b"\r\n")?;
    let (mark, line) = (input[0], &input[1..end]);
    let after = end + 2;
    let number = || -> i64 {
        let text = std::str::from_utf8(line).expect("a number in a reply's header");
        text.parse().unwrap_or_else(|_| panic!("bad reply header {}", shown(&input[..end])))
    };
    let reply = match mark {
        b'+' => Reply::Simple(line.to_vec()),
        b'-' => Reply::Error(line.to_vec()),
        b':' => Reply::Int(number()),
        b',' => Reply::Double(line.to_vec()),
        b'(' => Reply::BigNumber(line.to_vec()),
        b'#' => Reply::Bool(line == b"t"),
        b'_' => Reply::Null("_"),
        b'$' if line == b"-1" => Reply::Null("$-1"),
        b'*' if line == b"-1" => Reply::Null("*-1"),
        b'$' | b'=' => {
            let len = number() as usize;
            let body = input.get(after..after + len + 2)?;
            assert!(body.ends_with(b"\r\n"), "a string reply without its CRLF");
            let text = body[..len].to_vec();
            let reply = if mark == b'$' { Reply::Bulk(text) } else { Reply::Verbatim(text) };
            return Some((reply, after + len + 2));
        }
        b'*' | b'~' | b'>' | b'%' => return decode_list(mark, number() as usize, input, after),
        _ => panic!("not a reply: {}", shown(input)),
    };
    Some((reply, after))
}

fn decode_list(mark: u8, count: usize, input: &[u8], mut at: usize) -> Option<(Reply, usize)> {
    let count = if mark == b'%' { count * 2 } else { count };
    let mut items = Vec::new();
    for _ in 0..count {
        let (item, len) = decode(&input[at..])?;
        items.push(item);
        at += len;
    }
    let reply = match mark {
        b'*' => Reply::Array(items),
        b'~' => Reply::Set(items),
        b'>' => Reply::Push(items),
        _ => {
            let mut items = items.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Reply::Map(pairs)
        }
    };
    Some((reply, at))
}
