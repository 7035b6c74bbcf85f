//! Tests of CLIENT.

use super::*;
use crate::base::ids::Db;
use crate::commands::kit::Kit;
use crate::commands::session::Queue;

#[test]
fn answers_are_those_of_redis() {
    Kit::new().check(
        "client id -> :7
        client id 1 -> -ERR wrong number of arguments for 'client|id' command
        client getname -> $-1
        client setname me -> +OK
        client getname -> $2 me
        client setname _ -> +OK
        client getname -> $-1
        client setname a\tb -> -ERR Client names cannot contain spaces, newlines or special \
            characters.
        client setinfo lib-name x -> +OK
        client setinfo LIB-VER 1.2 -> +OK
        client setinfo lib-foo x -> -ERR Unrecognized option 'lib-foo'
        client setinfo lib-name a\tb -> -ERR lib-name cannot contain spaces, newlines or special \
            characters.
        client no-evict on -> +OK
        client no-evict x -> -ERR syntax error
        client no-touch off -> +OK
        client reply foo -> -ERR syntax error
        client getredir -> :-1
        client trackinginfo -> *6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0
        client tracking off -> Track { wanted: None, redirect: None }
        client pause x -> -ERR timeout is not an integer or out of range
        client pause -1 -> -ERR timeout is negative
        client pause 1 some -> -ERR CLIENT PAUSE mode must be WRITE or ALL
        client pause 1 write -> Pause { until: Millis(1700000000124), which: Writes }
        client unpause -> Unpause
        client tracking foo -> -ERR syntax error
        client caching yes -> -ERR CLIENT CACHING can be called only when the client is in \
            tracking mode with OPTIN or OPTOUT mode enabled
        client unblock 5 -> Unblock { id: 5, how: Timeout }
        client unblock 5 error -> Unblock { id: 5, how: Error }
        client unblock x -> -ERR value is not an integer or out of range
        client unblock 5 x -> -ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR
        client info -> ClientInfo
        client list foo -> -ERR syntax error
        client list id -> -ERR syntax error
        client list id x -> -ERR Invalid client ID
        client list id 3 4 x -> -ERR Invalid client ID
        client list type foo -> -ERR Unknown client type 'foo'
        client list type normal foo -> -ERR syntax error
        client kill foo bar -> -ERR syntax error
        client kill id -> ClientKill { filter: ClientFilter { ids: [], peer: Some([105, 100]), \
            local: None, kind: None, user: None, except: None, min_age: None }, form: Address }
        client kill id 0 -> -ERR client-id should be greater than 0
        client kill id x -> -ERR client-id should be greater than 0
        client kill type x -> -ERR Unknown client type 'x'
        client kill user x -> -ERR No such user 'x'
        client kill skipme x -> -ERR syntax error
        client kill maxage 0 -> -ERR maxage should be greater than 0
        client kill id 3 type -> -ERR syntax error
        client foo -> -ERR unknown subcommand 'foo'. Try CLIENT HELP.",
    );
}

#[test]
fn filters_choose_sessions() {
    let now = Millis(100_000);
    let session = |id: u64| Session {
        id,
        peer: format!("1.2.3.4:{id}"),
        local: "5.6.7.8:1".to_owned(),
        created: Millis(id * 1000),
        ..Session::default()
    };
    let lines: [(&str, &[u64]); 12] = [
        ("list", &[3, 7, 40]),
        ("list type normal", &[3, 7, 40]),
        ("list type pubsub", &[]),
        ("list id 7 3 99", &[3, 7]),
        ("kill 1.2.3.4:7", &[7]),
        ("kill id 7", &[]),
        ("kill id 7 skipme no", &[7]),
        ("kill id 3", &[3]),
        ("kill addr 1.2.3.4:40 laddr 5.6.7.8:1", &[40]),
        ("kill laddr 5.6.7.8:2", &[]),
        ("kill user default type normal", &[3, 40]),
        ("kill maxage 90 skipme yes", &[3]),
    ];
    for (line, expected) in lines {
        let filter = match Kit::new().run(&format!("client {line}")).1 {
            Ask::ClientList(filter) | Ask::ClientKill { filter, .. } => filter,
            other => panic!("{line}: {other:?}"),
        };
        let found: Vec<u64> =
            [3, 7, 40].into_iter().filter(|id| filter.matches(&session(*id), now)).collect();
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn the_line_has_the_fields_of_redis() {
    let mut session = Session {
        id: 7,
        db: Db(2),
        proto: Proto::Three,
        name: b"me".to_vec(),
        lib_name: b"lib".to_vec(),
        no_evict: true,
        peer: "1.2.3.4:5".to_owned(),
        local: "6.7.8.9:10".to_owned(),
        created: Millis(1_000),
        seen: Millis(9_500),
        command: "client|list",
        ..Session::default()
    };
    session.queue = Some(Queue { bytes: 11, ..Queue::default() });
    let wire = Wire { fd: 8, query: 26, query_free: 100, args: 10, ..Wire::default() };
    let line = line(&session, &wire, Millis(10_400));
    let text = String::from_utf8(line.text).unwrap();
    let total = 147 + std::mem::size_of::<Session>();
    assert_eq!(
        text,
        format!(
            "id=7 addr=1.2.3.4:5 laddr=6.7.8.9:10 fd=8 name=me age=9 idle=0 flags=xe db=2 sub=0 \
             psub=0 ssub=0 multi=0 qbuf=26 qbuf-free=100 argv-mem=10 multi-mem=11 rbs=0 rbp=0 \
             obl=0 oll=0 omem=0 tot-mem={total} events=r cmd=client|list user=default redir=-1 \
             resp=3 lib-name=lib lib-ver="
        )
    );
}

#[test]
fn lines_come_by_id_and_kills_are_counted() {
    let written = |write: &dyn Fn(&mut Reply<'_>)| {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, Proto::Two));
        String::from_utf8(out).unwrap()
    };
    let of = |id: u64| ClientLine { id, text: format!("id={id}").into_bytes() };
    assert_eq!(
        written(&|reply| write_lines(reply, vec![of(10), of(9)])),
        "$11\r\nid=9\nid=10\n\r\n"
    );
    for (form, killed, expected) in [
        (KillForm::Address, 0, "-ERR No such client\r\n"),
        (KillForm::Address, 1, "+OK\r\n"),
        (KillForm::Filters, 0, ":0\r\n"),
        (KillForm::Filters, 3, ":3\r\n"),
    ] {
        assert_eq!(written(&|reply| write_killed(reply, form, killed)), expected);
    }
}

#[test]
fn replies_are_hidden_as_the_client_wishes() {
    let mut kit = Kit::new();
    let lines = [
        ("ping", false),
        ("client reply skip", true),
        ("ping", true),
        ("ping", false),
        ("client reply off", true),
        ("ping", true),
        ("client reply skip", true),
        ("ping", true),
        ("ping", true),
        ("client reply on", false),
        ("ping", false),
        ("client reply skip", true),
        ("client reply skip", true),
        ("ping", true),
        ("ping", false),
    ];
    for (step, (line, hidden)) in lines.into_iter().enumerate() {
        kit.run(line);
        assert_eq!(kit.session.reply_hidden(), hidden, "step {step}: {line}");
    }
}
