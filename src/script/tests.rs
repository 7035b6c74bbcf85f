//! Scripts as lines: the text, and what comes of it. Commands are answered by a few rules.

use std::sync::Arc;

use super::machine::{Input, Interpreter, Step};
use super::source::sha_of;
use super::watch::Watch;
use crate::commands::library::{Flag, Library, heading};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::Proto;

/// What a command is answered.
fn answer(args: Args<'_>, proto: Proto) -> Vec<u8> {
    let first = String::from_utf8_lossy(args.at(0)).to_lowercase();
    match (first.as_str(), proto) {
        ("echo", _) => format!("${}\r\n{}\r\n", args.at(1).len(), args.at(1).escape_ascii()).into(),
        ("fail", _) => b"-WRONGTYPE bad kind\r\n".to_vec(),
        ("int", _) => b":42\r\n".to_vec(),
        ("null", Proto::Two) => b"$-1\r\n".to_vec(),
        ("null", Proto::Three) => b"_\r\n".to_vec(),
        ("list", _) => b"*3\r\n:1\r\n$1\r\na\r\n*-1\r\n".to_vec(),
        ("map", Proto::Three) => b"%1\r\n$1\r\na\r\n,1.5\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    }
}

/// How a text is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Script,
    /// As the body of a function of a library.
    Function,
}

struct Bench {
    lua: Interpreter,
    form: Form,
    pauses: usize,
    /// The script is killed at this pause.
    patience: usize,
}

impl Bench {
    fn new() -> Bench {
        let lua = Interpreter::new(7).expect("an interpreter");
        Bench { lua, form: Form::Script, pauses: 0, patience: usize::MAX }
    }

    fn run(&mut self, text: &str) -> String {
        self.run_in(text, Proto::Two)
    }

    fn run_in(&mut self, text: &str, proto: Proto) -> String {
        let (keys, argv) = (OwnedArgs::of(&[b"k1", b"k2"]), OwnedArgs::of(&[b"a1"]));
        let watch = Arc::new(Watch::default());
        let tables = (keys.args(), argv.args());
        let sha = sha_of(text.as_bytes());
        let begun = match self.form {
            Form::Script => self
                .lua
                .prepare(sha, text.as_bytes())
                .map(|_| self.lua.run(sha, tables, proto, Arc::clone(&watch)).expect("a run")),
            Form::Function => {
                let program = format!(
                    "#!lua name=lib\nredis.register_function('f', function(KEYS, ARGV) {text}\nend)"
                );
                self.load(&program).map(|library| {
                    let which = (&library, &library.functions[0]);
                    let with = (proto, Arc::clone(&watch));
                    self.lua.run_function(which, tables, with).expect("a run")
                })
            }
        };
        let mut run = match begun {
            Ok(run) => run,
            Err(error) => return format!("-{error}"),
        };
        let mut step = self.lua.resume(&mut run, Input::Go);
        loop {
            step = match step {
                Step::Call(args, spoken) => {
                    let reply = answer(args.args(), spoken);
                    self.lua.resume(&mut run, Input::Reply(&reply))
                }
                Step::Pause => {
                    self.pauses += 1;
                    if self.pauses >= self.patience {
                        watch.kill();
                    }
                    self.lua.resume(&mut run, Input::Go)
                }
                Step::Done(reply, _) => {
                    let text = String::from_utf8_lossy(&reply).into_owned();
                    return text.trim_end().replace("\r\n", " ");
                }
                Step::Failed(error, _) => {
                    let name = String::from_utf8_lossy(&sha).into_owned();
                    return told(&format!("-{error}").replace(&name, "SHA"), self.form);
                }
            }
        }
    }

    /// Loads a library.
    fn load(&mut self, text: &str) -> Result<Library, Error> {
        let head = heading(text.as_bytes())?;
        let mut run = self.lua.load_library(text.as_bytes(), &head)?;
        loop {
            match self.lua.resume(&mut run, Input::Go) {
                Step::Pause if self.pauses >= self.patience => {
                    return Err(Error::err("out of patience"));
                }
                Step::Pause => self.pauses += 1,
                Step::Done(..) => break,
                Step::Failed(error, _) => return Err(error),
                other => panic!("{other:?}"),
            }
        }
        self.lua.registered(&run, &head, &text.as_bytes().into())
    }

    #[track_caller]
    fn check(&mut self, rows: &[(&str, &str)]) {
        for form in [Form::Script, Form::Function] {
            self.form = form;
            self.check_form(rows);
        }
        self.form = Form::Script;
    }

