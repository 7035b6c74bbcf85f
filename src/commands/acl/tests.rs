//! Rules line by line, and what follows from them.

use std::sync::Arc;

use crate::commands::acl::catalogue::Catalogue;
use crate::commands::acl::change::{Wrong, apply};
use crate::commands::acl::check;
use crate::commands::acl::file;
use crate::commands::acl::identity::{Fate, Identity, Standing};
use crate::commands::acl::selector::Fresh;
use crate::commands::acl::user::User;
use crate::commands::acl::users::Users;
use crate::commands::hints::CATEGORIES;
use crate::commands::kit::Kit;
use crate::commands::pubsub::Subscriptions;
use crate::commands::session::Ask;
use crate::commands::table;
use crate::commands::transaction;
use crate::resp::args::OwnedArgs;

fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| {
        let line = line.strip_prefix("->").map_or(("", line), |rest| ("", rest));
        match line {
            ("", rest) if !rest.contains(" -> ") => ("", rest.trim()),
            (_, rest) => rest.split_once(" -> ").expect("what -> what comes of it"),
        }
    })
}

fn made(user: User, rules: &str) -> Result<User, Wrong> {
    apply(user, rules.split(' ').map(str::as_bytes))
}

fn new(rules: &str) -> Result<User, Wrong> {
    made(User::new(b"u", Fresh::NoChannels, &Arc::new(Catalogue::new())), rules)
}

fn shown(user: &User) -> String {
    String::from_utf8(user.describe()).unwrap()
}

#[test]
fn every_rule_does_what_it_says_and_can_be_told_again() {
    let mut count = 0;
    for (rules, expected) in lines(include_str!("tests/rules.txt")) {
        let got = match new(rules) {
            Ok(user) => shown(&user),
            Err(Wrong::Rule(_, why)) => format!("! {why}"),
            Err(wrong) => format!("! {}", String::from_utf8(wrong.text()).unwrap()),
        };
        assert_eq!(got, expected, "{rules}");
        if !expected.starts_with('!') {
            let again = new(expected).unwrap_or_else(|wrong| panic!("{expected}: {wrong:?}"));
            assert_eq!(shown(&again), expected, "read again");
        }
        count += 1;
    }
    assert!(count > 90, "{count}");
}

#[test]
fn who_may_do_what() {
    let mut count = 0;
    for (line, expected) in lines(include_str!("tests/checks.txt")) {
        let (rules, request) = line.split_once("| ").expect("rules | request");
        let user = new(rules.trim()).unwrap();
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::of(&words);
        let row = table::resolve(args.args()).expect("a command");
        let got = match check::check(&user, row, args.args()) {
            Ok(()) => "OK".to_owned(),
            Err(denied) => String::from_utf8(check::dry(&user, row, args.args(), denied)).unwrap(),
        };
        assert_eq!(got, expected, "{line}");
        count += 1;
    }
    assert!(count > 65, "{count}");
}

#[test]
fn a_category_alone_is_told_as_it_was_given() {
    for category in CATEGORIES {
        for rules in [format!("+@all -@{category}"), format!("-@all +@{category}")] {
            let user = new(&rules).unwrap();
            assert_eq!(shown(&user), format!("off resetchannels {rules}"));
        }
    }
}

#[test]
fn who_may_do_everything_is_free() {
    for (rules, free) in [
        ("+@all ~* &*", true),
        ("+@all -get +get ~* &*", true),
        ("(+@all ~* &*)", true),
        ("+@all ~*", false),
        ("+@all &*", false),
        ("~* &*", false),
        ("+@all -get ~* &*", false),
        ("+@all %R~* &*", false),
        ("+@all (~* &*)", false),
    ] {
        assert_eq!(new(rules).unwrap().is_free(), free, "{rules}");
    }
}

