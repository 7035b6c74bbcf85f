//! A small blocking client: it hides nothing of the protocol, and never waits for ever.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::reply::{Reply, decode};

/// How long a reply may take before the test fails. Builds run beside the tests on small machines.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    at: usize,
}

/// A command as bytes: a header and its arguments.
pub fn encode<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

impl Client {
    /// A connection to a port of this machine.
    pub fn open(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, input: Vec::new(), at: 0 })
    }

    /// As `open`; a refusal fails the test.
    pub fn to(port: u16) -> Client {
        Client::open(port).unwrap_or_else(|e| panic!("cannot connect to port {port}: {e}"))
    }

    /// Waits for replies no longer than this.
    pub fn patience(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a read timeout");
        self.stream.set_write_timeout(Some(limit)).expect("a write timeout");
    }

    /// The socket, for tests that need it raw.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next reply.
    pub fn read(&mut self) -> io::Result<Reply> {
        loop {
            if self.at < self.input.len()
                && let Some((reply, len)) = decode(&self.input[self.at..])
            {
                self.at += len;
                return Ok(reply);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.input.drain(..self.at);
        self.at = 0;
        let mut chunk = [0; 1 << 16];
        // A process that was stopped and goes on finds its call interrupted.
        let got = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&chunk[..got]);
        Ok(())
    }

    /// Everything up to the close by the other side; an error when it does not close.
    pub fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        let mut out = self.input.split_off(self.at);
        match self.stream.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            // The server closed with unread input of ours: what it had answered still counts.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(out),
            Err(e) => Err(e),
        }
    }

    /// Is the connection closed by the other side within the patience, with nothing more said?
    pub fn is_closed(&mut self) -> bool {
        matches!(self.read_to_close(), Ok(rest) if rest.is_empty())
    }

    /// Sends one command and reads its reply.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<Reply> {
        self.send(&encode(words))?;
        self.read()
    }

    /// As `try_call`; a broken connection fails the test.
    pub fn call(&mut self, words: &[&str]) -> Reply {
        self.try_call(words).unwrap_or_else(|e| panic!("{}: {e}", words.join(" ")))
    }

    /// A command whose words hold no spaces.
    pub fn line(&mut self, line: &str) -> Reply {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// As `line`, for a command that must not be answered with an error.
    pub fn ok(&mut self, line: &str) -> Reply {
        let reply = self.line(line);
        assert!(!reply.is_error(), "{line}: {reply}");
        reply
    }

    /// Sends what is encoded in one go and reads `count` replies. For batches that fit the socket
    /// buffers of both sides.
    pub fn batch(&mut self, encoded: &[u8], count: usize) -> io::Result<Vec<Reply>> {
        self.send(encoded)?;
        (0..count).map(|_| self.read()).collect()
    }

    /// Makes so many string keys `name:0`, `name:1`, ... (DEBUG POPULATE does not go through the
    /// log of a redis-server).
    pub fn populate(&mut self, name: &str, count: u64) {
        for start in (0..count).step_by(500) {
            let mut words = vec!["MSET".to_owned()];
            for n in start..count.min(start + 500) {
                words.extend([format!("{name}:{n}"), format!("value:{n}")]);
            }
            assert_eq!(self.try_call(&words).expect("a reply").text(), "OK");
        }
    }

    /// The fields of INFO with this section.
    pub fn info(&mut self, section: &str) -> std::collections::BTreeMap<String, String> {
        let text = self.call(&["INFO", section]).text();
        let field = |line: &str| line.split_once(':').map(|(k, v)| (k.to_owned(), v.to_owned()));
        text.lines().filter_map(field).collect()
    }
}
