//! A connection for orders and questions, which never makes the load wait.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::mix;

/// A reply in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status, a number or a string.
    Text(String),
    /// An error, or nothing.
    Refused(String),
}

/// One connection to a server.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    input: Vec<u8>,
}

/// A reply to an order is not longer: INFO of everything is far shorter.
const REPLY_MAX: usize = 1 << 20;

impl Control {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Control, String> {
        let open = || {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(Control { stream, input: Vec::new() })
        };
        open().map_err(|error: std::io::Error| format!("{address}: {error}"))
    }

    /// Sends an order. It is short, and the one before it has been answered: a socket that does
    /// not take it at once is broken.
    pub fn send(&mut self, words: &[&str]) -> Result<(), String> {
        let bytes = mix::encode(words);
        self.stream.write_all(&bytes).map_err(|error| format!("{}: {error}", words.join(" ")))
    }

    /// The answer, if it has come.
    pub fn poll(&mut self) -> Result<Option<Answer>, String> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err("the server closed the control connection".to_owned()),
                Ok(got) => self.input.extend_from_slice(chunk.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("the control connection: {error}")),
            }
            if self.input.len() > REPLY_MAX {
                return Err("an answer that does not end".to_owned());
            }
        }
        let Some((answer, len)) = parse(&self.input)? else { return Ok(None) };
        self.input.drain(..len);
        Ok(Some(answer))
    }

    /// Sends an order and waits for the answer, no longer than this.
    pub fn ask(&mut self, words: &[&str], patience: Duration) -> Result<Answer, String> {
        self.send(words)?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(answer) = self.poll()? {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                return Err(format!("{}: no answer in {patience:?}", words.join(" ")));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// As `ask`; an error is an error.
    pub fn text(&mut self, words: &[&str], patience: Duration) -> Result<String, String> {
        match self.ask(words, patience)? {
            Answer::Text(text) => Ok(text),
            Answer::Refused(why) => Err(format!("{}: {why}", words.join(" "))),
        }
    }
}

/// A whole reply at the start of the bytes, with its length.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, String> {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
    let line = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim_end().to_owned();
    let mut chars = line.chars();
    let kind = chars.next();
    let rest = chars.as_str();
    let start = end + 1;
    match kind {
        Some('+' | ':') => Ok(Some((Answer::Text(rest.to_owned()), start))),
        Some('-') => Ok(Some((Answer::Refused(rest.to_owned()), start))),
        Some('$') if rest == "-1" => Ok(Some((Answer::Refused("nothing".to_owned()), start))),
        Some('$') => {
            let len: usize = rest.parse().map_err(|_| format!("not a reply: {line:?}"))?;
            let all = bytes.get(start..).unwrap_or_default();
            if len > REPLY_MAX {
                return Err(format!("not a reply to an order: {line:?}"));
            }
            if all.len() < len + 2 {
                return Ok(None);
            }
            let text = String::from_utf8_lossy(all.get(..len).unwrap_or_default()).into_owned();
            Ok(Some((Answer::Text(text), start + len + 2)))
        }
        _ => Err(format!("not a reply to an order: {line:?}")),
    }
}

/// One field of INFO.
pub fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Does INFO say that a snapshot or a rewrite runs, or will? By the fields of Redis and its
/// likes, and of Dragonfly.
pub fn saving(info: &str) -> bool {
    const FIELDS: &[&str] =
        &["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled", "saving"];
    FIELDS.iter().any(|name| field(info, name).is_some_and(|value| value != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_whole_or_not_at_all() {
        let text = |text: &str| Answer::Text(text.to_owned());
        let rows: &[(&str, Option<(Answer, usize)>)] = &[
            ("+OK\r\n+", Some((text("OK"), 5))),
            (":12\r\n", Some((text("12"), 5))),
            ("$3\r\nabc\r\n", Some((text("abc"), 9))),
            ("$3\r\nabc", None),
            ("$3", None),
            ("-ERR no\r\n", Some((Answer::Refused("ERR no".to_owned()), 9))),
            ("$-1\r\n", Some((Answer::Refused("nothing".to_owned()), 5))),
        ];
        for (bytes, expected) in rows {
            assert_eq!(parse(bytes.as_bytes()).as_ref(), Ok(expected), "{bytes:?}");
        }
        assert!(parse(b"*1\r\n").is_err() && parse(b"$x\r\n").is_err());
    }

    #[test]
    fn info_tells_whether_a_snapshot_runs() {
        assert!(saving("# P\r\nrdb_bgsave_in_progress:1\r\n"));
        assert!(saving("saving:1\r\n") && saving("aof_rewrite_scheduled:1\r\n"));
        assert!(!saving(
            "rdb_bgsave_in_progress:0\r\naof_rewrite_in_progress:0\r\nrdb_saving:1\r\n"
        ));
        assert_eq!(field("a:1\r\nab:2\r\n", "ab"), Some("2"));
    }
}