    #[track_caller]
    fn check_form(&mut self, rows: &[(&str, &str)]) {
        for (text, expected) in rows {
            let got = self.run(text);
            assert_eq!(&got, expected, "{text} {:?}", self.form);
        }
    }
}

/// An error of a function as a script has it: its body begins on the second line.
fn told(error: &str, form: Form) -> String {
    let mut error = error.to_owned();
    if form == Form::Function {
        for line in 2..9 {
            let there = format!("user_script:{}", line - 1);
            error = error.replace(&format!("user_function:{line}"), &there);
        }
        error = error.replace("script: f, on", "script: SHA, on");
    }
    error
}

#[test]
fn values_become_replies() {
    let mut bench = Bench::new();
    bench.check(&[
        ("return 1", ":1"),
        ("return 3.99", ":3"),
        ("return -3.99", ":-3"),
        ("return 'x'", "$1 x"),
        ("return true", ":1"),
        ("return false", "$-1"),
        ("return", "$-1"),
        ("return {1,2,{3,'a'},nil,5}", "*3 :1 :2 *2 :3 $1 a"),
        ("return {ok='fine'}", "+fine"),
        ("return {err='MY wrong'}", "-MY wrong"),
        ("return {double=1.5}", "$3 1.5"),
        ("return {map={a=1}}", "*2 $1 a :1"),
        ("return {set={a=true}}", "*1 $1 a"),
        ("return {big_number='123'}", "$3 123"),
        ("return {verbatim_string={string='ab',format='txt'}}", "$2 ab"),
        ("return print", "-ERR user_script:1: Script attempted to access nonexistent global variable 'print' script: SHA, on @user_script:1."),
        ("return {KEYS[1],KEYS[2],ARGV[1],#KEYS}", "*4 $2 k1 $2 k2 $2 a1 :2"),
        ("return redis.status_reply('x')", "+x"),
        ("return redis.error_reply('x')", "-ERR x"),
        ("return redis.error_reply('X y')", "-X y"),
        ("return redis.error_reply('-X y')", "-X y"),
        ("return redis.sha1hex('')", "$40 da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("return 2^63", ":-9223372036854775808"),
        ("return 0/0", ":-9223372036854775808"),
        ("return redis.REDIS_VERSION_NUM > 0x00070000", ":1"),
    ]);
    assert_eq!(bench.run_in("redis.setresp(3) return {true,false}", Proto::Three), "*2 #t #f");
    assert_eq!(bench.run_in("return {true,false,{double=3.5}}", Proto::Three), "*3 :1 _ ,3.5");
    assert_eq!(
        bench.run_in("redis.setresp(3) return redis.call('map')", Proto::Three),
        "%1 $1 a ,1.5"
    );
    let deep = bench.run("local a = {}; a[1] = a; return a");
    assert!(deep.contains("*1 -ERR reached lua stack limit"));
}

#[test]
fn commands_are_called_and_answered() {
    Bench::new().check(&[
        ("return redis.call('echo', 'x')", "$1 x"),
        ("return redis.call('echo', 3.3)", "$18 3.2999999999999998"),
        ("return redis.call('echo', 12)", "$2 12"),
        ("local x = redis.call('int') return {x, type(x)}", "*2 :42 $6 number"),
        ("return type(redis.call('null'))", "$7 boolean"),
        ("redis.setresp(3) return type(redis.call('null'))", "$3 nil"),
        ("return redis.call('set')['ok']", "$2 OK"),
        ("return redis.call('list')", "*3 :1 $1 a $-1"),
        ("return redis.call('fail')", "-WRONGTYPE bad kind script: SHA, on @user_script:1."),
        ("local x = 1\nredis.call('fail')\nlocal y = 2", "-WRONGTYPE bad kind script: SHA, on @user_script:2."),
        ("return redis.pcall('fail')", "-WRONGTYPE bad kind"),
        ("local e = redis.pcall('fail') return e.err", "$18 WRONGTYPE bad kind"),
        ("local ok, e = pcall(redis.call, 'fail') return {tostring(ok), e}", "*2 $5 false $18 WRONGTYPE bad kind"),
        ("local ok, e = pcall(redis.call, 'echo', 'v') return {tostring(ok), e}", "*2 $4 true $1 v"),
        ("local ok, e = pcall(function() return redis.call('echo', 'v') end) return e", "$1 v"),
        ("local ok, e = pcall(function() redis.call('fail') end) return e", "$18 WRONGTYPE bad kind"),
        ("local ok, e = xpcall(function() redis.call('fail') end, function(e) return 'h:' .. e.err end) return e", "$20 h:WRONGTYPE bad kind"),
        ("return redis.call()", "-ERR Please specify at least one argument for this redis lib call script: SHA, on @user_script:1."),
        ("return redis.pcall({})", "-ERR Lua redis lib command arguments must be strings or integers"),
    ]);
}

#[test]
fn coroutines_let_commands_through() {
    Bench::new().check(&[
        ("local co = coroutine.wrap(function(a) local b = redis.call('echo', a) local c = coroutine.yield(b) return redis.call('echo', c) end) return {co('x'), co('y')}", "*2 $1 x $1 y"),
        ("local co = coroutine.create(function() local ok, v = pcall(function() coroutine.yield(redis.call('int')) redis.call('fail') end) return v end) local _, a = coroutine.resume(co) local _, b = coroutine.resume(co) return {a, b, coroutine.status(co)}", "*3 :42 $18 WRONGTYPE bad kind $4 dead"),
        ("coroutine.yield(1)", "-ERR attempt to yield across metamethod/C-call boundary script: SHA, on @user_script:1."),
        ("return tostring(coroutine.running())", "$3 nil"),
        ("local function deep(n) if n == 0 then return redis.call('int') end local _, v = pcall(deep, n - 1) return v end return deep(40)", ":42"),
    ]);
    let mut bench = Bench::new();
    for text in [
        "local t = {3,1,2} table.sort(t, function(a, b) redis.call('echo', a) return a < b end)",
        "return (string.gsub('abc', '.', function(c) return redis.call('echo', c) end))",
        "local t = setmetatable({}, {__index = function(_, k) return redis.call('echo', k) end}) return t.x",
        "local t = {3,1,2} table.sort(t, function(a, b) pcall(redis.call, 'echo', a) local ok, e = pcall(function() return redis.call('echo', a) end) if not ok then error(e, 0) end return a < b end)",
    ] {
        let got = bench.run(text);
        assert!(
            got.contains("cannot be used inside a function that a C function"),
            "{text}: {got}"
        );
    }
}

#[test]
fn errors_name_their_line() {
    Bench::new().check_form(&[
        ("return 1 +", "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'"),
        ("local x = nil + 1", "-ERR user_script:1: attempt to perform arithmetic on a nil value script: SHA, on @user_script:1."),
        ("\n\nerror('boom')", "-ERR user_script:3: boom script: SHA, on @user_script:3."),
        ("error({err='MY own'})", "-MY own script: SHA, on @user_script:1."),
        ("error('boom', 0)", "-ERR boom script: SHA, on @user_script:1."),
        ("return foo", "-ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: SHA, on @user_script:1."),
        ("foo = 1", "-ERR user_script:1: Attempt to modify a readonly table script: SHA, on @user_script:1."),
        ("return ('x'):rep()", "-ERR user_script:1: bad argument #1 to 'rep' (number expected, got no value) script: SHA, on @user_script:1."),
        ("return cjson.decode('{')", "-ERR user_script:1: Expected object key string but found T_END at character 2 script: SHA, on @user_script:1."),
        ("#!lua\nreturn 7", ":7"),
    ]);
}

#[test]
fn a_script_cannot_leave_its_box() {
    for form in [Form::Script, Form::Function] {
        cannot_leave(Bench { form, ..Bench::new() });
    }
}

fn cannot_leave(mut bench: Bench) {
    for text in [
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "redis.call = 1",
        "rawset(redis, 'call', 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = 1",
        "getmetatable('').__index = function() return 1 end",
        "getmetatable('').__index.upper = 1",
        "rawset(getmetatable(''), '__index', {})",
        "string.upper = 1",
        "table.insert(string, 1)",
        "cjson.encode = 1",
        "math.random = 1",
        "coroutine.wrap = 1",
        "x = 1",
        "loadstring('x = 1')()",
        "load(function() return nil end)() y = 1",
    ] {
        let got = bench.run(text);
        assert!(got.contains("Attempt to modify a readonly table"), "{text}: {got}");
    }
    assert_eq!(bench.run("return loadstring('return redis.sha1hex')() == redis.sha1hex"), ":1");
    let keys = bench.run("return loadstring('return KEYS')()");
    match bench.form {
        Form::Script => assert_eq!(keys, "*2 $2 k1 $2 k2"),
        Form::Function => assert!(keys.contains("global variable 'KEYS'"), "{keys}"),
    }
    for name in [
        "io", "debug", "require", "dofile", "loadfile", "module", "package", "newproxy", "print",
        "getfenv", "setfenv",
    ] {
        let got = bench.run(&format!("return {name}"));
        assert!(got.contains("nonexistent global variable"), "{name}: {got}");
    }
    bench.check_form(&[
        ("return tostring(getmetatable(1)) .. tostring(getmetatable(nil)) .. tostring(getmetatable(print_ or tostring))",
         "-ERR user_script:1: Script attempted to access nonexistent global variable 'print_' script: SHA, on @user_script:1."),
        ("return tostring(getmetatable(1)) .. tostring(getmetatable(nil)) .. tostring(getmetatable(tostring))", "$9 nilnilnil"),
        ("return type(os.clock()) .. tostring(os.execute) .. tostring(os.exit)", "$12 numbernilnil"),
        ("return select(2, loadstring('\\27Lua'))", "$52 [string \"\u{1b}Lua\"]:1: unexpected symbol near 'char(27)'"),
        ("return select(2, loadstring(string.dump(function() end), '@x'))", "$38 x:1: unexpected symbol near 'char(27)'"),
    ]);
}

#[test]
fn known_holes_are_closed() {
    let mut bench = Bench::new();
    bench.check(&[
        // CVE-2024-31449
        ("return bit.tohex(255, -2147483648)", "$8 000000FF"),
        ("return bit.tohex(255, 2)", "$2 ff"),
        // CVE-2025-46817
        ("return unpack({1,2,3}, -2, 2147483647)", "-ERR user_script:1: too many results to unpack script: SHA, on @user_script:1."),
        ("return unpack({}, 0, 2147483647)", "-ERR user_script:1: too many results to unpack script: SHA, on @user_script:1."),
        ("return {unpack({1,2,3}, 2)}", "*2 :2 :3"),
        // CVE-2020-14147
        ("return struct.pack('I2147483648', 10)", "-ERR user_script:1: integral size overflow script: SHA, on @user_script:1."),
        ("return struct.unpack('i3', '\\1\\2', 2147483647)", "-ERR user_script:1: bad argument #2 to 'unpack' (data string too short) script: SHA, on @user_script:1."),
        // CVE-2018-11218 and 11219
        ("return cmsgpack.unpack(string.rep('\\145', 100000))", "-ERR user_script:1: too many nested tables in input script: SHA, on @user_script:1."),
        ("return struct.unpack('c2147483647', 'x')", "-ERR user_script:1: bad argument #2 to 'unpack' (data string too short) script: SHA, on @user_script:1."),
        ("return cjson.decode(string.rep('[', 100000))", "-ERR user_script:1: Found too many nested data structures (1001) at character 1001 script: SHA, on @user_script:1."),
        ("cjson.decode_max_depth(100000) local ok, e = pcall(cjson.decode, string.rep('[', 100000)) cjson.decode_max_depth(1000) return tostring(ok)", "$5 false"),
        // Recursion in C.
        ("return string.find(string.rep('a', 300000), string.rep('a?', 300000))", "-ERR user_script:1: pattern too complex script: SHA, on @user_script:1."),
        ("return #string.rep('', 2147483647)", ":0"),
    ]);
    // CVE-2025-49844: the compiler under the collector's pressure.
    let text = "for i = 1, 200 do local f = loadstring('return \"' .. string.rep('x', i * 100) .. '\"', string.rep('n', i * 50)) collectgarbage('step') assert(f() ) end return 1";
    assert_eq!(bench.run(text), ":1");
    // Memory is bounded, and the interpreter lives on.
    let got = bench.run(
        "local s = string.rep('x', 1000000) local t = {} for i = 1, 100000 do t[i] = s .. i end",
    );
    assert!(got.contains("not enough memory"), "{got}");
    assert_eq!(bench.run("return 1"), ":1");
    let got = bench.run("local function f() return 1 + f() end return f()");
    assert!(got.contains("stack overflow"), "{got}");
    let got = bench.run("local function f() return pcall(f) end return f()");
    assert!(got.starts_with(':') || got.starts_with('$') || got.starts_with('-'), "{got}");
}

#[test]
fn a_long_script_stops_between_slices_and_can_be_ended() {
    let mut bench = Bench::new();
    let text = "local n = 0 for i = 1, 1000000 do n = n + i end return n";
    assert_eq!(bench.run(text), ":500000500000");
    assert!(bench.pauses >= 10, "{}", bench.pauses);
    for text in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "while true do pcall(error, 'x') end",
        "local function f() while true do end end xpcall(f, function() while true do end end)",
    ] {
        (bench.pauses, bench.patience) = (0, 5);
        let got = bench.run(text);
        assert!(got.starts_with("-ERR Script killed by user with SCRIPT KILL..."), "{text}: {got}");
        assert_eq!(bench.pauses, 5, "{text}");
    }
    bench.patience = usize::MAX;
    // Within a C function a slice cannot end: the hook itself looks whether it is to end.
    let loops = "table.sort({3,1,2}, function(a, b) local n = 0 while n < 1000000 do n = n + 1 end return a < b end) return 1";
    assert_eq!(bench.run(loops), ":1");
}

