//! Users over several cores: changed, deleted, denied, kept in a file.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::harness::client::{Client, encode};
use super::harness::reply::Reply;
use super::harness::server::{Launch, Server};
use super::ours;

fn server() -> Option<(Launch, Server)> {
    let launch = ours()?.volatile().shards(4);
    let server = launch.start();
    Some((launch, server))
}

/// A connection as this user, who needs no password.
fn client_as(server: &Server, user: &str) -> Client {
    let mut client = server.client();
    client.ok(&format!("AUTH {user} x"));
    client
}

fn send(client: &mut Client, words: &[&str]) {
    client.send(&encode(words)).expect("sent");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The fields of the latest entries of ACL LOG, one map as words.
fn denials(client: &mut Client) -> Vec<String> {
    let show = |entry: &Reply| {
        let parts = entry.items();
        let of = |name: &str| {
            let at = parts.iter().step_by(2).position(|part| part.text() == name);
            match &parts[2 * at.expect(name) + 1] {
                Reply::Int(number) => number.to_string(),
                other => other.text(),
            }
        };
        ["count", "reason", "context", "object", "username"].map(of).join(" ")
    };
    client.ok("ACL LOG 100").items().iter().map(show).collect()
}

const NO_SET: &str = "-NOPERM User u has no permissions to run the 'set' command";
const NO_KEY: &str =
    "-NOPERM this user has no permissions to access one of the keys used as arguments";

#[test]
fn a_user_that_changes_while_it_pipelines_is_limited_from_then_on() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +@all ~* &*");
    let workers: Vec<_> = (0..4)
        .map(|n| {
            let mut client = client_as(&server, "u");
            thread::spawn(move || {
                let mut all = Vec::new();
                for round in 0..200 {
                    let batch: Vec<u8> = (0..50)
                        .flat_map(|k| encode(&["SET", &format!("k:{n}:{round}:{k}"), "v"]))
                        .collect();
                    let replies = client.batch(&batch, 50).expect("replies");
                    all.extend(replies.iter().map(Reply::text));
                }
                // What comes after the administrator was answered is refused to the last.
                all
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    admin.ok("ACL SETUSER u -set");
    let mut late = client_as(&server, "u");
    assert_eq!(late.line("SET a b").text(), NO_SET);
    let mut refused = 0;
    for worker in workers {
        let replies = worker.join().expect("a worker");
        let first = replies.iter().position(|reply| reply != "OK").unwrap_or(replies.len());
        assert!(replies[first..].iter().all(|reply| reply == NO_SET), "never allowed again");
        refused += replies.len() - first;
    }
    let counted: u64 = admin.info("stats")["acl_access_denied_cmd"].parse().expect("a number");
    assert_eq!(counted, refused as u64 + 1);
    admin.ok("ACL SETUSER u +set");
    assert_eq!(late.line("SET a b").text(), "OK", "the same connection");
}

#[test]
fn a_change_holds_on_every_core_when_it_is_acknowledged() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +@all ~*");
    let mut clients: Vec<Client> = (0..8).map(|_| client_as(&server, "u")).collect();
    for round in 0..50 {
        admin.ok("ACL SETUSER u -set");
        for client in &mut clients {
            assert_eq!(client.line("SET a b").text(), NO_SET, "{round}");
        }
        admin.ok("ACL SETUSER u +set");
        for client in &mut clients {
            assert_eq!(client.line("SET a b").text(), "OK", "{round}");
        }
    }
    assert_eq!(denials(&mut admin)[0], "400 command toplevel set u");
}

#[test]
fn who_is_deleted_or_may_not_hear_any_more_is_closed() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +@all &news &p:*");
    admin.ok("ACL SETUSER stays on nopass +@all &news");
    let listening = |user: &str, command: &str, channel: &str| {
        let mut client = client_as(&server, user);
        client.ok(&format!("{command} {channel}"));
        client
    };
    let mut stays = listening("stays", "SUBSCRIBE", "news");
    let mut revoked: Vec<Client> = (0..4).map(|_| listening("u", "PSUBSCRIBE", "p:*")).collect();
    let mut deleted: Vec<Client> = (0..4).map(|_| listening("u", "SUBSCRIBE", "news")).collect();
    let mut idle = client_as(&server, "u");
    admin.ok("ACL SETUSER u resetchannels &news &other");
    assert!(revoked.iter_mut().all(Client::is_closed));
    assert!(!idle.line("PING").is_error());
    let text = admin.line("CLIENT LIST").text();
    assert_eq!(text.matches(" user=u ").count(), 5, "{text}");
    assert_eq!(admin.ok("ACL DELUSER u nobody").int(), 1);
    assert!(deleted.iter_mut().all(Client::is_closed) && idle.is_closed());
    let text = admin.line("CLIENT LIST").text();
    assert!(!text.contains("user=u ") && text.contains("user=stays "), "{text}");
    assert_eq!(admin.ok("PUBLISH news hello").int(), 1);
    assert_eq!(stays.read().expect("a message").items()[2].text(), "hello");
    assert_eq!(admin.line("CLIENT KILL USER u").text(), "-ERR No such user 'u'");
    assert_eq!(admin.line("CLIENT KILL USER stays").int(), 1);
    assert!(stays.is_closed());
    // Who deletes itself is told so, then closed.
    admin.ok("ACL SETUSER self on nopass +@all");
    let mut own = client_as(&server, "self");
    assert_eq!(own.line("ACL DELUSER self").int(), 1);
    assert!(own.is_closed());
}

#[test]
fn scripts_may_do_what_their_caller_may() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +@scripting +set +get ~x*");
    let mut client = client_as(&server, "u");
    let failed = |reply: Reply| {
        // Behind it stands where in the script it was.
        let text = reply.text();
        text.rsplit_once(" script: ").map_or(text.as_str(), |(said, _)| said).to_owned()
    };
    let failure = "-ERR ACL failure in script";
    for (script, expected) in [
        ("return redis.call('set', 'x1', 1)", "OK".to_owned()),
        (
            "return redis.call('incr', 'x1')",
            format!("{failure}: User u has no permissions to run the 'incr' command"),
        ),
        ("return redis.call('set', 'y', 1)", format!("{failure}: No permissions to access a key")),
        ("return redis.pcall('get', 'y').err and 'caught' or 'no'", "caught".to_owned()),
        ("return tostring(redis.acl_check_cmd('set', 'x', 1))", "true".to_owned()),
        ("return tostring(redis.acl_check_cmd('set', 'y', 1))", "false".to_owned()),
        ("return tostring(redis.acl_check_cmd('del', 'x'))", "false".to_owned()),
    ] {
        assert_eq!(failed(client.call(&["EVAL", script, "0"])), expected, "{script}");
    }
    let nothing = "return redis.acl_check_cmd('nothing')";
    let nothing = client.call(&["EVAL", nothing, "0"]).text();
    assert!(nothing.contains("Invalid command passed to redis.acl_check_cmd()"), "{nothing}");
    let free = "return tostring(redis.acl_check_cmd('del', 'x'))";
    assert_eq!(admin.call(&["EVAL", free, "0"]).text(), "true");
    assert_eq!(client.call(&["EVAL", "return 1", "1", "y"]).text(), NO_KEY);
    let noted = denials(&mut admin);
    assert!(noted.contains(&"1 command lua incr u".to_owned()), "{noted:?}");
    assert!(noted.contains(&"2 key lua y u".to_owned()), "{noted:?}");
    assert!(noted.contains(&"1 key toplevel y u".to_owned()), "{noted:?}");
    // A script that runs while its user changes may do from then on what the user may.
    let long = "for i = 1, 100000000 do if i % 20000 == 0 then redis.call('set', 'x', i) end end";
    send(&mut client, &["EVAL", long, "0"]);
    thread::sleep(Duration::from_millis(200));
    admin.ok("ACL SETUSER u -set");
    let ended = failed(client.read().expect("a reply"));
    assert_eq!(ended, format!("{failure}: User u has no permissions to run the 'set' command"));
}

#[test]
fn transactions_are_looked_at_when_queued_and_when_run() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +multi +exec +discard +set +get +incr ~k* &c");
    let mut client = client_as(&server, "u");
    client.ok("MULTI");
    assert_eq!(client.line("SET y 1").text(), NO_KEY);
    assert_eq!(client.line("SET k 1").text(), "QUEUED");
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(client.line("EXEC").text(), aborted);
    client.ok("MULTI");
    for n in 0..8 {
        client.ok(&format!("SET k{n} {n}"));
        client.ok(&format!("INCR k{n}"));
    }
    admin.ok("ACL SETUSER u -incr");
    let replies: Vec<String> = client.line("EXEC").items().iter().map(Reply::text).collect();
    let changed = "-NOPERM ACLs rules changed between the moment the transaction was accumulated \
                   and the EXEC call. This command is no longer allowed for the following reason: \
                   no permission to execute the command or subcommand";
    let expected: Vec<&str> = ["OK", changed].into_iter().cycle().take(16).collect();
    assert_eq!(replies, expected);
    for n in 0..8 {
        assert_eq!(admin.line(&format!("GET k{n}")).text(), n.to_string());
    }
    assert_eq!(denials(&mut admin)[..2], ["8 command multi incr u", "1 key multi y u"]);
    let stats = admin.line("INFO commandstats").text();
    assert!(!stats.contains("cmdstat_:"), "{stats}");
}

