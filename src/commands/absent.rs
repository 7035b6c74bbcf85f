//! Parts of Redis that are not here: cluster, replicas, modules. What can be answered about them
//! truly is answered, so that clients and Redis' own tests go on.

use std::borrow::Cow;

use crate::commands::command;
use crate::commands::parse;
use crate::commands::row::{HELP, session_row as row};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Command, Docs, Flags};
use crate::observe::version::REDIS_VERSION;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("asking", 1, &[Flags::FAST], no_cluster, docs("cluster", "3.0.0", "Refused: no cluster.")),
    row("cluster", -2, &[], no_cluster, docs("cluster", "3.0.0", "Refused likewise.")),
    row("lolwut", -1, LOLWUT, lolwut, docs("server", "5.0.0", "Draws something.")),
    Command::container("module", &[], MODULE, docs("server", "4.0.0", "There are none.")),
    row("readonly", 1, FAST, no_cluster, docs("cluster", "3.0.0", "Refused: no cluster.")),
    row("readwrite", 1, FAST, no_cluster, docs("cluster", "3.0.0", "Refused: no cluster.")),
    row("role", 1, ROLE, role, docs("server", "2.8.12", "A primary without replicas.")),
    row("wait", 3, NOSCRIPT, wait, docs("generic", "3.0.0", "How many replicas have it all: 0.")),
    row("waitaof", 4, NOSCRIPT, waitaof, docs("generic", "7.2.0", "Waits for the log's sync.")),
];

const MODULE: &[Command] = &[
    row("module|help", 2, HELP, command::help, docs("server", "5.0.0", "Prints this help.")),
    row("module|list", 2, MODULES, nothing, docs("server", "4.0.0", "Those there are.")),
];

const FAST: &[Flags] = &[Flags::LOADING, Flags::STALE, Flags::FAST];
const LOLWUT: &[Flags] = &[Flags::READONLY, Flags::FAST];
const MODULES: &[Flags] = &[Flags::ADMIN, Flags::NOSCRIPT];
const NOSCRIPT: &[Flags] = &[Flags::NOSCRIPT];
const ROLE: &[Flags] = &[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE, Flags::FAST];

const fn docs(group: &'static str, since: &'static str, summary: &'static str) -> Docs {
    Docs::of(group, since, "O(1)", summary)
}

fn no_cluster(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Err(Error::NO_CLUSTER)
}

fn nothing(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.array(0);
    Ok(Ask::Nothing)
}

// Replicas.

fn role(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.array(3);
    shell.reply.bulk(b"master");
    shell.reply.integer(0);
    shell.reply.array(0);
    Ok(Ask::Nothing)
}

/// No replica will ever acknowledge anything: whoever waits for one waits to the end.
fn wait(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let replicas = parse::integer(shell.args.at(1))?;
    let millis = timeout(shell.args.at(2))?;
    if replicas > 0 {
        return Ok(Ask::Wait { millis });
    }
    shell.reply.integer(0);
    Ok(Ask::Nothing)
}

fn waitaof(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let local = parse::integer_in(shell.args.at(1), 0..=1)?;
    parse::not_negative(shell.args.at(2))?;
    let millis = timeout(shell.args.at(3))?;
    Ok(Ask::WaitAof { local: local == 1, millis })
}

/// WAITAOF for this server's log, which there is none of.
pub const NO_LOG: Error = Error::Text(Cow::Borrowed(
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
));

/// Answers WAITAOF: whether this server's log is synced; no replica's is.
pub fn write_waitaof(reply: &mut Reply<'_>, synced: bool) {
    reply.array(2);
    reply.integer(i64::from(synced));
    reply.integer(0);
}

fn timeout(word: &[u8]) -> Result<u64, Error> {
    let millis = parse::integer(word).map_err(|_| Error::TIMEOUT_NUMBER)?;
    u64::try_from(millis).map_err(|_| Error::TIMEOUT_NEGATIVE)
}

// LOLWUT.

/// LOLWUT [VERSION n [...]]: whatever is asked for, there is one picture.
fn lolwut(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    if args.len() > 2 && args.at(1).eq_ignore_ascii_case(b"version") {
        parse::integer(args.at(2))?;
    }
    let picture = picture(shell.now.0);
    let text = format!("{picture}\nSeparate columns, one rock. Redis ver. {REDIS_VERSION}\n");
    shell.reply.verbatim("txt", text.as_bytes());
    Ok(Ask::Nothing)
}

/// Columns of basalt, their heights from the digits of a number.
fn picture(number: u64) -> String {
    const COLUMNS: u64 = 20;
    const TOP: u64 = 8;
    let heights: Vec<u64> = (0..COLUMNS)
        .map(|column| 1 + ((number.wrapping_mul(2 * column + 1) >> 3) ^ (column * 5)) % TOP)
        .collect();
    let mut text = String::new();
    for level in (0..=TOP).rev() {
        for height in &heights {
            text.push_str(match level.cmp(height) {
                std::cmp::Ordering::Less => "|  |",
                std::cmp::Ordering::Equal => " __ ",
                std::cmp::Ordering::Greater => "    ",
            });
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;

    #[test]
    fn answers_are_those_of_redis() {
        Kit::new().check(
            "cluster info -> -ERR This instance has cluster support disabled
            cluster slots -> -ERR This instance has cluster support disabled
            cluster -> -ERR wrong number of arguments for 'cluster' command
            readonly -> -ERR This instance has cluster support disabled
            readwrite -> -ERR This instance has cluster support disabled
            asking -> -ERR This instance has cluster support disabled
            role -> *3 $6 master :0 *0
            wait 0 0 -> :0
            wait -1 10 -> :0
            wait 1 10 -> Wait { millis: 10 }
            wait x 0 -> -ERR value is not an integer or out of range
            wait 0 -1 -> -ERR timeout is negative
            wait 0 x -> -ERR timeout is not an integer or out of range
            waitaof 1 0 100 -> WaitAof { local: true, millis: 100 }
            waitaof 0 5 0 -> WaitAof { local: false, millis: 0 }
            waitaof 2 0 0 -> -ERR value is out of range, value must between 0 and 1
            waitaof 1 -1 0 -> -ERR value is out of range, must be positive
            waitaof 1 0 -1 -> -ERR timeout is negative
            module list -> *0
            lolwut version x -> -ERR value is not an integer or out of range",
        );
    }

    #[test]
    fn the_picture_is_of_columns_and_names_the_version() {
        let (reply, _) = Kit::new().run("lolwut version 5 1 2");
        assert!(reply.ends_with(&format!("Redis ver. {REDIS_VERSION}")), "{reply}");
        for number in [0, 1, 99, u64::MAX] {
            let picture = picture(number);
            assert_eq!(picture.lines().count(), 9);
            assert!(picture.lines().all(|line| line.len() <= 80));
        }
    }
}
