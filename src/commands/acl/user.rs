//! One user: a name, whether and by which passwords a client becomes it, and its selectors. It
//! never changes: a rule makes another one of it.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::base::wire::{hex, hexadecimal};
use crate::commands::acl::catalogue::Catalogue;
use crate::commands::acl::rule::Refusal;
use crate::commands::acl::selector::{Fresh, Selector};
use crate::limits::ACL_LIST_MAX;

/// A password as it is kept.
pub type Hash = [u8; 32];

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: Vec<u8>,
    /// Whether clients may become it.
    pub login: Login,
    /// The passwords, by one of which they do.
    passwords: Vec<Hash>,
    payloads: Payloads,
    /// What it may do by itself.
    root: Selector,
    /// What it may do besides.
    others: Vec<Selector>,
    /// All commands, which rules speak of.
    pub catalogue: Arc<Catalogue>,
    /// New selectors begin with these channels.
    fresh: Fresh,
}

/// Whether clients may become a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// `on` or `off`
    pub enabled: bool,
    /// `nopass`: any password will do.
    pub open: bool,
}

/// `sanitize-payload` and its opposite. What RESTORE gets is always checked; this is shown only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payloads {
    Unsaid,
    Skipped,
    Checked,
}

impl User {
    /// A new one, which may do nothing and whom nobody can become.
    pub fn new(name: &[u8], fresh: Fresh, catalogue: &Arc<Catalogue>) -> User {
        User {
            name: name.to_vec(),
            login: Login { enabled: false, open: false },
            passwords: Vec::new(),
            payloads: Payloads::Unsaid,
            root: Selector::new(fresh, catalogue),
            others: Vec::new(),
            catalogue: Arc::clone(catalogue),
            fresh,
        }
    }

    /// The same user, whose new selectors will begin with these channels.
    #[must_use]
    pub fn with_fresh(self, fresh: Fresh) -> User {
        User { fresh, ..self }
    }

    /// The user as a rule makes it.
    pub fn with(mut self, rule: &[u8]) -> Result<User, Refusal> {
        self.change(rule)?;
        Ok(self)
    }

    fn change(&mut self, rule: &[u8]) -> Result<(), Refusal> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.login.enabled = true,
            b"off" => self.login.enabled = false,
            b"sanitize-payload" => self.payloads = Payloads::Checked,
            b"skip-sanitize-payload" => self.payloads = Payloads::Skipped,
            b"nopass" => (self.login.open, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.login.open, self.passwords) = (false, Vec::new()),
            b"clearselectors" => self.others = Vec::new(),
            b"reset" => {
                let fresh = User::new(&self.name, self.fresh, &self.catalogue);
                *self = User { payloads: Payloads::Checked, ..fresh };
            }
            _ => return self.change_by_value(rule),
        }
        Ok(())
    }

    fn change_by_value(&mut self, rule: &[u8]) -> Result<(), Refusal> {
        match rule {
            [b'>', password @ ..] => self.add_password(hashed(password)),
            [b'#', hash @ ..] => self.add_password(read_hash(hash).ok_or(Refusal::BadHash)?),
            [b'<', password @ ..] => self.remove_password(hashed(password)),
            [b'!', hash @ ..] => self.remove_password(read_hash(hash).ok_or(Refusal::BadHash)?),
            [b'(', rules @ .., b')'] => {
                if self.others.len() >= ACL_LIST_MAX {
                    return Err(Refusal::TooMany);
                }
                let mut selector = Selector::new(self.fresh, &self.catalogue);
                let words = rules.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                for word in words {
                    // It would be told as the end of the selector. (Redis takes it, and tells it.)
                    if word.ends_with(b")") {
                        return Err(Refusal::Syntax);
                    }
                    selector.apply(word, &self.catalogue)?;
                }
                self.others.push(selector);
                Ok(())
            }
            _ => self.root.apply(rule, &self.catalogue),
        }
    }

    fn add_password(&mut self, hash: Hash) -> Result<(), Refusal> {
        if !self.passwords.contains(&hash) {
            if self.passwords.len() >= ACL_LIST_MAX {
                return Err(Refusal::TooMany);
            }
            self.passwords.push(hash);
        }
        self.login.open = false;
        Ok(())
    }

    fn remove_password(&mut self, hash: Hash) -> Result<(), Refusal> {
        let at = self.passwords.iter().position(|known| *known == hash);
        self.passwords.remove(at.ok_or(Refusal::NoSuchPassword)?);
        Ok(())
    }

    /// Does a client become this user by this password? Takes as long whichever password it is, and
    /// however much of it is right.
    pub fn admits(&self, password: &[u8]) -> bool {
        if !self.login.enabled {
            return false;
        }
        let given = hashed(password);
        let known = self.passwords.iter().fold(0, |found, hash| found | equal(hash, &given));
        self.login.open || known != 0
    }

    /// May it do everything there is?
    pub fn is_free(&self) -> bool {
        self.selectors().any(Selector::is_free)
    }

    /// What it may do: by itself first.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.others)
    }

    /// The words of its state, as ACL GETUSER shows them.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.login.enabled { "on" } else { "off" }];
        flags.extend(self.login.open.then_some("nopass"));
        flags.extend(match self.payloads {
            Payloads::Unsaid => None,
            Payloads::Skipped => Some("skip-sanitize-payload"),
            Payloads::Checked => Some("sanitize-payload"),
        });
        flags
    }

    /// Its passwords in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|hash| hexadecimal(hash))
    }

    /// All rules that make it from nothing, in one line.
    pub fn describe(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> =
            self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords().map(|hash| format!("#{hash}").into_bytes()));
        words.push(self.root.describe(&self.catalogue));
        let more = |selector: &Selector| {
            [b"(", selector.describe(&self.catalogue).as_slice(), b")"].concat()
        };
        words.extend(self.others.iter().map(more));
        words.join(&b' ')
    }
}

fn hashed(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// 1 if they are equal, else 0, without a branch on the way.
fn equal(one: &Hash, other: &Hash) -> u32 {
    let differences = one.iter().zip(other).fold(0, |found, (a, b)| found | (a ^ b));
    u32::from(std::hint::black_box(differences) == 0)
}

/// 64 hexadecimal digits, lower case.
fn read_hash(text: &[u8]) -> Option<Hash> {
    let (high, low) = text.split_at_checked(32).filter(|(_, low)| low.len() == 32)?;
    let halves = [hex(high)?.to_be_bytes(), hex(low)?.to_be_bytes()];
    halves.concat().try_into().ok()
}
