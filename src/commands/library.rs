//! Libraries of functions as data: what a text says of itself, what it has registered, and all that
//! are loaded together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::commands::script::Reach;
use crate::resp::error::Error;
use crate::resp::inline;

/// What the first line of a library says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The library's name.
    pub name: Vec<u8>,
    /// Where the program begins: the end of that line.
    pub body: usize,
}

/// What a function says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// It writes nothing.
    NoWrites,
    /// It may run when memory is short.
    AllowOom,
    /// It may run on a replica whose data is old.
    AllowStale,
    /// It does not run in a cluster.
    NoCluster,
    /// Its keys may be of several slots.
    AllowCrossSlotKeys,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// As it was registered.
    pub name: Vec<u8>,
    /// In its author's words.
    pub description: Option<Vec<u8>>,
    /// In the order of `Flag::ALL`, each once.
    pub flags: Vec<Flag>,
    /// Which keys it can use, by its text.
    pub reach: Reach,
}

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its whole text.
    pub text: Arc<[u8]>,
    /// What it has registered.
    pub functions: Vec<Function>,
}

/// What becomes of a library whose name is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// The new one is refused.
    Refuse,
    /// The new one takes its place.
    Replace,
}

/// What becomes of what is there when libraries are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It stays, and no name may come again.
    Append,
    /// It stays, unless a name comes again.
    Replace,
    /// It goes.
    Flush,
}

/// All libraries, and their functions by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    libraries: BTreeMap<Vec<u8>, Arc<Library>>,
    /// By the name in lower case: the library, and which of its functions.
    functions: HashMap<Vec<u8>, (Arc<Library>, usize)>,
}

/// A name that is none.
pub const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) \
     and must be at least one character long";

/// Is this the name of a library or a function?
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// The words of a line, as those of an inline command.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut line, mut spans) = (line.to_vec(), Vec::new());
    inline::split_in_place(&mut line, 0, &mut spans).ok()?;
    let word = |start: u32, len: u32| line.get(start as usize..(start + len) as usize);
    spans.iter().map(|span| word(span.start, span.len).map(<[u8]>::to_vec)).collect()
}

/// Reads the first line of a library's text.
pub fn heading(text: &[u8]) -> Result<Heading, Error> {
    let invalid = || Error::err("Invalid library metadata");
    if !text.starts_with(b"#!") {
        return Err(Error::err("Missing library metadata"));
    }
    let body = memchr::memchr(b'\n', text).ok_or_else(invalid)?;
    let words = words(text.get(..body).unwrap_or_default()).ok_or_else(invalid)?;
    let (engine, options) = words.split_first().ok_or_else(invalid)?;
    let mut name: Option<Vec<u8>> = None;
    for option in options {
        match option.split_at_checked(5) {
            Some((head, tail)) if head.eq_ignore_ascii_case(b"name=") => {
                if name.replace(tail.to_vec()).is_some() {
                    let why = "Invalid metadata value, name argument was given multiple times";
                    return Err(Error::err(why));
                }
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Error::err_owned(format!("Invalid metadata value given: {option}")));
            }
        }
    }
    let name = name.ok_or_else(|| Error::err("Library name was not given"))?;
    if !is_name(&name) {
        return Err(Error::err(BAD_NAME));
    }
    let engine = engine.get(2..).unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"lua") {
        let engine = String::from_utf8_lossy(engine);
        return Err(Error::err_owned(format!("Engine '{engine}' not found")));
    }
    Ok(Heading { name, body })
}