#[test]
fn libraries_answer_as_those_of_redis() {
    Bench::new().check(&[
        ("return cjson.encode({1,2,3})", "$7 [1,2,3]"),
        ("return cjson.encode({a='b'})", "$9 {\"a\":\"b\"}"),
        ("return cjson.encode({})", "$2 {}"),
        ("return cjson.encode({[3]=1})", "$13 [null,null,1]"),
        ("return cjson.encode('a/b\"\\n')", "$10 \"a\\/b\\\"\\n\""),
        ("return cjson.encode(1.1) .. cjson.encode(1e20) .. cjson.encode(-0.5)", "$12 1.11e+20-0.5"),
        ("return cjson.encode(cjson.null)", "$4 null"),
        ("return cjson.decode('[1, \"a\", {\"b\": [true, null]}]')[3].b[1]", ":1"),
        ("return cjson.decode('\"\\\\u20ac\"')", "$3 \u{20ac}"),
        ("return cmsgpack.unpack(cmsgpack.pack({a={1,2,{3}}})).a[3][1]", ":3"),
        ("local x = '' for c in cmsgpack.pack(1,-1,300,-300,1.5,'s',nil,true):gmatch('.') do x = x .. string.format('%02x', c:byte()) end return x", "$34 01ffcd012cd1fed4ca3fc00000a173c0c3"),
        ("return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3), 1)}", "*2 :2 :2"),
        ("return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3), 2)}", "*3 :2 :1 :2"),
        ("return {struct.unpack('>I2c3', struct.pack('>I2c3', 258, 'abc'))}", "*3 :258 $3 abc :6"),
        ("return struct.size('!4bi4')", ":8"),
        ("return bit.band(0xff, 0x0f) + bit.lshift(1, 4) + bit.bnot(0)", ":30"),
        ("math.randomseed(10) local a = math.random(1000) math.randomseed(10) return a == math.random(1000)", ":1"),
        ("local n = 0 for _ in pairs(redis) do n = n + 1 end return n > 10", ":1"),
        ("return table.concat({1,2,3}, '-')", "$5 1-2-3"),
        ("return ('%d'):format(3)", "$1 3"),
    ]);
}