#[test]
fn sort_may_look_up_keys_only_of_who_may_read_all() {
    let by = "ERR BY option of SORT denied due to insufficient ACL permissions.";
    let get = "ERR GET option of SORT denied due to insufficient ACL permissions.";
    for (rules, request, expected) in [
        ("+sort ~l", "sort l by v*", by),
        ("+sort ~l", "sort l get v*", get),
        ("+sort ~l", "sort l desc limit 0 1 store l get #", get),
        ("+sort ~l", "sort l by nosort", "OK"),
        ("+sort ~l", "sort l alpha", "OK"),
        ("+sort ~l", "sort l nope by v*", "OK"),
        ("+sort_ro ~l", "sort_ro l by v*", by),
        ("+sort ~l ~v*", "sort l by v*", by),
        ("+sort ~l %W~*", "sort l by v*", by),
        ("+sort ~l %R~*", "sort l by v*", "OK"),
        ("(+sort ~l) (+get ~*)", "sort l by v*", by),
        ("+sort allkeys", "sort l by v*", "OK"),
    ] {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::of(&words);
        let row = table::resolve(args.args()).unwrap();
        let said = check::check_sort(&new(rules).unwrap(), row, args.args());
        let said = said.map_or_else(|error| error.to_string(), |()| "OK".to_owned());
        assert_eq!(said, expected, "{rules} | {request}");
    }
}

#[test]
fn passwords_are_compared_whole() {
    let user = new("on >secret >other").unwrap();
    for (given, right) in
        [("secret", true), ("other", true), ("secre", false), ("secret1", false), ("", false)]
    {
        assert_eq!(user.admits(given.as_bytes()), right, "{given}");
    }
    assert!(new("on nopass").unwrap().admits(b"whatever"));
    assert!(!new("on").unwrap().admits(b""));
    assert!(!new("off nopass").unwrap().admits(b"x") && !new("off >x").unwrap().admits(b"x"));
}

/// A table with these users beside the default one.
fn table_of(users: &[(&str, &str)]) -> Users {
    users.iter().fold(Users::new(b""), |table, (name, rules)| {
        let user = made(table.draft(name.as_bytes(), Fresh::NoChannels), rules).unwrap();
        table.with(user)
    })
}

#[test]
fn a_session_is_looked_at_anew_when_the_users_change() {
    let none = Subscriptions::default();
    let open = Users::new(b"");
    let closed = Users::new(b"x");
    let mut early = Identity::new(&open);
    assert_eq!(early.standing(), Standing::Free);
    // Who came while no password was needed stays; who has given none becomes free with the rest.
    assert_eq!(early.refresh(&closed, &none), Fate::Stays);
    assert_eq!(early.standing(), Standing::Free);
    let mut late = Identity::new(&closed);
    assert_eq!(late.standing(), Standing::Stranger);
    assert_eq!(late.refresh(&open, &none), Fate::Stays);
    assert_eq!(late.standing(), Standing::Free);
    assert_eq!(late.refresh(&closed, &none), Fate::Stays);
    assert_eq!(late.standing(), Standing::Stranger);
    // A disabled default user lets nobody in.
    let off = table_of(&[("default", "off")]);
    assert_eq!(Identity::new(&off).standing(), Standing::Stranger);

    let users = table_of(&[("a", "on nopass +@all ~*")]);
    let mut session = Identity::proven(users.get(b"a").unwrap(), &users);
    assert_eq!((session.standing(), session.name()), (Standing::Limited, b"a".as_slice()));
    let more = table_of(&[("a", "off nopass +@all ~* &*")]);
    assert_eq!(session.refresh(&more, &none), Fate::Stays);
    assert_eq!(session.standing(), Standing::Free);
    assert_eq!(session.refresh(&open, &none), Fate::Ends);
    assert_eq!(session.standing(), Standing::Stranger);
}

#[test]
fn who_may_not_hear_any_more_ends() {
    let mut kit = Kit::new();
    for request in ["subscribe foo:1", "ssubscribe orders", "psubscribe bar:*"] {
        kit.run(request);
    }
    let subscriptions = &kit.session.subscriptions;
    for (channels, fate) in [
        ("&foo:1 &orders &bar:*", Fate::Stays),
        ("&foo:* &ord* &bar:* &x", Fate::Stays),
        ("&foo:1 (&orders) (&bar:*)", Fate::Stays),
        ("allchannels", Fate::Stays),
        ("&foo:1 &orders &bar:x", Fate::Ends),
        ("&foo:1 &orders &ba*", Fate::Ends),
        ("&foo:1 &bar:*", Fate::Ends),
        ("&orders &bar:*", Fate::Ends),
        ("", Fate::Ends),
    ] {
        let before = table_of(&[("a", "on &*")]);
        let after = table_of(&[("a", &format!("on {channels}"))]);
        let mut session = Identity::proven(before.get(b"a").unwrap(), &before);
        assert_eq!(session.refresh(&after, subscriptions), fate, "{channels}");
    }
}