impl Flag {
    /// All, in the order in which they are told.
    pub const ALL: [Flag; 5] = [
        Flag::NoWrites,
        Flag::AllowOom,
        Flag::AllowStale,
        Flag::NoCluster,
        Flag::AllowCrossSlotKeys,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Flag::NoWrites => "no-writes",
            Flag::AllowOom => "allow-oom",
            Flag::AllowStale => "allow-stale",
            Flag::NoCluster => "no-cluster",
            Flag::AllowCrossSlotKeys => "allow-cross-slot-keys",
        }
    }

    /// The one of this name, in whatever case.
    pub fn named(name: &[u8]) -> Option<Flag> {
        Flag::ALL.into_iter().find(|flag| flag.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

impl Function {
    /// Whether it says this of itself.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }
}

/// LOAD: there is one of this name.
pub fn exists(name: &[u8]) -> Error {
    Error::err_owned(format!("Library '{}' already exists", String::from_utf8_lossy(name)))
}

/// RESTORE: there is one of this name.
pub fn taken(name: &[u8]) -> Error {
    Error::err_owned(format!("Library {} already exists", String::from_utf8_lossy(name)))
}

impl Registry {
    /// How many libraries there are.
    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// How many functions there are.
    pub fn functions(&self) -> usize {
        self.libraries.values().map(|library| library.functions.len()).sum()
    }

    /// Bytes that names, texts and descriptions take.
    pub fn bytes(&self) -> usize {
        let of = |function: &Function| {
            function.name.len() + function.description.as_ref().map_or(0, Vec::len)
        };
        let libraries = self.libraries.values();
        let each = libraries.map(|library| {
            library.name.len()
                + library.text.len()
                + size_of::<Library>()
                + library.functions.iter().map(|f| of(f) + size_of::<Function>()).sum::<usize>()
        });
        each.sum()
    }

    /// The libraries, by name.
    pub fn libraries(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    /// The library of this name.
    pub fn library(&self, name: &[u8]) -> Option<&Arc<Library>> {
        self.libraries.get(name)
    }

    /// The function of this name, in whatever case.
    pub fn function(&self, name: &[u8]) -> Option<(&Arc<Library>, &Function)> {
        let (library, index) = self.functions.get(&name.to_ascii_lowercase())?;
        Some((library, library.functions.get(*index)?))
    }

    /// Where the function of this name is, in whatever case.
    pub fn locate(&self, name: &[u8]) -> Option<(Arc<Library>, usize)> {
        self.functions.get(&name.to_ascii_lowercase()).cloned()
    }

    fn link(&mut self, library: Arc<Library>) {
        for (index, function) in library.functions.iter().enumerate() {
            let place = self.functions.entry(function.name.to_ascii_lowercase());
            place.or_insert_with(|| (Arc::clone(&library), index));
        }
        self.libraries.insert(library.name.clone(), library);
    }

    fn unlink(&mut self, name: &[u8]) -> bool {
        self.functions.retain(|_, (library, _)| library.name != name);
        self.libraries.remove(name).is_some()
    }

    fn collision(&self, library: &Library) -> Result<(), Error> {
        let mut functions = library.functions.iter();
        match functions.find(|function| self.function(&function.name).is_some()) {
            None => Ok(()),
            Some(function) => {
                let name = String::from_utf8_lossy(&function.name);
                Err(Error::err_owned(format!("Function {name} already exists")))
            }
        }
    }

    /// With one library more.
    pub fn with(&self, library: Library, same: Same) -> Result<Registry, Error> {
        let mut after = self.clone();
        if after.libraries.contains_key(&library.name) {
            match same {
                Same::Refuse => return Err(exists(&library.name)),
                Same::Replace => _ = after.unlink(&library.name),
            }
        }
        after.collision(&library)?;
        after.link(Arc::new(library));
        Ok(after)
    }

    /// Without the library of this name, if there is one.
    pub fn without(&self, name: &[u8]) -> Option<Registry> {
        let mut after = self.clone();
        after.unlink(name).then_some(after)
    }

    /// With what comes, as the policy says.
    pub fn restored(&self, libraries: Vec<Library>, policy: Policy) -> Result<Registry, Error> {
        let mut come = Registry::default();
        for library in libraries {
            come = come.with(library, Same::Refuse)?;
        }
        if policy == Policy::Flush {
            return Ok(come);
        }
        let mut after = self.clone();
        for name in come.libraries.keys() {
            if policy == Policy::Append && after.libraries.contains_key(name) {
                return Err(taken(name));
            }
            after.unlink(name);
        }
        for library in come.libraries.values() {
            after.collision(library)?;
        }
        come.libraries.into_values().for_each(|library| after.link(library));
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_names_the_library() {
        for (text, expected) in [
            ("#!lua name=a\nx", "a 12"),
            ("#!LUA NAME=a_1 \nx", "a_1 15"),
            ("#!lua name=\"a\"\nx", "a 14"),
            ("#!lua \"name=a\"\r\nx", "a 15"),
            ("x", "ERR Missing library metadata"),
            ("", "ERR Missing library metadata"),
            ("#!lua name=a", "ERR Invalid library metadata"),
            ("#!lua name=\"a\nx", "ERR Invalid library metadata"),
            ("#!lua\nx", "ERR Library name was not given"),
            ("#! name=a\nx", "ERR Engine '' not found"),
            ("#!js name=a\nx", "ERR Engine 'js' not found"),
            ("#!lua name=a foo=bar\n", "ERR Invalid metadata value given: foo=bar"),
            (
                "#!lua name=a name=b\n",
                "ERR Invalid metadata value, name argument was given multiple times",
            ),
            ("#!js name=\n", &format!("ERR {BAD_NAME}")),
            ("#!lua name=a-b\n", &format!("ERR {BAD_NAME}")),
        ] {
            let got = match heading(text.as_bytes()) {
                Ok(found) => format!("{} {}", String::from_utf8_lossy(&found.name), found.body),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "{text}");
        }
    }

    /// `name:function,function`.
    fn library(line: &str) -> Library {
        let (name, functions) = line.split_once(':').unwrap();
        let function = |name: &str| Function {
            name: name.as_bytes().to_vec(),
            description: None,
            flags: Vec::new(),
            reach: Reach::All,
        };
        Library {
            name: name.as_bytes().to_vec(),
            text: line.as_bytes().into(),
            functions: functions.split(',').map(function).collect(),
        }
    }

    fn told(registry: &Registry) -> String {
        let texts = registry.libraries().map(|library| String::from_utf8_lossy(&library.text));
        texts.collect::<Vec<_>>().join(" ")
    }

    fn of(lines: &str) -> Registry {
        let libraries = lines.split_whitespace().map(library).collect();
        Registry::default().restored(libraries, Policy::Flush).unwrap()
    }

    #[test]
    fn names_are_taken_once() {
        let before = of("a:f,g b:h");
        assert_eq!((before.len(), before.functions()), (2, 3));
        for (line, same, expected) in [
            ("c:i", Same::Refuse, "a:f,g b:h c:i"),
            ("a:i", Same::Refuse, "ERR Library 'a' already exists"),
            ("a:f,i", Same::Replace, "a:f,i b:h"),
            ("a:H", Same::Replace, "ERR Function H already exists"),
            ("c:F", Same::Refuse, "ERR Function F already exists"),
        ] {
            let got = match before.with(library(line), same) {
                Ok(after) => {
                    let all = after.libraries().flat_map(|library| &library.functions);
                    assert!(all.into_iter().all(|f| after.function(&f.name).is_some()));
                    told(&after)
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "{line}");
        }
        let after = before.without(b"a").unwrap();
        assert!(after.function(b"f").is_none() && after.function(b"H").is_some());
        assert!(before.without(b"A").is_none());
        assert_eq!(before.function(b"G").unwrap().1.name, b"g");
    }

    #[test]
    fn restoring_follows_the_policy() {
        let before = of("a:f b:g");
        for (lines, policy, expected) in [
            ("c:h", Policy::Append, "a:f b:g c:h"),
            ("b:g", Policy::Append, "ERR Library b already exists"),
            ("b:h", Policy::Replace, "a:f b:h"),
            ("b:f", Policy::Replace, "ERR Function f already exists"),
            ("c:F", Policy::Append, "ERR Function F already exists"),
            ("c:f", Policy::Flush, "c:f"),
            ("a:g b:f", Policy::Replace, "a:g b:f"),
            ("", Policy::Append, "a:f b:g"),
            ("", Policy::Flush, ""),
            ("c:h c:i", Policy::Flush, "ERR Library 'c' already exists"),
            ("c:h d:h", Policy::Replace, "ERR Function h already exists"),
        ] {
            let libraries = lines.split_whitespace().map(library).collect();
            let got = match before.restored(libraries, policy) {
                Ok(after) => told(&after),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "{lines} {policy:?}");
        }
    }

    #[test]
    fn flags_have_names() {
        for flag in Flag::ALL {
            assert_eq!(Flag::named(flag.name().to_uppercase().as_bytes()), Some(flag));
        }
        assert_eq!(Flag::named(b"allow"), None);
    }
}
