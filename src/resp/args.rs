//! The arguments of one request: borrowed from a read buffer, or owned.

/// Where one argument lies in the bytes it was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

/// A request's arguments, the command's name first. Two words wide; copy it freely.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

/// Arguments that own their bytes: queued commands, commands for another core, effects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `bytes`.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans }
    }

    /// How many, the command's name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`, or nothing past the end.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        let start = span.start as usize;
        self.bytes.get(start..start + span.len as usize)
    }

    /// Argument `index`; empty past the end. Handlers use it below what their arity guarantees.
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| {
            let start = span.start as usize;
            bytes.get(start..start + span.len as usize).unwrap_or_default()
        })
    }

    /// The arguments from `index` on.
    #[must_use]
    pub fn from(&self, index: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.get(index..).unwrap_or_default() }
    }

    /// The first `count` arguments.
    #[must_use]
    pub fn to(&self, count: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.get(..count).unwrap_or(self.spans) }
    }

    /// The arguments before `index`, and those from there on.
    #[must_use]
    pub fn split_at(&self, index: usize) -> (Args<'a>, Args<'a>) {
        let (one, two) = self.spans.split_at_checked(index).unwrap_or((self.spans, &[]));
        (Args { bytes: self.bytes, spans: one }, Args { bytes: self.bytes, spans: two })
    }

    /// A copy that owns its bytes, packed.
    pub fn to_owned(&self) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for arg in self.iter() {
            owned.push(arg);
        }
        owned
    }
}

impl OwnedArgs {
    /// A list of the given arguments.
    pub fn of(args: &[&[u8]]) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for arg in args {
            owned.push(arg);
        }
        owned
    }

    /// Adds one argument at the end.
    pub fn push(&mut self, arg: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(arg);
        self.spans.push(Span { start, len: arg.len() as u32 });
    }

    /// The borrowed form.
    pub fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }

    /// Bytes of all arguments together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}
