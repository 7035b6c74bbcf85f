//! Latency under an open load: requests are due at fixed times whether or not the server keeps up,
//! and latency counts from the due time, so a stall hits every request that was due in it.
//!
//! `cargo bench --bench open_loop -- --port 6379 --fill yes --rate 10000 --seconds 30
//! --hash-fields 5000000 --keys 2000000 --trigger BGSAVE --trigger-at 5`: half HSET on one hash,
//! half SET elsewhere; with `--hash-fields 0` SET alone. `--fill yes` first sets every field and
//! key once, `--rate 0` does nothing else. Keys have 16 bytes, values `--value-bytes` of hex.
//! One thread spins and must have a core of its own; it says how late it was itself.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

struct Options {
    port: u16,
    rate: u64,
    seconds: u64,
    connections: usize,
    fields: u64,
    keys: u64,
    trigger: Option<String>,
    trigger_at: u64,
    value_bytes: usize,
    fill: bool,
}

struct Connection {
    stream: TcpStream,
    due: VecDeque<Instant>,
    unsent: Vec<u8>,
}

fn main() {
    let options = options();
    if options.fill {
        fill(&options);
    }
    if options.rate > 0 {
        load(&options);
    }
}

/// Values of hex digits that neither repeat nor compress below a half.
struct Values {
    random: u64,
    text: String,
}

impl Values {
    fn new() -> Values {
        Values { random: 0x9e37_79b9_7f4a_7c15, text: String::new() }
    }

    fn number(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn value(&mut self, bytes: usize) -> &str {
        self.text.clear();
        while self.text.len() < bytes {
            let number = self.number();
            self.text.push_str(&format!("{number:016x}"));
        }
        self.text.truncate(bytes);
        &self.text
    }
}

/// Sets every field and every key once, 50 in a pipeline.
fn fill(options: &Options) {
    const PIPELINE: u64 = 50;
    let mut stream = TcpStream::connect(("127.0.0.1", options.port)).expect("a server");
    let mut replies = BufReader::new(stream.try_clone().expect("a socket"));
    let mut values = Values::new();
    let (mut requests, mut line) = (String::new(), String::new());
    let begin = Instant::now();
    for (what, count) in [("HSET big field", options.fields), ("SET key", options.keys)] {
        let mut next = 0;
        while next < count {
            let end = count.min(next + PIPELINE);
            requests.clear();
            for n in next..end {
                let value = values.value(options.value_bytes);
                requests.push_str(&format!("{what}:{n:012} {value}\r\n"));
            }
            stream.write_all(requests.as_bytes()).expect("send");
            for _ in next..end {
                line.clear();
                replies.read_line(&mut line).expect("a reply");
                assert!(!line.starts_with('-') && !line.is_empty(), "an error reply: {line}");
            }
            next = end;
            if next % 1_000_000 == 0 {
                eprintln!("{what}: {next} of {count}, {:?}", begin.elapsed());
            }
        }
    }
}

fn load(options: &Options) {
    let mut connections: Vec<Connection> =
        (0..options.connections).map(|_| connect(options.port)).collect();
    let step = Duration::from_nanos(1_000_000_000 / options.rate);
    let begin = Instant::now();
    let end = begin + Duration::from_secs(options.seconds);
    let mut due = begin;
    let mut number = 0u64;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("bounds");
    let mut lateness = latencies.clone();
    let mut trigger = options.trigger.clone();
    let mut input = vec![0u8; 1 << 16];
    let mut values = Values::new();
    loop {
        let now = Instant::now();
        if now >= end && connections.iter().all(|connection| connection.due.is_empty()) {
            break;
        }
        while due <= now && due < end {
            let dice = values.number() >> 20;
            let value = values.value(options.value_bytes);
            let request = match number % 2 {
                0 if options.fields > 0 => {
                    format!("HSET big field:{:012} {value}\r\n", dice % options.fields)
                }
                _ => format!("SET key:{:012} {value}\r\n", dice % options.keys),
            };
            let at = number as usize % connections.len();
            let connection = &mut connections[at];
            connection.unsent.extend_from_slice(request.as_bytes());
            connection.due.push_back(due);
            lateness.saturating_record((now - due).as_micros() as u64);
            number += 1;
            due += step;
        }
        if let Some(command) =
            trigger.take_if(|_| now >= begin + Duration::from_secs(options.trigger_at))
        {
            // The reply comes when the cut has been made; nobody waits for it.
            let mut once = TcpStream::connect(("127.0.0.1", options.port)).expect("connect");
            once.write_all(format!("{command}\r\n").as_bytes()).expect("send the trigger");
        }
        for connection in &mut connections {
            exchange(connection, &mut input, &mut latencies);
        }
    }
    report("latency", &latencies);
    report("generator's own lateness", &lateness);
}

fn exchange(connection: &mut Connection, input: &mut [u8], latencies: &mut Histogram<u64>) {
    if !connection.unsent.is_empty() {
        match connection.stream.write(&connection.unsent) {
            Ok(sent) => drop(connection.unsent.drain(..sent)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("write: {error}"),
        }
    }
    if connection.due.is_empty() {
        return;
    }
    match connection.stream.read(input) {
        Ok(0) => panic!("the server closed a connection"),
        Ok(read) => {
            let now = Instant::now();
            // Every reply here is one line.
            for byte in &input[..read] {
                assert!(
                    *byte != b'-',
                    "an error reply: {}",
                    String::from_utf8_lossy(&input[..read])
                );
                if *byte == b'\n' {
                    let due = connection.due.pop_front().expect("a reply without a request");
                    latencies.saturating_record((now - due).as_micros() as u64);
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => panic!("read: {error}"),
    }
}

fn report(what: &str, histogram: &Histogram<u64>) {
    println!(
        "{what} (us): count {} p50 {} p99 {} p99.9 {} p99.99 {} max {}",
        histogram.len(),
        histogram.value_at_quantile(0.5),
        histogram.value_at_quantile(0.99),
        histogram.value_at_quantile(0.999),
        histogram.value_at_quantile(0.9999),
        histogram.max()
    );
}

fn connect(port: u16) -> Connection {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a server on the port");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_nonblocking(true).expect("nonblocking");
    Connection { stream, due: VecDeque::new(), unsent: Vec::new() }
}

fn options() -> Options {
    let mut options = Options {
        port: 6379,
        rate: 10_000,
        seconds: 10,
        connections: 32,
        fields: 5_000_000,
        keys: 2_000_000,
        trigger: None,
        trigger_at: 2,
        value_bytes: 32,
        fill: false,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = value.parse::<u64>();
        match (word.as_str(), number) {
            ("--port", Ok(n)) => options.port = n as u16,
            ("--rate", Ok(n)) => options.rate = n,
            ("--value-bytes", Ok(n)) => options.value_bytes = n as usize,
            ("--fill", _) => options.fill = value == "yes",
            ("--seconds", Ok(n)) => options.seconds = n,
            ("--connections", Ok(n)) => options.connections = (n as usize).max(1),
            ("--hash-fields", Ok(n)) => options.fields = n,
            ("--keys", Ok(n)) => options.keys = n.max(1),
            ("--trigger", _) => options.trigger = Some(value),
            ("--trigger-at", Ok(n)) => options.trigger_at = n,
            _ => panic!("unknown option {word} {value}"),
        }
    }
    options
}
