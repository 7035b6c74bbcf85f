//! A real redis-server beside a unit test, for rules that are defined by what it does.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server in a directory of its own. It ends with the value.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    dir: tempfile::TempDir,
    stream: BufReader<UnixStream>,
}

impl Peer {
    /// Starts the server on PATH. None, and a word about it, where there is none; a failure
    /// instead where `BASALT_REQUIRE_PEERS=1`.
    pub fn start() -> Option<Peer> {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("peer");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            let required = std::env::var("BASALT_REQUIRE_PEERS").as_deref() == Ok("1");
            assert!(!required, "required, but there is no redis-server on PATH");
            eprintln!("skipped: there is no redis-server on PATH");
            return None;
        };
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(&socket) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
                return Some(Peer { child, dir, stream: BufReader::new(stream) });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not open its socket");
    }

    /// Sends one command; its reply as bytes, nested ones included.
    pub fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.send(&[args]);
        self.reply()
    }

    /// Sends several commands at once.
    pub fn send(&mut self, commands: &[&[&[u8]]]) {
        let mut bytes = Vec::new();
        for args in commands {
            bytes.extend(format!("*{}\r\n", args.len()).bytes());
            for arg in *args {
                bytes.extend(format!("${}\r\n", arg.len()).bytes());
                bytes.extend(*arg);
                bytes.extend(b"\r\n");
            }
        }
        self.stream.get_mut().write_all(&bytes).expect("the peer reads");
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut pending = 1;
        while pending > 0 {
            pending -= 1;
            let start = out.len();
            self.stream.read_until(b'\n', &mut out).expect("the peer answers");
            let line = String::from_utf8_lossy(&out[start..]).into_owned();
            let number = || line[1..].trim().parse::<i64>().expect("a length").max(-1);
            match line.as_bytes().first() {
                Some(b'$') if number() >= 0 => {
                    let body = out.len();
                    out.resize(body + number() as usize + 2, 0);
                    self.stream.read_exact(&mut out[body..]).expect("a bulk");
                }
                Some(b'*') => pending += number().max(0),
                Some(_) => {}
                None => panic!("the peer closed the connection"),
            }
        }
        out
    }

    /// Sends these bytes over a connection of their own and closes it for writing; all that
    /// comes back.
    pub fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.dir.path().join("peer")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        // It may close before it has read all: that is an answer too.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        out
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