#[test]
fn who_waits_for_a_key_that_is_not_allowed_any_more_gets_nothing() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +@all ~q*");
    let keys: Vec<String> = (0..8).map(|n| format!("q{n}")).collect();
    let mut clients: Vec<Client> = keys
        .iter()
        .map(|key| {
            let mut client = client_as(&server, "u");
            send(&mut client, &["BLPOP", key, "other", "0"]);
            client
        })
        .collect();
    // `other` was refused at once: ask again with keys that are allowed.
    for (client, key) in clients.iter_mut().zip(&keys) {
        assert_eq!(client.read().expect("a reply").text(), NO_KEY);
        send(client, &["BLPOP", key, "0"]);
    }
    until("all wait", || admin.info("clients")["blocked_clients"] == "8");
    admin.ok("ACL SETUSER u +get");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(admin.info("clients")["blocked_clients"], "8", "still allowed");
    admin.ok("ACL SETUSER u resetkeys ~q0");
    for client in clients.iter_mut().skip(1) {
        assert_eq!(client.read().expect("a reply").text(), NO_KEY);
    }
    for key in &keys {
        admin.ok(&format!("RPUSH {key} e"));
    }
    assert_eq!(clients[0].read().expect("an element").items()[1].text(), "e");
    for key in keys.iter().skip(1) {
        assert_eq!(admin.line(&format!("LLEN {key}")).int(), 1, "{key}");
    }
    let rejected = admin.line("INFO commandstats").text();
    let line = rejected.lines().find(|line| line.starts_with("cmdstat_blpop")).expect("BLPOP");
    assert!(line.contains("rejected_calls=15"), "{line}");
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}