#[test]
fn files_are_read_whole_or_not_at_all() {
    let old = table_of(&[("old", "on")]);
    let read = |text: &str| file::read(text.as_bytes(), "f", &old, Fresh::NoChannels);
    let unchanged =
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    for (text, errors) in [
        ("use a on", "f:1 should start with user keyword followed by the username. "),
        ("\nuser\n", "f:2 should start with user keyword followed by the username. "),
        ("# a comment", "f:1 should start with user keyword followed by the username. "),
        ("user a on\nuser b\nuser a", "WARNING: Duplicate user 'a' found on line 3. "),
        (
            "user a +nope",
            "f:1: Error in applying operation '+nope': \
            Unknown command or category name in ACL. ",
        ),
        ("user a nope on bad", "f:1: Syntax error. "),
        (
            "user a #pw +x +y",
            "f:1: The password hash must be exactly 64 characters and contain \
            only lowercase hexadecimal characters. \
            f:1: Error in applying operation '+x': Unknown command or category name in ACL. \
            f:1: Error in applying operation '+y': Unknown command or category name in ACL. ",
        ),
        ("user a (+get", "f:1: Unmatched parenthesis in selector definition."),
        (
            "user a on\nuser b +x\nuser c )",
            "f:2: Error in applying operation '+x': \
            Unknown command or category name in ACL. f:3: Syntax error. ",
        ),
    ] {
        let got = read(text).expect_err(text);
        assert_eq!(got, format!("{errors}{unchanged}"), "{text}");
    }
    // What is not a file of users at all does not fill the log.
    let much = "x\n".repeat(100_000);
    assert!(read(&much).unwrap_err().len() < 20_000);

    let text = "user alice on (+get ~rw*)\r\n\n  user bob on ( +set %W~w* ) (+get %R~r*)\n";
    let users = read(text).unwrap();
    assert_eq!(users.version, old.version + 1);
    let names: Vec<_> = users.all().map(|user| String::from_utf8_lossy(&user.name)).collect();
    assert_eq!(names, ["alice", "bob", "default"]);
    assert!(users.default_user().is_free() && users.is_open(), "a new one");
    let again = file::write(&users);
    let expected = "user alice on resetchannels -@all (~rw* resetchannels -@all +get)\n\
        user bob on resetchannels -@all (%W~w* resetchannels -@all +set) \
        (%R~r* resetchannels -@all +get)\n\
        user default on nopass ~* &* +@all\n";
    assert_eq!(String::from_utf8(again).unwrap(), expected);
    assert_eq!(file::write(&read(expected).unwrap()), expected.as_bytes());
    let closed = read("user default off >x").unwrap();
    assert!(!closed.is_open() && !closed.default_user().is_free());
}

