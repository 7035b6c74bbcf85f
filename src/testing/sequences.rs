//! All short sequences of a few operations, with a crash at each operation of the disk on the way.

use crate::base::prng::Prng;
use crate::persist::record::Policy;
use crate::testing::disk::{Failure, Fault, Loss};
use crate::testing::history::Keeps;
use crate::testing::kit::{Crash, Tally, fresh, recover, settle};
use crate::testing::machine::{Machine, Setup};
use crate::testing::start::{NoStart, start};
use crate::testing::workload::words;

/// What sequences are made of; `;` stands between the commands of a MULTI.
pub const ALPHABET: [&str; 9] = [
    "SET a 1",
    "INCR b",
    "MSET a 2 b 3",
    "SAVE",
    "RENAME a b",
    "FLUSHALL",
    "RPUSH l 1",
    "INCR a;HSET h f 1;INCR b",
    "RESTART",
];

/// How many sequences of this length there are.
pub fn count(alphabet: &[&str], length: u32) -> u64 {
    (alphabet.len() as u64).pow(length)
}

/// One of them by its number.
pub fn sequence<'a>(alphabet: &[&'a str], length: u32, number: u64) -> Vec<&'a str> {
    let base = alphabet.len() as u64;
    let letter = |place: u32| alphabet[(number / base.pow(place) % base) as usize];
    (0..length).map(letter).collect()
}

/// A machine of two shards.
pub fn small(policy: Policy) -> Machine {
    let trace = std::env::var("BASALT_SIM_TRACE").is_ok();
    fresh(Setup { shards: 2, policy, boot: 1, bug: None, trace }, 1)
}

/// Asks a machine for these operations, one after another, until the disk stops.
pub fn operate(mut machine: Machine, operations: &[&str]) -> Result<Machine, String> {
    for operation in operations {
        match *operation {
            "SAVE" => machine.start_save(),
            "RESTART" => machine = restart(machine)?,
            line => {
                let commands = line.split(';').map(words).collect();
                machine.todo.push_back((0, 0, commands));
            }
        }
        settle(&mut machine)?;
        if machine.disk.is_dead() {
            break;
        }
    }
    Ok(machine)
}

/// The process dies while nothing is on its way, and begins again; the disk may stop meanwhile.
fn restart(mut machine: Machine) -> Result<Machine, String> {
    match start(machine.disk.clone(), machine.setup, machine.now, 2) {
        Ok((mut next, found)) => {
            let state = next.state();
            machine.history.judge(&found.next, &state, machine.now, Keeps::Acknowledged)?;
            Ok(next)
        }
        Err(NoStart::Disk(disk, Failure::Dead)) => {
            machine.disk = *disk;
            Ok(machine)
        }
        Err(NoStart::Disk(_, failure)) => Err(format!("no start: {failure:?}")),
        Err(NoStart::Refused(why)) => Err(format!("refused: {why}")),
    }
}

/// Crashes at every operation of the disk that a sequence does, each in three ways; how many
/// operations there were.
pub fn every_operation(
    policy: Policy,
    operations: &[&str],
    tally: &mut Tally,
) -> Result<u64, String> {
    let begun = small(policy).disk.operations();
    let total = operate(small(policy), operations)?.disk.operations();
    for at in begun + 1..=total {
        let mut machine = small(policy);
        machine.disk.plan(at, Fault::Die);
        let failed = |what: String| format!("{policy:?} {operations:?} operation {at}: {what}");
        let machine = operate(machine, operations).map_err(failed)?;
        let mut prng = Prng::new(at);
        for crash in [Crash::Kill, Crash::Power(Loss::All), Crash::Power(Loss::Some)] {
            recover(&machine, crash, 2, &mut prng, tally).map_err(failed)?;
        }
    }
    Ok(total - begun)
}
