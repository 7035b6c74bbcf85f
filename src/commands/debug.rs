//! The DEBUG commands that look into a keyspace. The others are in admin.rs.

use crate::commands::call::{Call, Effect};
use crate::commands::digest::{Digest, of_parts, parts, put_value};
use crate::commands::parse::is;
use crate::commands::row::{SECOND, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Merge};
use crate::resp::error::Error;

/// Subcommands of DEBUG.
pub const SUBS: [Command; 3] = [
    on(
        KeySpec::None,
        Across::All(Merge::Xor),
        row(
            "debug|digest",
            -2,
            Flags::READONLY,
            digest,
            docs("Returns a digest of the whole data set."),
        ),
    ),
    on(
        KeySpec::At { first: 2, last: -1, step: 1 },
        Across::Split(Merge::ByKey),
        row(
            "debug|digest-value",
            -2,
            Flags::READONLY,
            digest_value,
            docs("Returns digests of what keys hold."),
        ),
    ),
    on(
        SECOND,
        Across::One,
        row(
            "debug|object",
            3,
            Flags::READONLY,
            object,
            docs("Tells how what a key holds is stored."),
        ),
    ),
];

const fn docs(summary: &'static str) -> Docs {
    Docs::of("server", "1.0.0", "Depends on the subcommand.", summary)
}

/// With the word PARTS the digests of the databases, which can be combined over shards.
fn digest(call: &mut Call<'_>) -> Result<Effect, Error> {
    let parts = match call.args.get(2) {
        None => {
            let digest = of_parts(&parts(call.keys));
            call.reply.simple(&digest.hex());
            return Ok(Effect::Nothing);
        }
        Some(word) if is(word, "PARTS") && call.args.len() == 3 => parts(call.keys),
        Some(_) => return Err(Error::Syntax),
    };
    call.reply.simple(&parts.iter().map(Digest::hex).collect::<String>());
    Ok(Effect::Nothing)
}

fn digest_value(call: &mut Call<'_>) -> Result<Effect, Error> {
    let keys = call.args.from(2);
    call.reply.array(keys.len());
    for key in keys.iter() {
        let mut digest = Digest::default();
        put_value(&mut digest, call.keys, call.db, key);
        call.reply.simple(&digest.hex());
    }
    Ok(Effect::Nothing)
}

/// The words of Redis' answer, since its own tests and some tools read them; there is no address
/// and no LRU clock here, so those are 0.
fn object(call: &mut Call<'_>) -> Result<Effect, Error> {
    let about = call.keys.about(call.db, call.args.at(2)).ok_or(Error::NoSuchKey)?;
    call.reply.simple(&format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:0 lru_seconds_idle:{}",
        about.encoding.name(),
        about.bytes,
        about.idle
    ));
    Ok(Effect::Nothing)
}
