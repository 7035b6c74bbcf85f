//! A key as the smallest set of plain commands that makes it anew.

use crate::base::ids::Db;
use crate::base::table::Stored;
use crate::keyspace::keyspace::Keyspace;
use crate::types::hash::Hash;
use crate::types::string::StrRef;
use crate::types::value::Value;

/// Pairs in one HSET, so that no command is long (Redis' rewrite uses the same number).
const PAIRS: usize = 64;

impl Keyspace {
    /// Gives the commands, one after another, that make this key in an empty place: SET or HSETs,
    /// then PEXPIREAT. Says whether the key is there. Does not count as an access.
    pub fn rebuild(&mut self, db: Db, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) -> bool {
        let Some((place, meta)) = self.look(db, key) else { return false };
        match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => each(&[b"SET", key, bytes]),
            Stored::Extern(Value::Str(bytes)) => each(&[b"SET", key, bytes]),
            Stored::Extern(Value::Rope(rope)) => {
                each(&[b"SET", key, &StrRef::Rope(rope.borrow()).flat()]);
            }
            Stored::Extern(Value::Hash(hash)) => rebuild_hash(hash, key, each),
        }
        if let Some(deadline) = meta.deadline {
            each(&[b"PEXPIREAT", key, deadline.to_string().as_bytes()]);
        }
        true
    }
}

fn rebuild_hash(hash: &Hash, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let mut send = |batch: &mut Vec<Vec<u8>>| {
        let mut args: Vec<&[u8]> = vec![b"HSET", key];
        args.extend(batch.iter().map(Vec::as_slice));
        if !batch.is_empty() {
            each(&args);
        }
        batch.clear();
    };
    hash.for_each(|field, value| {
        batch.push(field.to_vec());
        batch.push(value.to_vec());
        if batch.len() == 2 * PAIRS {
            send(&mut batch);
        }
    });
    send(&mut batch);
}