#[test]
fn answers_are_those_of_redis() {
    let mut kit = Kit::new();
    let users = [("alice", "on >a ~k* +get +select|0"), ("bob", "on nopass +@all ~* &*")];
    kit.facts.users = Arc::new(table_of(&users));
    kit.check(
        "acl whoami -> $7 default
        acl users -> *3 $5 alice $3 bob $7 default
        acl cat transaction -> *5 $5 multi $4 exec $7 discard $5 watch $7 unwatch
        acl cat FOO -> -ERR Unknown category 'FOO'
        acl cat a b -> -ERR unknown subcommand or wrong number of arguments for 'cat'. Try ACL \
            HELP.
        acl help x -> -ERR wrong number of arguments for 'acl|help' command
        acl setuser a\tb -> -ERR Usernames can't contain spaces or null characters
        acl setuser x on ~a -> AclSetUser { name: [120], rules: OwnedArgs { bytes: [111, 110, \
            126, 97], spans: [Span { start: 0, len: 2 }, Span { start: 2, len: 2 }] } }
        acl deluser x default -> -ERR The 'default' user cannot be removed
        acl getuser nobody -> $-1
        acl getuser bob -> *12 $5 flags *2 $2 on $6 nopass $9 passwords *0 $8 commands $5 +@all \
            $4 keys $2 ~* $8 channels $2 &* $9 selectors *0
        acl genpass 0 -> -ERR ACL GENPASS argument must be the number of bits for the output \
            password, a positive number up to 4096
        acl genpass 4097 -> -ERR ACL GENPASS argument must be the number of bits for the output \
            password, a positive number up to 4096
        acl genpass x -> -ERR value is not an integer or out of range
        acl genpass 5 -> AclGenpass { digits: 2 }
        acl genpass -> AclGenpass { digits: 64 }
        acl log -> AclLog { most: 10 }
        acl log -1 -> AclLog { most: 0 }
        acl log RESET -> AclLogReset
        acl log x -> -ERR value is not an integer or out of range
        acl load -> AclLoad
        acl save -> AclSave
        acl dryrun nobody get a -> -ERR User 'nobody' not found
        acl dryrun alice nope a -> -ERR Command 'nope' not found
        acl dryrun alice get -> -ERR wrong number of arguments for 'get' command
        acl dryrun alice get k1 -> +OK
        acl dryrun alice get a -> $50 This user has no permissions to access the 'a' key
        client kill user nobody -> -ERR No such user 'nobody'
        auth alice b -> -WRONGPASS invalid username-password pair or user is disabled.
        acl whoami -> $7 default
        auth alice a -> +OK
        get a b -> -ERR wrong number of arguments for 'get' command
        select 0 -> +OK
        select 1 -> -NOPERM User alice has no permissions to run the 'select' command
        acl whoami -> -NOPERM User alice has no permissions to run the 'acl|whoami' command
        set k1 a -> -NOPERM User alice has no permissions to run the 'set' command
        get x -> -NOPERM this user has no permissions to access one of the keys used as arguments
        multi -> -NOPERM User alice has no permissions to run the 'multi' command
        hello 2 auth bob x setname y -> *14 $6 server $5 redis $7 version $5 7.4.0 $5 proto :2 $2 \
            id :7 $4 mode $10 standalone $4 role $6 master $7 modules *0
        acl whoami -> $3 bob
        reset -> +RESET
        acl whoami -> $7 default",
    );
    let client = kit.run("client kill user bob").1;
    let Ask::ClientKill { filter, .. } = client else { panic!() };
    assert_eq!(filter.user, Some(b"bob".to_vec()));
}

#[test]
fn a_transaction_is_looked_at_again_when_it_runs() {
    let mut kit = Kit::new();
    let users = table_of(&[
        ("a", "on nopass +multi +exec +get +set +sort ~k* +auth"),
        ("b", "on nopass +get ~z"),
    ]);
    kit.facts.users = Arc::new(users);
    kit.check(
        "auth a x -> +OK
        multi -> +OK
        get k -> +QUEUED
        set k 1 -> +QUEUED
        sort k by x* -> +QUEUED
        auth b x -> +QUEUED
        get k -> +QUEUED",
    );
    let Ask::Exec { commands, .. } = kit.run("exec").1 else { panic!() };
    assert!(transaction::is_to_be_reexamined(&kit.session, &commands));
    let fewer = table_of(&[("a", "on nopass +get +sort ~k*"), ("b", "on nopass +get ~z")]);
    kit.session.identity.refresh(&fewer, &Subscriptions::default());
    kit.facts.users = Arc::new(fewer);
    let (queue, denials) = transaction::reexamined(&kit.session, &kit.facts, commands);
    let shown: Vec<String> = queue
        .iter()
        .map(|queued| {
            format!("{}|{}", queued.command.name, {
                String::from_utf8_lossy(queued.args.args().at(0)).into_owned()
            })
        })
        .collect();
    let changed = "NOPERM ACLs rules changed between the moment the transaction was accumulated \
        and the EXEC call. This command is no longer allowed for the following reason: no \
        permission to";
    assert_eq!(
        shown,
        [
            "get|get".to_owned(),
            format!("|{changed} execute the command or subcommand"),
            "|ERR BY option of SORT denied due to insufficient ACL permissions.".to_owned(),
            "auth|auth".to_owned(),
            format!("|{changed} touch the specified keys"),
        ]
    );
    let noted: Vec<_> = denials
        .iter()
        .map(|denial| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (denial.reason.word(), text(&denial.object), text(&denial.user))
        })
        .collect();
    assert_eq!(noted, [("command", "set".into(), "a".into()), ("key", "k".into(), "b".into())]);
}
