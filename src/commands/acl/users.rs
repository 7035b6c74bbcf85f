//! The table of all users. It never changes either: who changes it makes another one, which every
//! core takes over.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::commands::acl::catalogue::Catalogue;
use crate::commands::acl::rule::Refusal;
use crate::commands::acl::selector::Fresh;
use crate::commands::acl::user::User;

/// The user of every connection that has said nothing else.
pub const DEFAULT: &[u8] = b"default";

/// All users by name.
#[derive(Clone, Debug)]
pub struct Users {
    /// How often the table has changed.
    pub version: u64,
    /// What rules about commands speak of.
    pub catalogue: Arc<Catalogue>,
    default: Arc<User>,
    /// All but the default user.
    named: BTreeMap<Vec<u8>, Arc<User>>,
}

impl Users {
    /// The default user alone, who may do everything, with this password; an empty one: none.
    pub fn new(password: &[u8]) -> Users {
        let catalogue = Arc::new(Catalogue::new());
        let default = Arc::new(free(&catalogue));
        let users = Users { version: 0, catalogue, default, named: BTreeMap::new() };
        if password.is_empty() { users } else { users.with_password(password) }
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        if name == DEFAULT { Some(&self.default) } else { self.named.get(name) }
    }

    /// The user of every connection that has said nothing else.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// May a client go on as the default user without a password?
    pub fn is_open(&self) -> bool {
        self.default.login.enabled && self.default.login.open
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<User>> {
        let range = |from, to| self.named.range::<[u8], _>((from, to));
        let before = range(Bound::Unbounded, Bound::Excluded(DEFAULT));
        let after = range(Bound::Excluded(DEFAULT), Bound::Unbounded);
        let default = std::iter::once(&self.default);
        before.map(|(_, user)| user).chain(default).chain(after.map(|(_, user)| user))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.named.len() + 1
    }

    /// There is always one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A user to which rules can be applied: the one of this name, or a new one.
    pub fn draft(&self, name: &[u8], fresh: Fresh) -> User {
        match self.get(name) {
            Some(user) => User::clone(user).with_fresh(fresh),
            None => User::new(name, fresh, &self.catalogue),
        }
    }

    /// The table with this user, new or changed.
    #[must_use]
    pub fn with(&self, user: User) -> Users {
        let mut users = self.next();
        match user.name == DEFAULT {
            true => users.default = Arc::new(user),
            false => _ = users.named.insert(user.name.clone(), Arc::new(user)),
        }
        users
    }

    /// The table without these users. The default user stays.
    #[must_use]
    pub fn without<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Users {
        let mut users = self.next();
        names.for_each(|name| _ = users.named.remove(name));
        users
    }

    /// The table with another password of the default user (`requirepass`); an empty one: none.
    #[must_use]
    pub fn with_password(&self, password: &[u8]) -> Users {
        let user = User::clone(&self.default);
        let changed = match password {
            [] => user.with(b"nopass"),
            password => user.with(b"resetpass").and_then(|user| {
                let rule = [b">", password].concat();
                user.with(&rule)
            }),
        };
        match changed {
            Ok(user) => self.with(user),
            Err(_) => unreachable!("a user without passwords takes one"),
        }
    }

    /// A table with these users instead. Without a default user there is one that may do all.
    #[must_use]
    pub fn replaced(&self, users: BTreeMap<Vec<u8>, User>) -> Users {
        let mut next = Users { default: Arc::new(free(&self.catalogue)), ..self.next() };
        next.named = BTreeMap::new();
        let version = next.version;
        let all = users.into_values().fold(next, |next, user| next.with(user));
        Users { version, ..all }
    }

    fn next(&self) -> Users {
        Users { version: self.version + 1, ..self.clone() }
    }

    /// All users as lines of a configuration: `user <name> <rules>`.
    pub fn lines(&self) -> impl Iterator<Item = Vec<u8>> {
        self.all().map(|user| [b"user ", &user.name[..], b" ", &user.describe()].concat())
    }
}

/// The default user as it is without any rule about it.
fn free(catalogue: &Arc<Catalogue>) -> User {
    let rules: [&[u8]; 5] = [b"+@all", b"~*", b"&*", b"on", b"nopass"];
    let user = User::new(DEFAULT, Fresh::NoChannels, catalogue);
    let free = rules.iter().try_fold(user, |user, rule| user.with(rule));
    let free: Result<User, Refusal> = free;
    match free {
        Ok(user) => user,
        Err(refusal) => unreachable!("a rule of our own: {refusal}"),
    }
}
