//! A script's text: its name, and what its first line says about it.

use sha1::{Digest, Sha1};

use crate::resp::error::Error;

/// The name of a script: 40 hexadecimal digits in lower case.
pub type Sha = [u8; 40];

/// The name of this text.
pub fn sha_of(body: &[u8]) -> Sha {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut sha = [b'0'; 40];
    for (pair, byte) in sha.chunks_exact_mut(2).zip(Sha1::digest(body)) {
        if let [high, low] = pair {
            *high = DIGITS.get(usize::from(byte >> 4)).copied().unwrap_or_default();
            *low = DIGITS.get(usize::from(byte & 15)).copied().unwrap_or_default();
        }
    }
    sha
}

/// A name as a client has sent it.
pub fn sha_named(name: &[u8]) -> Option<Sha> {
    let mut sha: Sha = name.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

/// What a script says of itself, if it begins with `#!lua`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// `no-writes`
    pub no_writes: bool,
    /// `allow-oom`
    pub allow_oom: bool,
}

/// The flags of a text, without any if it has no such line, and where the program begins.
pub fn declared(body: &[u8]) -> Result<(Option<Declared>, usize), Error> {
    if !body.starts_with(b"#!") {
        return Ok((None, 0));
    }
    let Some(end) = memchr::memchr(b'\n', body) else {
        return Err(Error::err("Invalid script shebang"));
    };
    let line = String::from_utf8_lossy(body.get(..end).unwrap_or_default()).into_owned();
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        let why = format!("Unexpected engine in script shebang: {engine}");
        return Err(Error::err_owned(why));
    }
    let mut declared = Declared { no_writes: false, allow_oom: false };
    for word in words {
        let Some(flags) = word.strip_prefix("flags=") else {
            return Err(Error::err_owned(format!("Unknown lua shebang option: {word}")));
        };
        for flag in flags.split(',').filter(|_| !flags.is_empty()) {
            match flag {
                "no-writes" => declared.no_writes = true,
                "allow-oom" => declared.allow_oom = true,
                "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                _ => {
                    let why = format!("Unexpected flag in script shebang: {flag}");
                    return Err(Error::err_owned(why));
                }
            }
        }
    }
    Ok((Some(declared), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_declares() {
        for (text, expected) in [
            ("return 1", "None 0"),
            ("#!lua\nreturn 1", "false false 5"),
            ("#!lua flags=no-writes,allow-oom\n1", "true true 31"),
            ("#!lua flags=allow-stale,no-cluster,allow-cross-slot-keys\n", "false false 56"),
            ("#!lua", "ERR Invalid script shebang"),
            ("#!bad\n", "ERR Unexpected engine in script shebang: #!bad"),
            ("#!lua a=b\n", "ERR Unknown lua shebang option: a=b"),
            ("#!lua flags=x\n", "ERR Unexpected flag in script shebang: x"),
        ] {
            let got = match declared(text.as_bytes()) {
                Err(error) => error.to_string(),
                Ok((None, at)) => format!("None {at}"),
                Ok((Some(d), at)) => format!("{} {} {at}", d.no_writes, d.allow_oom),
            };
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn names_are_those_of_redis() {
        let sha = sha_of(b"return 1");
        assert_eq!(&sha, b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(sha_named(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(sha));
        assert_eq!(sha_named(b"short"), None);
    }
}
