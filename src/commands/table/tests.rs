//! Tests of the command table: every row, against what Redis says of it.

use super::*;
use crate::commands::row::{COUNTED, COUNTED_INTO};
use crate::commands::spec::Run;
use crate::resp::args::OwnedArgs;

fn request(line: &str) -> OwnedArgs {
    OwnedArgs::of(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

#[test]
fn every_row_is_found_in_any_case_and_nothing_else_is() {
    let mut count = 0;
    for row in all() {
        count += 1;
        assert_eq!(find(row.name.as_bytes()).map(|row| row.name), Some(row.name));
        let upper = row.name.to_ascii_uppercase();
        assert_eq!(find(upper.as_bytes()).map(|row| row.name), Some(row.name));
        for wrong in [format!("{upper}_"), upper[1..].to_owned(), format!(" {upper}")] {
            if let Some(found) = find(wrong.as_bytes()) {
                assert_eq!(found.name.to_ascii_uppercase(), wrong);
            }
        }
    }
    assert_eq!(count, COMMANDS.iter().map(|rows| rows.len()).sum::<usize>());
    for name in ["", "a", "ab", "abc", "abcd", "nothing", "nothing-of-this-length-exists-anywhere"]
    {
        assert!(find(name.as_bytes()).is_none(), "{name}");
    }
}

#[test]
fn rows_are_well_formed() {
    let mut names: Vec<&str> = Vec::new();
    for row in all() {
        assert!(row.arity != 0 && !row.name.contains('|'), "{}", row.name);
        let holds_only = !row.subs.is_empty() && row.name != "command";
        assert_eq!(matches!(row.run, Run::Container), holds_only, "{}", row.name);
        names.push(row.name);
        for sub in row.subs {
            let own = sub.name.strip_prefix(row.name).and_then(|rest| rest.strip_prefix('|'));
            assert_eq!(own, Some(sub.own_name()), "{}", sub.name);
            assert!(sub.arity.abs() >= 2 && sub.subs.is_empty(), "{}", sub.name);
            names.push(sub.name);
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is used twice");
    for name in names {
        assert_eq!(name, name.to_ascii_lowercase());
    }
}

#[test]
fn requests_are_resolved_with_the_errors_of_redis() {
    let lines = [
        ("PING", "ping"),
        ("ClIeNt Id", "client|id"),
        ("client getname", "client|getname"),
        ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        ("foo", "ERR unknown command 'foo', with args beginning with: "),
        ("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
        ("client", "ERR wrong number of arguments for 'client' command"),
        ("client id x", "ERR wrong number of arguments for 'client|id' command"),
        ("echo", "ERR wrong number of arguments for 'echo' command"),
        ("watch", "ERR wrong number of arguments for 'watch' command"),
    ];
    for (line, expected) in lines {
        let request = request(line);
        let got =
            resolve(request.args()).map_or_else(|error| error.to_string(), |row| row.name.into());
        assert_eq!(got, expected, "{line}");
    }
}

#[test]
fn keys_are_where_the_row_says() {
    let lines: [(KeySpec, &str, &[usize]); 21] = [
        (KeySpec::None, "ping a", &[]),
        (KeySpec::At { first: 1, last: 1, step: 1 }, "set a b", &[1]),
        (KeySpec::At { first: 1, last: -1, step: 1 }, "mget a b c", &[1, 2, 3]),
        (KeySpec::At { first: 1, last: -1, step: 2 }, "mset a 1 b 2", &[1, 3]),
        (KeySpec::At { first: 2, last: 2, step: 1 }, "object encoding a", &[2]),
        (KeySpec::At { first: 1, last: -2, step: 1 }, "blpop a b 0", &[1, 2]),
        (KeySpec::At { first: 1, last: -9, step: 1 }, "blpop a", &[]),
        (COUNTED, "zunion 2 a b weights 1 2", &[2, 3]),
        (COUNTED, "zunion 3 a b", &[]),
        (COUNTED, "zunion -1 a b", &[]),
        (COUNTED, "zunion 99999999999999999999 a b", &[]),
        (COUNTED, "zunion 0 a b", &[]),
        (COUNTED, "zunion", &[]),
        (COUNTED_INTO, "zunionstore t 2 a b", &[1, 3, 4]),
        (COUNTED_INTO, "zunionstore t x a b", &[]),
        (KeySpec::Stored { from: 4 }, "georadius a 1 2 3 m store b", &[1, 7]),
        (KeySpec::Stored { from: 4 }, "georadius a 1 2 3 store", &[1]),
        (KeySpec::Streams { from: 1 }, "xread count 2 streams a b 0 0", &[4, 5]),
        (KeySpec::Streams { from: 4 }, "xreadgroup group streams c STREAMS a >", &[5]),
        (KeySpec::Streams { from: 1 }, "xread streams a b 0", &[2]),
        (KeySpec::Streams { from: 4 }, "xread streams", &[]),
    ];
    for (spec, line, expected) in lines {
        let row = Command { keys: spec, ..*find(b"ping").unwrap() };
        let got: Vec<usize> = keys(&row, request(line).args()).collect();
        assert_eq!(got, expected, "{line}");
    }
}