#[test]
fn a_script_and_a_function_see_their_own_globals() {
    let mut bench = Bench::new();
    let names = "local t = {} for name in pairs(redis) do t[#t + 1] = name end table.sort(t) return table.concat(t, ' ')";
    let script = bench.run(names);
    bench.form = Form::Function;
    let function = bench.run(names);
    for name in ["breakpoint", "debug", "replicate_commands"] {
        assert!(script.contains(name) && !function.contains(name), "{name}: {function}");
    }
    for name in ["acl_check_cmd", "call", "set_repl", "setresp", "REPL_ALL", "LOG_DEBUG"] {
        assert!(function.contains(name), "{name}: {function}");
    }
    let got = bench.run("return redis.register_function");
    assert_eq!(got, "$-1");
    // What a script is given is not there for a function, not even of a script that runs.
    let got = bench.run("return _G.KEYS");
    assert!(got.contains("nonexistent global variable 'KEYS'"), "{got}");
    bench.form = Form::Script;
    assert_eq!(bench.run("return #KEYS"), ":2");
}

#[test]
fn libraries_register_their_functions() {
    let mut bench = Bench::new();
    let shown = |bench: &mut Bench, body: &str| match bench.load(&format!("#!lua name=lib\n{body}"))
    {
        Err(error) => error.to_string(),
        Ok(library) => {
            let rows = library.functions.iter().map(|function| {
                let flags: Vec<_> = function.flags.iter().map(|flag| Flag::name(*flag)).collect();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let about = function.description.as_ref().map(|words| text(words));
                format!("{} {about:?} {}", text(&function.name), flags.join(","))
            });
            rows.collect::<Vec<_>>().join(" | ")
        }
    };
    for (body, expected) in [
        ("redis.register_function('f', function() end)", "f None "),
        ("redis.register_function(1, redis.log)", "1 None "),
        (
            "local f = function() end redis.register_function('b', f) redis.register_function('a', f)",
            "b None  | a None ",
        ),
        (
            "redis.register_function{FUNCTION_name='f', callback=function() end, description=5, flags={'NO-WRITES', 'allow-stale', 'allow-oom', 'no-writes'}}",
            "f Some(\"5\") no-writes,allow-oom,allow-stale",
        ),
        ("return 1", "ERR No functions registered"),
        ("bad script", "ERR Error compiling function: user_function:2: '=' expected near 'script'"),
        ("redis.register_function()", "ERR wrong number of arguments to redis.register_function"),
        (
            "redis.register_function('f', 1, 2)",
            "ERR wrong number of arguments to redis.register_function",
        ),
        (
            "redis.register_function('f')",
            "ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ),
        (
            "redis.register_function({}, 1)",
            "ERR first argument to redis.register_function must be a string",
        ),
        (
            "redis.register_function('f', 'g')",
            "ERR second argument to redis.register_function must be a function",
        ),
        (
            "redis.register_function('a-b', redis.log)",
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ),
        (
            "redis.register_function('f', redis.log) redis.register_function('f', redis.log)",
            "ERR Function already exists in the library",
        ),
        (
            "redis.register_function{function_name='f'}",
            "ERR redis.register_function must get a callback argument",
        ),
        (
            "redis.register_function{callback=redis.log}",
            "ERR redis.register_function must get a function name argument",
        ),
        (
            "redis.register_function{callback=1}",
            "ERR callback argument given to redis.register_function must be a function",
        ),
        (
            "redis.register_function{function_name={}}",
            "ERR function_name argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function{description={}}",
            "ERR description argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function{flags='x'}",
            "ERR flags argument to redis.register_function must be a table representing function flags",
        ),
        ("redis.register_function{flags={'x'}}", "ERR unknown flag given"),
        ("redis.register_function{flags={{}}}", "ERR unknown flag given"),
        (
            "redis.register_function{other=1}",
            "ERR unknown argument given to redis.register_function",
        ),
        (
            "redis.register_function{[redis]=1}",
            "ERR named argument key given to redis.register_function is not a string",
        ),
        ("x = 1", "ERR user_function:2: Attempt to modify a readonly table"),
        ("redis.x = 1", "ERR user_function:2: Attempt to modify a readonly table"),
        (
            "redis.call('get', 'x')",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'call'",
        ),
        (
            "math.random()",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'math'",
        ),
        (
            "setmetatable({}, {})",
            "ERR user_function:2: Script attempted to access nonexistent global variable 'setmetatable'",
        ),
        (
            "return _G",
            "ERR user_function:2: Script attempted to access nonexistent global variable '_G'",
        ),
        ("local x = nil x.y = 1", "ERR user_function:2: attempt to index local 'x' (a nil value)"),
    ] {
        assert_eq!(shown(&mut bench, body), expected, "{body}");
    }
    // A library that does not end is stopped between two slices.
    bench.patience = 3;
    assert_eq!(shown(&mut bench, "while true do end"), "ERR out of patience");
}

#[test]
fn what_a_library_kept_from_its_loading_is_of_no_use_later() {
    let mut bench = Bench::new();
    let text = "#!lua name=lib
        local lib = redis
        redis.register_function('f1', function() lib.register_function('g', function() end) end)
        redis.register_function('f2', function() lib.math = math end)
        redis.register_function('f3', function() return lib.call end)";
    let library = bench.load(text).unwrap();
    let failed = |index: usize| {
        let nothing = OwnedArgs::default();
        let which = (&library, &library.functions[index]);
        let with = (Proto::Two, Arc::new(Watch::default()));
        let tables = (nothing.args(), nothing.args());
        let mut run = bench.lua.run_function(which, tables, with).unwrap();
        match bench.lua.resume(&mut run, Input::Go) {
            Step::Failed(error, _) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let can = "redis.register_function can only be called on FUNCTION LOAD command";
    assert!(failed(0).contains(can), "{}", failed(0));
    assert!(failed(1).contains("Attempt to modify a readonly table"));
    assert!(failed(2).contains("nonexistent global variable 'call'"));
}
