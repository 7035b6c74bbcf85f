//! The DEBUG commands that look into a keyspace. The others are in admin.rs.

use crate::commands::call::{Call, Effect};
use crate::commands::digest::{Digest, of_parts, parts, put_value};
use crate::commands::parse::is;
use crate::commands::row::{SECOND, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Merge};
use crate::resp::error::Error;
use crate::types::value::Encoding;

/// Subcommands of DEBUG.
pub const SUBS: [Command; 6] = [
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
    about_key("debug|htstats-key", htstats, docs("The same as HTSTATS, of a hash.")),
    about_key("debug|listpack", listpack, docs("Accepted for a small value: nothing is printed.")),
    about_key("debug|object", object, docs("Tells how what a key holds is stored.")),
    about_key("debug|sdslen", sdslen, docs("Lengths of a key and its string.")),
];

const fn about_key(
    name: &'static str,
    run: fn(&mut Call<'_>) -> Result<Effect, Error>,
    docs: Docs,
) -> Command {
    on(SECOND, Across::One, row(name, 3, Flags::READONLY, run, docs))
}

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
        Some(_) => return Err(Error::subcommand_syntax("debug", call.args.at(1))),
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

fn htstats(call: &mut Call<'_>) -> Result<Effect, Error> {
    let about = call.keys.about(call.db, call.args.at(2)).ok_or(Error::NoSuchKey)?;
    if about.encoding != Encoding::Hashtable {
        return Err(Error::err(NO_TABLE));
    }
    call.reply.verbatim("txt", b"No chains: segments in hash order\n");
    Ok(Effect::Nothing)
}

const NO_TABLE: &str =
    "The value stored at the specified key is not represented using an hash table";

fn listpack(call: &mut Call<'_>) -> Result<Effect, Error> {
    let about = call.keys.about(call.db, call.args.at(2)).ok_or(Error::NoSuchKey)?;
    if !matches!(about.encoding, Encoding::Listpack | Encoding::ListpackEx) {
        return Err(Error::err("Not a listpack encoded object."));
    }
    call.reply.simple("Listpack structure printed on stdout");
    Ok(Effect::Nothing)
}

/// Strings have no room to spare here.
fn sdslen(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(2);
    let about = call.keys.about(call.db, key).ok_or(Error::NoSuchKey)?;
    if !matches!(about.encoding, Encoding::Raw | Encoding::Embstr) {
        return Err(Error::err("Not an sds encoded string."));
    }
    let value = call.keys.string(call.db, key)?.map_or(0, |value| value.len());
    let key = key.len();
    call.reply.simple(&format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{value}, \
         val_sds_avail:0, val_zmalloc: {}",
        about.bytes
    ));
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