#[test]
fn a_file_of_users_comes_and_goes_and_a_damaged_one_changes_nothing() {
    let Some(launch) = ours() else { return };
    let launch = launch.volatile().shards(4).with(&["--aclfile", "users.acl"]);
    let path = launch.dir().join("users.acl");
    let missing = launch.try_start(&[]).expect_err("there is no such file");
    assert!(missing.contains("cannot load the users: ") && missing.contains("users.acl"));
    write(&path, "user alice on nopass ~* +@all\n\nuser bob on ( +set %W~w* ) (+get %R~r*)\n");
    let server = launch.start();
    let mut admin = server.client();
    let expected = [
        "user alice on nopass ~* resetchannels +@all",
        "user bob on resetchannels -@all (%W~w* resetchannels -@all +set) \
         (%R~r* resetchannels -@all +get)",
        "user default on nopass ~* &* +@all",
    ];
    let list = |client: &mut Client| -> Vec<String> {
        client.ok("ACL LIST").items().iter().map(Reply::text).collect()
    };
    assert_eq!(list(&mut admin), expected);
    admin.ok("ACL SETUSER eve on >secret ~e* +@read -get");
    admin.ok("ACL DELUSER bob");
    let before = list(&mut admin);
    // Changed by hand, and wrong: all that is wrong is told, and nothing changes.
    let mut alice = client_as(&server, "alice");
    write(&path, "user alice on +nope >pw\nuser x\nuser x\n# what\nuser y (+get\n");
    let said = admin.line("ACL LOAD").text();
    let name = path.display();
    for part in [
        format!("-ERR {name}:1: Error in applying operation '+nope': Unknown command or category"),
        "WARNING: Duplicate user 'x' found on line 3. ".to_owned(),
        format!("{name}:4 should start with user keyword followed by the username. "),
        format!("{name}:5: Unmatched parenthesis in selector definition."),
        "WARNING: ACL errors detected, no change to the previously active ACL".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert_eq!(list(&mut admin), before);
    assert_eq!(alice.line("PING").text(), "PONG");
    admin.ok("ACL SAVE");
    assert_eq!(fs::read_to_string(&path).expect("the file"), before.join("\n") + "\n");
    assert!(!path.with_extension("acl.tmp").exists());
    server.stop();

    let server = launch.start();
    let mut admin = server.client();
    assert_eq!(list(&mut admin), before, "after a restart");
    let mut eve = server.client();
    assert!(eve.line("AUTH eve x").is_error());
    eve.ok("AUTH eve secret");
    eve.ok("STRLEN e");
    let mut alice = client_as(&server, "alice");
    // Who is in the new file as well stays; who is not is closed.
    write(&path, "user alice on nopass ~* +@all -get\n");
    admin.ok("ACL LOAD");
    assert!(eve.is_closed());
    assert!(alice.line("GET a").text().starts_with("-NOPERM"));
    server.stop();

    write(&path, "user alice on nopass\nuser bob maybe\n");
    let why = launch.try_start(&[]).expect_err("a damaged file");
    assert!(why.contains(&format!("cannot load the users: {name}:2: Syntax error.")), "{why}");
}

#[test]
fn users_of_the_configuration_stay_when_it_is_written_back() {
    let Some(launch) = ours() else { return };
    let file = launch.home().join("redis.conf");
    write(&file, "user alice on nopass ~a* +@read\n# end\nrequirepass \"a b\"\n");
    let launch = launch.volatile().shards(2).file(&file).with(&["--requirepass", "secret"]);
    let server = launch.start();
    let mut admin = server.client();
    assert_eq!(admin.line("PING").text(), "-NOAUTH Authentication required.");
    admin.ok("AUTH secret");
    let mut alice = client_as(&server, "alice");
    assert!(alice.line("SET a 1").text().starts_with("-NOPERM User alice"));
    admin.ok("ACL SETUSER bob off ~b\"c (+get ~d)");
    admin.ok("CONFIG SET requirepass other acllog-max-len 3");
    assert!(server.client().line("AUTH secret").is_error());
    admin.ok("CONFIG REWRITE");
    let text = fs::read_to_string(&file).expect("the file");
    let users: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(users[0], "user alice on nopass ~a* resetchannels -@all +@read");
    assert!(users[1].starts_with("user bob off \"~b\\\"c\" resetchannels -@all ("), "{text}");
    assert!(users[2].starts_with("user default on \"#"), "{text}");
    server.stop();
    // What is said of the default user counts more than `requirepass`.
    let again = Launch::basalt().volatile().shards(2).file(&file);
    let server = again.with(&["--requirepass", "other"]).start();
    let mut admin = server.client();
    admin.ok("AUTH other");
    let names: Vec<_> = admin.ok("ACL USERS").items().iter().map(Reply::text).collect();
    assert_eq!(names, ["alice", "bob", "default"]);
    // No password: whoever has given none goes on as the default user.
    let mut late = server.client();
    assert!(late.line("PING").is_error());
    admin.line("CONFIG SET requirepass x");
    admin.call(&["CONFIG", "SET", "requirepass", ""]);
    assert_eq!(late.line("PING").text(), "PONG");
    let wrong = launch.run_bare(&["--user", "foo", "--user", "foo"]);
    assert!(wrong.0 != Some(0) && wrong.1.contains("Duplicate user found"), "{wrong:?}");
    let dir = launch.home().join("elsewhere");
    let dir = dir.to_str().expect("a name");
    let wrong = launch.run_bare(&["--dir", dir, "--port", "0", "--user", "foo", "+nope"]);
    let expected = "command line: Error in user declaration 'foo': Error in applying operation \
                    '+nope': Unknown command or category name in ACL";
    assert!(wrong.0 != Some(0) && wrong.1.contains(expected), "{wrong:?}");
    let both = ["--dir", dir, "--port", "0", "--user", "foo", "--aclfile", "f"];
    let wrong = launch.run_bare(&both);
    assert!(wrong.0 != Some(0) && wrong.1.contains("use one of them"), "{wrong:?}");
}

#[test]
fn what_is_denied_is_counted_and_noted_once_for_all_cores() {
    let Some((_launch, server)) = server() else { return };
    let mut admin = server.client();
    admin.ok("ACL SETUSER u on nopass +get +publish ~k");
    for _ in 0..8 {
        let mut client = client_as(&server, "u");
        assert!(client.line("GET x").is_error() && client.line("PUBLISH c m").is_error());
        assert!(client.line("AUTH u2 wrong").is_error() && client.line("DEL k").is_error());
    }
    let noted = denials(&mut admin);
    let expected = [
        "8 command toplevel del u",
        "8 auth toplevel AUTH u2",
        "8 channel toplevel c u",
        "8 key toplevel x u",
    ];
    assert_eq!(noted, expected);
    let entry = admin.ok("ACL LOG 1").items()[0].items();
    let names: Vec<String> = entry.iter().step_by(2).map(Reply::text).collect();
    let expected = "count reason context object username age-seconds client-info entry-id \
                    timestamp-created timestamp-last-updated";
    assert_eq!(names.join(" "), expected);
    assert!(entry[13].text().contains(" cmd=del user=u "), "{}", entry[13]);
    let stats = admin.info("stats");
    for reason in ["auth", "cmd", "key", "channel"] {
        assert_eq!(stats[&format!("acl_access_denied_{reason}")], "8", "{reason}");
    }
    admin.ok("CONFIG SET acllog-max-len 2");
    let mut client = client_as(&server, "u");
    assert!(client.line("GET y").is_error());
    assert_eq!(denials(&mut admin).len(), 2);
    admin.ok("ACL LOG RESET");
    assert_eq!(denials(&mut admin), Vec::<String>::new());
    let (one, two) = (admin.ok("ACL GENPASS").text(), admin.ok("ACL GENPASS").text());
    assert!(one.len() == 64 && one != two && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(admin.ok("ACL GENPASS 5").text().len(), 2);
    assert!(admin.line("ACL LOAD").text().contains("not configured to use an ACL file"));
    assert!(admin.line("ACL SAVE").text().contains("not configured to use an ACL file"));
}
