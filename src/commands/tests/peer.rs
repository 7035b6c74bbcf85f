//! A redis-server beside the test, where there is one on PATH.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::commands::tests::wire::Value;

/// A real server, reached over a unix socket in a directory of its own.
pub struct Peer {
    stream: UnixStream,
    child: Child,
    _home: tempfile::TempDir,
}

impl Peer {
    /// Starts one. Nothing where redis-server is missing, unless peers are required.
    pub fn start() -> Option<Peer> {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--enable-debug-command", "yes"])
            .args(["--loglevel", "warning", "--dir"])
            .arg(home.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                let required = std::env::var("BASALT_REQUIRE_PEERS").is_ok_and(|v| v == "1");
                assert!(!required, "redis-server is required: {error}");
                eprintln!("skipped: no redis-server on PATH");
                return None;
            }
        };
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    break stream;
                }
                Err(error) => assert!(start.elapsed() < Duration::from_secs(10), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Some(Peer { stream, child, _home: home })
    }

    /// Sends one request and waits for its reply.
    pub fn run(&mut self, args: &[Vec<u8>]) -> Value {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&request).unwrap();
        let mut bytes = Vec::new();
        let mut chunk = [0; 65536];
        loop {
            let len = self.stream.read(&mut chunk).unwrap();
            assert!(len > 0, "the peer closed the connection");
            bytes.extend_from_slice(&chunk[..len]);
            if let Some((value, rest)) = Value::read(&bytes) {
                assert!(rest.is_empty());
                return value;
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
