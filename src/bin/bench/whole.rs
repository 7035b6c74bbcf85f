//! Commands that answer as one: nothing else runs on the core of their key until the last element
//! is done. What an element costs, by the server's own clock: INFO commandstats, around one call.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::control::{self, Control};
use crate::ends;
use crate::giant::{self, Giant, Place};
use crate::load;
use crate::mix::{self, Mix};
use crate::reply::{Reply, Scanner};
use crate::rig::{ANSWER_MAX, Rig};
use crate::trial::{VOLATILE, strings};

/// Elements of a value: a reply of all of them stays below the 256 MB that a client may be owed.
const ELEMENTS: f64 = 500_000.0;

/// Commands about one value of a type. `{key}` holds it, `{copy}` is in the same slot; `none` is
/// neither a key nor an element.
const OF_A_VALUE: &[(Giant, &[&str])] = &[
    (
        Giant::List,
        &[
            "LRANGE {key} 0 -1",
            "LPOS {key} none",
            "LINSERT {key} BEFORE none x",
            "LREM {key} 0 none",
            "SORT {key} ALPHA",
            "DUMP {key}",
            "COPY {key} {copy}",
        ],
    ),
    (
        Giant::Set,
        &[
            "SMEMBERS {key}",
            "SINTER {key} {key}",
            "SDIFF {key} none{copy}",
            "SUNIONSTORE {copy} {key}",
        ],
    ),
    (
        Giant::SortedSet,
        &[
            "ZRANGE {key} 0 -1 WITHSCORES",
            "ZUNIONSTORE {copy} 1 {key}",
            "ZREMRANGEBYRANK {copy} 0 -1",
        ],
    ),
    (Giant::Stream, &["XRANGE {key} - +", "XREAD STREAMS {key} 0", "COPY {key} {copy}"]),
    (Giant::Hash, &["HGETALL {key}", "HVALS {key}", "COPY {key} {copy}"]),
];

/// Commands about all keys, in a server that holds nothing else.
const OF_ALL_KEYS: &[&str] = &["KEYS *", "KEYS none"];

/// What is measured, and nanoseconds for each element.
pub type Figure = (String, f64);

/// All of them on one server, with so many times the usual number of elements.
pub fn turn(rig: &mut Rig, server: usize, scale: f64) -> Result<Vec<Figure>, String> {
    let elements = (ELEMENTS * scale).max(1000.0) as u64;
    let mut figures = Vec::new();
    for (giant, lines) in OF_A_VALUE {
        let (mut running, _, mut control) = rig.start(server, VOLATILE)?;
        let address = running.address;
        let mut all = || {
            giant::build(*giant, &giant.key(Place::Moved), elements, address)?;
            lines.iter().try_for_each(|line| {
                let words = words(line, *giant);
                let nanos = nanos(&mut control, &words, address)?;
                let what = format!("{} of a {}", title(line), giant.name());
                figures.push((what, nanos / elements as f64));
                Ok(())
            })
        };
        all().map_err(|why: String| running.explain(&why))?;
    }
    let (mut running, _, mut control) = rig.start(server, VOLATILE)?;
    let address = running.address;
    let mut all = || {
        load::fill(&Mix::parse("set")?, &strings(elements, 3), address)?;
        OF_ALL_KEYS.iter().try_for_each(|line| {
            let nanos = nanos(&mut control, &words(line, Giant::List), address)?;
            figures.push(((*line).to_owned(), nanos / elements as f64));
            Ok(())
        })
    };
    all().map_err(|why: String| running.explain(&why))?;
    Ok(figures)
}

/// A line with the names of keys.
fn words(line: &str, giant: Giant) -> Vec<String> {
    let name = |word: &str| {
        let word = word.replace("{key}", &giant.key(Place::Moved));
        word.replace("{copy}", &giant.key(Place::Copy))
    };
    line.split(' ').map(name).collect()
}

/// A line without them.
fn title(line: &str) -> String {
    let words = line.split(' ').filter(|word| !word.contains('{'));
    words.collect::<Vec<_>>().join(" ")
}

/// How long one call runs, in nanoseconds.
fn nanos(control: &mut Control, words: &[String], address: SocketAddr) -> Result<f64, String> {
    control.text(&["CONFIG", "RESETSTAT"], ANSWER_MAX)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ask(&words, address)?;
    let info = control.text(&["INFO", "commandstats"], ANSWER_MAX)?;
    let name = words.first().copied().unwrap_or_default().to_lowercase();
    let usec = usec(&info, &name);
    usec.map(|usec| usec * 1e3).ok_or(format!("INFO commandstats tells nothing of {name}"))
}

fn usec(info: &str, name: &str) -> Option<f64> {
    let stats = control::field(info, &format!("cmdstat_{name}"))?;
    stats.split(',').find_map(|part| part.strip_prefix("usec="))?.parse().ok()
}

/// One command on a connection of its own; its reply, which may be large, is not kept.
fn ask(words: &[&str], address: SocketAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", words.join(" "));
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
    stream.write_all(&mix::encode(words)).map_err(failed)?;
    let (mut scanner, mut input, mut reply) = (Scanner::new(), vec![0; 1 << 16], None);
    while reply.is_none() {
        ends::interrupted()?;
        match stream.read(&mut input) {
            Ok(0) => return Err(format!("{}: the connection was closed", words.join(" "))),
            Ok(got) => scanner
                .feed(input.get(..got).unwrap_or_default(), &mut |whole| reply = Some(whole))?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    match reply {
        Some(Reply::Error(why)) => Err(format!("{}: {why}", words.join(" "))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands_and_titles() {
        let line = "SDIFF {key} none{copy}";
        assert_eq!(words(line, Giant::Set), ["SDIFF", "{foo}:set", "none{foo}:set:copy"]);
        assert_eq!(title(line), "SDIFF");
        assert_eq!(title("ZRANGE {key} 0 -1 WITHSCORES"), "ZRANGE 0 -1 WITHSCORES");
    }

    #[test]
    fn time_is_found() {
        let info = "# Commandstats\r\ncmdstat_lrange:calls=1,usec=2500,usec_per_call=2500.00\r\n";
        assert_eq!(usec(info, "lrange"), Some(2500.0));
        assert_eq!(usec(info, "keys"), None);
    }
}
