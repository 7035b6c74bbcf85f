//! `basalt-check status`: what a running server is doing with its files, from its INFO.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clap::Args;

use crate::Trouble;
use crate::report::{Report, Value, text};

/// Which server is asked.
#[derive(Args)]
pub struct StatusArgs {
    /// The server's host
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The server's port
    #[arg(long, default_value_t = 6379)]
    port: u16,
    /// Its password
    #[arg(long)]
    pass: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// INFO of one section is far shorter.
const REPLY_MAX: u64 = 1 << 20;

/// Asks, and says what matters to an operator.
pub fn status(args: &StatusArgs, report: &mut Report<'_>) -> Result<(), Trouble> {
    let failed =
        |error: std::io::Error| Trouble::Unable(format!("{}:{}: {error}", args.host, args.port));
    let stream = TcpStream::connect((args.host.as_str(), args.port)).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut server = BufReader::new(stream);
    if let Some(pass) = &args.pass {
        ask(&mut server, &["AUTH", pass]).map_err(failed)?;
    }
    let info = ask(&mut server, &["INFO", "persistence"]).map_err(failed)?;
    let field = |line: &str| line.split_once(':').map(|(k, v)| (k.to_owned(), v.to_owned()));
    let info: BTreeMap<String, String> = info.lines().filter_map(field).collect();
    if info.is_empty() {
        return Err(Trouble::Unable("the server does not tell about its persistence".to_owned()));
    }
    tell(&info, report)
}

fn tell(info: &BTreeMap<String, String>, report: &mut Report<'_>) -> Result<(), Trouble> {
    let get = |name: &str| info.get(name).map_or("", String::as_str);
    let number = |name: &str| Value::Number(get(name).parse().unwrap_or(0));
    let is = |name: &str| get(name) == "1";
    let state = match () {
        () if is("loading") => "loading",
        () if is("rdb_bgsave_in_progress") => "saving",
        () if is("aof_rewrite_in_progress") => "rewriting the log",
        () => "idle",
    };
    let mut line = vec![("state", text(state))];
    if is("loading") {
        line.push(("percent", text(get("loading_loaded_perc"))));
        line.push(("bytes", number("loading_loaded_bytes")));
        line.push(("bytes_total", number("loading_total_bytes")));
        line.push(("bytes_a_second", number("loading_bytes_per_sec")));
        line.push(("seconds_left", text(get("loading_eta_seconds"))));
    } else if state != "idle" {
        line.push(("percent", text(get("snapshot_progress_perc"))));
        line.push(("keys", number("current_save_keys_processed")));
        line.push(("keys_total", number("current_save_keys_total")));
        line.push(("keys_a_second", number("snapshot_keys_per_sec")));
        line.push(("seconds_left", text(get("snapshot_eta_seconds"))));
    }
    report.line(&line)?;
    report.line(&[
        ("last_save", text(get("rdb_last_bgsave_status"))),
        ("last_save_time", number("rdb_last_save_time")),
        ("changes_since", number("rdb_changes_since_last_save")),
        ("last_rewrite", text(get("aof_last_bgrewrite_status"))),
        ("log", text(if is("aof_enabled") { get("aof_last_write_status") } else { "off" })),
        ("log_bytes", number("aof_current_size")),
        ("generation", number("generation")),
        ("retained", number("generations_retained")),
    ])
}

/// Sends one command; the text of its reply, which an error is not.
fn ask(server: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<String> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    server.get_mut().write_all(&bytes)?;
    let mut line = String::new();
    server.by_ref().take(REPLY_MAX).read_line(&mut line)?;
    let wrong = |text: &str| std::io::Error::other(text.trim_end().to_owned());
    let Some(length) = line.strip_prefix('$') else {
        return if line.starts_with('+') { Ok(line) } else { Err(wrong(&line)) };
    };
    let length: u64 = length.trim_end().parse().map_err(|_| wrong(&line))?;
    if length > REPLY_MAX {
        return Err(wrong("the reply is too long"));
    }
    let mut text = String::new();
    server.by_ref().take(length + 2).read_to_string(&mut text)?;
    Ok(text)
}
