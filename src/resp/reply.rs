//! Writes one client's replies in the protocol version it chose.

use crate::resp::error::Error;

/// The protocol version of a session, as HELLO sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// RESP2, the default.
    #[default]
    Two,
    /// RESP3: maps, sets, doubles, booleans, nulls of their own, pushes.
    Three,
}

/// A writer of replies at the end of a buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
}

impl<'a> Reply<'a> {
    /// Writes at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Reply<'a> {
        Reply { out, proto }
    }
    /// The version in use.
    pub fn proto(&self) -> Proto {
        self.proto
    }
    /// Bytes in the buffer so far; with `rewind` what was written since can be taken back.
    pub fn mark(&self) -> usize {
        self.out.len()
    }
    /// Takes back what was written since `mark`.
    pub fn rewind(&mut self, mark: usize) {
        self.out.truncate(mark);
    }
    /// `+OK`.
    pub fn ok(&mut self) {
        self.simple("OK");
    }
    /// `+text`; the text has no CR or LF.
    pub fn simple(&mut self, _text: &str) {
        todo!()
    }
    /// `-ERR ...`.
    pub fn error(&mut self, _error: &Error) {
        todo!()
    }
    /// `:n`.
    pub fn integer(&mut self, _n: i64) {
        todo!()
    }
    /// `$len bytes`.
    pub fn bulk(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// Opens a bulk of `len` bytes which `fill` appends itself (long strings in pieces).
    pub fn bulk_with(&mut self, _len: usize, _fill: impl FnOnce(&mut Vec<u8>)) {
        todo!()
    }
    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, _n: i64) {
        todo!()
    }
    /// `$-1`, or `_` in RESP3.
    pub fn null(&mut self) {
        todo!()
    }
    /// `*-1`, or `_` in RESP3.
    pub fn null_array(&mut self) {
        todo!()
    }
    /// `*n`; n replies follow.
    pub fn array(&mut self, _n: usize) {
        todo!()
    }
    /// `%n`, or `*2n` in RESP2; n pairs follow.
    pub fn map(&mut self, _n: usize) {
        todo!()
    }
    /// `~n`, or `*n` in RESP2.
    pub fn set(&mut self, _n: usize) {
        todo!()
    }
    /// `>n`, or `*n` in RESP2.
    pub fn push(&mut self, _n: usize) {
        todo!()
    }
    /// `,x`, or a bulk in RESP2, printed as Redis prints it.
    pub fn double(&mut self, _x: f64) {
        todo!()
    }
    /// `#t` / `#f`, or `:1` / `:0` in RESP2.
    pub fn boolean(&mut self, _yes: bool) {
        todo!()
    }
    /// `=len txt:...`, or a bulk in RESP2. `format` has three letters.
    pub fn verbatim(&mut self, _format: &str, _text: &[u8]) {
        todo!()
    }
    /// A reply that was encoded elsewhere, as it is.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}
