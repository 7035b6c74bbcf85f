//! Tests of FUNCTION and FCALL as far as the session goes, and of what is told.

use super::*;
use crate::commands::kit::Kit;
use crate::commands::library::{Flag, Function};
use crate::commands::script::Reach;
use crate::resp::reply::Proto;

#[test]
fn answers_are_those_of_redis() {
    Kit::new().check(
        "function -> -ERR wrong number of arguments for 'function' command
        function nope -> -ERR unknown subcommand 'nope'. Try FUNCTION HELP.
        function load -> -ERR wrong number of arguments for 'function|load' command
        function load foo x -> -ERR Unknown option given: foo
        function load replace foo x -> -ERR Unknown option given: foo
        function dump x -> -ERR wrong number of arguments for 'function|dump' command
        function flush foo -> -ERR FUNCTION FLUSH only supports SYNC|ASYNC option
        function restore -> -ERR wrong number of arguments for 'function|restore' command
        function restore a -> -ERR DUMP payload version or checksum are wrong
        function list foo -> -ERR Unknown argument foo
        function list libraryname -> -ERR library name argument was not given
        function list withcode withcode -> -ERR Unknown argument withcode
        function list libraryname a libraryname b -> -ERR Unknown argument libraryname
        function list -> FunctionList(Wanted { pattern: None, text: Omitted })
        function dump -> FunctionDump
        function stats -> FunctionStats
        function kill -> FunctionKill
        fcall f -> -ERR wrong number of arguments for 'fcall' command
        command getkeys fcall f 2 a b c -> *2 $1 a $1 b
        command getkeys fcall_ro f 1 a b c -> *1 $1 a",
    );
}

#[test]
fn long_answers_are_those_of_redis() {
    let rows = [
        (
            "function flush a b",
            "-ERR unknown subcommand or wrong number of arguments for 'flush'. Try FUNCTION HELP.",
        ),
        (
            "function restore a b c",
            "-ERR unknown subcommand or wrong number of arguments for 'restore'. Try FUNCTION HELP.",
        ),
        (
            "function restore a b",
            "-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        ),
        (
            "function list WITHCODE libraryname a",
            "FunctionList(Wanted { pattern: Some([97]), text: Told })",
        ),
    ];
    for (request, expected) in rows {
        let (reply, ask) = Kit::new().run(request);
        let got = if reply.is_empty() { format!("{ask:?}") } else { reply };
        assert_eq!(got, expected, "{request}");
    }
}

#[test]
fn a_bad_number_of_keys_is_told_by_the_server() {
    let eval = |line: &str| match Kit::new().run(line).1 {
        Ask::Eval(eval) => eval,
        other => panic!("{other:?}"),
    };
    for (line, expected) in [
        ("fcall f x", "ERR Bad number of keys provided"),
        ("fcall f 3 a b", "ERR Number of keys can't be greater than number of args"),
        ("fcall_ro f -1", "ERR Number of keys can't be negative"),
    ] {
        assert_eq!(eval(line).problem.unwrap().to_string(), expected);
    }
    let eval = eval("fcall_ro f 1 a b c");
    assert_eq!((eval.problem.as_ref(), eval.may, eval.given), (None, May::Read, Given::Function));
    let (keys, argv) = eval.tables();
    assert_eq!((keys.len(), argv.len()), (1, 2));
}

#[test]
fn changes_are_asked_for() {
    let what = |args: &[&[u8]]| match Kit::new().run_args(&OwnedArgs::of(args)).1 {
        Ask::Function(change) => change.what,
        other => panic!("{other:?}"),
    };
    let load = |same| What::Load(b"text".to_vec(), same);
    assert_eq!(what(&[b"function", b"load", b"text"]), load(Same::Refuse));
    assert_eq!(what(&[b"FUNCTION", b"LOAD", b"Replace", b"text"]), load(Same::Replace));
    assert_eq!(what(&[b"function", b"delete", b"x"]), What::Delete(b"x".to_vec()));
    assert_eq!(what(&[b"function", b"flush", b"SYNC"]), What::Flush);
    let payload = dump([&b"a"[..], b"b"].into_iter());
    let restore = |policy| What::Restore(vec![b"a".to_vec(), b"b".to_vec()], policy);
    assert_eq!(what(&[b"function", b"restore", &payload]), restore(Policy::Append));
    assert_eq!(what(&[b"function", b"restore", &payload, b"FLUSH"]), restore(Policy::Flush));
}

#[test]
fn what_is_told_has_the_shapes_of_redis() {
    let functions = vec![
        Function { name: b"f".to_vec(), description: None, flags: Vec::new(), reach: Reach::All },
        Function {
            name: b"g".to_vec(),
            description: Some(b"words".to_vec()),
            flags: vec![Flag::NoWrites, Flag::AllowOom],
            reach: Reach::All,
        },
    ];
    let library = Library { name: b"lib".to_vec(), text: b"#!lua"[..].into(), functions };
    let registry = Registry::default().with(library, Same::Refuse).unwrap();
    let shown = |proto, write: &dyn Fn(&mut Reply<'_>)| {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, proto));
        String::from_utf8_lossy(&out).replace("\r\n", " ").trim_end().to_owned()
    };
    let list = |proto, wanted: Wanted| {
        shown(proto, &|reply: &mut Reply<'_>| write_list(reply, &registry, &wanted))
    };
    assert_eq!(
        list(Proto::Two, Wanted::default()),
        "*1 *6 $12 library_name $3 lib $6 engine $3 LUA $9 functions *2 *6 $4 name $1 f \
         $11 description $-1 $5 flags *0 *6 $4 name $1 g $11 description $5 words $5 flags *2 \
         +no-writes +allow-oom"
    );
    let told = Wanted { pattern: Some(b"L*".to_vec()), text: Texts::Told };
    let three = list(Proto::Three, told);
    assert!(three.starts_with("*1 %4 $12 library_name"), "{three}");
    assert!(three.contains("_ $5 flags ~0") && three.ends_with("$12 library_code $5 #!lua"));
    let none = Wanted { pattern: Some(b"x*".to_vec()), ..Wanted::default() };
    assert_eq!(list(Proto::Two, none), "*0");
    let engines = "$7 engines *2 $3 LUA *4 $15 libraries_count :1 $15 functions_count :2";
    assert_eq!(
        shown(Proto::Two, &|reply: &mut Reply<'_>| write_stats(reply, &registry, None)),
        format!("*4 $14 running_script $-1 {engines}")
    );
    let args = OwnedArgs::of(&[b"fcall", b"f", b"0"]);
    let runs = Runs { name: b"f".to_vec(), args, millis: 12 };
    assert_eq!(
        shown(Proto::Two, &|reply: &mut Reply<'_>| write_stats(reply, &registry, Some(&runs))),
        format!(
            "*4 $14 running_script *6 $4 name $1 f $7 command *3 $5 fcall $1 f $1 0 $11 \
             duration_ms :12 {engines}"
        )
    );
}
