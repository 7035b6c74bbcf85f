//! Replies as values, and in the notation of the scripts.

use std::fmt;

/// A decoded reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Double(Vec<u8>),
    Bulk(Vec<u8>),
    Verbatim(Vec<u8>),
    Null,
    Array(Vec<Value>),
    Map(Vec<Value>),
    Set(Vec<Value>),
}

impl Value {
    /// The first reply in `bytes`, and what follows it; nothing while it is not complete.
    pub fn read(bytes: &[u8]) -> Option<(Value, &[u8])> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = (&bytes[1..end], &bytes[end + 2..]);
        let number = || std::str::from_utf8(line).unwrap().parse::<i64>().unwrap();
        Some(match bytes[0] {
            b'+' => (Value::Simple(line.to_vec()), rest),
            b'-' => (Value::Error(line.to_vec()), rest),
            b':' => (Value::Integer(number()), rest),
            b'_' => (Value::Null, rest),
            b',' => (Value::Double(line.to_vec()), rest),
            b'$' | b'=' if number() >= 0 => {
                let len = number() as usize;
                let text = rest.get(..len)?.to_vec();
                let rest = rest.get(len + 2..)?;
                (if bytes[0] == b'$' { Value::Bulk(text) } else { Value::Verbatim(text) }, rest)
            }
            b'*' | b'~' | b'%' if number() >= 0 => {
                let count = number() as usize * if bytes[0] == b'%' { 2 } else { 1 };
                let (mut values, mut rest) = (Vec::new(), rest);
                for _ in 0..count {
                    let (value, after) = Value::read(rest)?;
                    values.push(value);
                    rest = after;
                }
                let value = match bytes[0] {
                    b'*' => Value::Array(values),
                    b'~' => Value::Set(values),
                    _ => Value::Map(values),
                };
                (value, rest)
            }
            b'$' | b'*' => (Value::Null, rest),
            other => panic!("reply of type {other}"),
        })
    }

    /// The only reply in `bytes`.
    pub fn only(bytes: &[u8]) -> Value {
        let (value, rest) = Value::read(bytes).expect("a complete reply");
        assert!(rest.is_empty(), "more than one reply: {}", String::from_utf8_lossy(bytes));
        value
    }

    /// Makes the values null that follow these names, at any depth.
    pub fn forget(&mut self, names: &[&str]) {
        let (Value::Array(values) | Value::Map(values) | Value::Set(values)) = self else { return };
        let is = |text: &[u8]| names.iter().any(|name| name.as_bytes() == text);
        let named = |value: &Value| matches!(value, Value::Bulk(text) if is(text));
        let after: Vec<bool> = values.iter().map(named).collect();
        for (value, named) in values.iter_mut().skip(1).zip(after) {
            if named { *value = Value::Null } else { value.forget(names) }
        }
        if let Some(first) = values.first_mut() {
            first.forget(names);
        }
    }

    /// Puts elements whose order says nothing into one order; pairs stay together.
    pub fn sort(&mut self, by: usize) {
        if let Value::Array(values) | Value::Map(values) | Value::Set(values) = self {
            let mut groups: Vec<Vec<Value>> = values.chunks(by).map(<[Value]>::to_vec).collect();
            groups.sort();
            *values = groups.concat();
        }
    }
}

/// `OK`, `-ERR ...`, `5`, `"text"`, `nil`, `[a b]`, `{a b}`, `<a b>`.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let list = |out: &mut fmt::Formatter<'_>, open, values: &[Value], close| {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            write!(out, "{open}{}{close}", values.join(" "))
        };
        match self {
            Value::Simple(line) => write!(out, "{}", text(line)),
            Value::Error(line) => write!(out, "-{}", text(line).replace("\\'", "'")),
            Value::Integer(n) => write!(out, "{n}"),
            Value::Double(digits) => write!(out, ",{}", text(digits)),
            Value::Bulk(bytes) => write!(out, "\"{}\"", text(bytes)),
            Value::Verbatim(bytes) => write!(out, "txt\"{}\"", text(bytes)),
            Value::Null => write!(out, "nil"),
            Value::Array(values) => list(out, '[', values, ']'),
            Value::Map(values) => list(out, '{', values, '}'),
            Value::Set(values) => list(out, '<', values, '>'),
        }
    }
}
