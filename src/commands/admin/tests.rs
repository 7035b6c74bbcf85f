//! Tests of the operator's commands.

use super::*;
use crate::commands::kit::Kit;
use crate::resp::reply::Proto;

fn written(write: impl FnOnce(&mut Reply<'_>)) -> String {
    let mut out = Vec::new();
    write(&mut Reply::new(&mut out, Proto::Three));
    String::from_utf8(out).unwrap().replace("\r\n", " ").trim_end().to_owned()
}

#[test]
fn requests_are_understood_as_by_redis() {
    Kit::new().check(
        "time -> Time
        config get -> -ERR wrong number of arguments for 'config|get' command
        config get A* b -> ConfigGet { patterns: [[97, 42], [98]] }
        config set a -> -ERR wrong number of arguments for 'config|set' command
        config set a b c -> -ERR syntax error
        config set A b -> ConfigSet { pairs: [(\"A\", [98])] }
        config set maxmemory 1 MaxMemory 2 -> -ERR CONFIG SET failed (possibly related to \
            argument 'MaxMemory') - duplicate parameter
        config resetstat -> ConfigResetStat
        config rewrite -> ConfigRewrite
        config foo -> -ERR unknown subcommand 'foo'. Try CONFIG HELP.
        slowlog get -> SlowlogGet { count: 10 }
        slowlog get 3 -> SlowlogGet { count: 3 }
        slowlog get -1 -> SlowlogGet { count: 18446744073709551615 }
        slowlog get -2 -> -ERR count should be greater than or equal to -1
        slowlog get x -> -ERR count should be greater than or equal to -1
        slowlog get 1 2 -> -ERR unknown subcommand or wrong number of arguments for 'get'. Try \
            SLOWLOG HELP.
        slowlog len -> SlowlogLen
        slowlog reset -> SlowlogReset
        latency latest -> LatencyLatest
        latency history Command -> LatencyHistory { event: \"command\" }
        latency reset -> LatencyReset { events: [] }
        latency reset a B -> LatencyReset { events: [\"a\", \"b\"] }
        latency histogram GET -> LatencyHistogram { commands: [\"get\"] }
        save -> Save
        bgsave -> BgSave(Refuse)
        bgsave Schedule -> BgSave(Schedule)
        bgsave foo -> -ERR syntax error
        bgsave schedule x -> -ERR syntax error
        bgrewriteaof -> BgRewriteAof
        lastsave -> LastSave
        shutdown -> Shutdown(Shutdown { save: IfSavePoints, now: false, force: false })
        shutdown nosave now FORCE -> Shutdown(Shutdown { save: No, now: true, force: true })
        shutdown save save -> Shutdown(Shutdown { save: Yes, now: false, force: false })
        shutdown nosave save -> -ERR syntax error
        shutdown foo -> -ERR syntax error
        shutdown abort -> ShutdownAbort
        shutdown abort now -> -ERR syntax error
        multi -> +OK
        save -> -ERR Command not allowed inside a transaction
        bgsave -> +QUEUED
        exec -> -EXECABORT Transaction discarded because of previous errors.",
    );
    let (_, ask) = Kit::new().run("info Keyspace");
    let Ask::Info(choice) = ask else { panic!() };
    assert!(choice.has("keyspace") && !choice.has("server"));
}

#[test]
fn saves_start_wait_or_are_refused() {
    let lines = [
        (Saving::Save, Busy::Idle, "+OK"),
        (Saving::Save, Busy::Saving, "-ERR Background save already in progress"),
        (Saving::Save, Busy::Rewriting, "+OK"),
        (Saving::BgSave(IfBusy::Refuse), Busy::Idle, "+Background saving started"),
        (
            Saving::BgSave(IfBusy::Schedule),
            Busy::Saving,
            "-ERR Background save already in progress",
        ),
        (
            Saving::BgSave(IfBusy::Refuse),
            Busy::Rewriting,
            "-ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE \
             SCHEDULE in order to schedule a BGSAVE whenever possible.",
        ),
        (Saving::BgSave(IfBusy::Schedule), Busy::Rewriting, "+Background saving scheduled"),
        (Saving::Rewrite, Busy::Idle, "+Background append only file rewriting started"),
        (Saving::Rewrite, Busy::Saving, "+Background append only file rewriting scheduled"),
        (
            Saving::Rewrite,
            Busy::Rewriting,
            "-ERR Background append only file rewriting already in progress",
        ),
    ];
    for (what, busy, expected) in lines {
        let got = written(|reply| match start(what, busy) {
            Ok(start) => write_saving(reply, what, start),
            Err(error) => reply.error(&error),
        });
        assert_eq!(got, expected, "{what:?} {busy:?}");
    }
}

#[test]
fn answers_are_made_from_plain_data() {
    assert_eq!(written(|reply| write_info(reply, "# Server\r\n")), "=14 txt:# Server");
    assert_eq!(
        written(|reply| write_config(reply, &[("save", ""), ("port", "1")])),
        "%2 $4 save $0  $4 port $1 1"
    );
    let entry = SlowEntry {
        id: 3,
        second: 4,
        micros: 5,
        args: vec![b"get".to_vec(), b"a".to_vec()],
        peer: "1.2.3.4:5".to_owned(),
        client: String::new(),
    };
    assert_eq!(
        written(|reply| write_slowlog(reply, &[entry])),
        "*1 *6 :3 :4 :5 *2 $3 get $1 a $9 1.2.3.4:5 $0"
    );
    let mut events = Events::default();
    events.add("command", 7, 300, 1);
    events.add("command", 8, 200, 1);
    assert_eq!(written(|reply| write_latest(reply, &events)), "*1 *4 $7 command :8 :200 :300");
    assert_eq!(
        written(|reply| write_history(reply, &events, "command")),
        "*2 *2 :7 :300 *2 :8 :200"
    );
    assert_eq!(written(|reply| write_history(reply, &events, "fork")), "*0");
    let mut latency = Latency::default();
    latency.record(1500, 1);
    assert_eq!(
        written(|reply| write_histogram(reply, &[("get", &latency)])),
        "%1 $3 get %2 $5 calls :1 $14 histogram_usec %1 :2 :1"
    );
}
