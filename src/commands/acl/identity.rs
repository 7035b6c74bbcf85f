//! Who a session is, and whether its commands have to be looked at.

use std::sync::Arc;

use crate::commands::acl::check;
use crate::commands::acl::user::User;
use crate::commands::acl::users::Users;
use crate::commands::pubsub::Subscriptions;

/// Who a session is.
#[derive(Clone, Debug)]
pub struct Identity {
    user: Option<Arc<User>>,
    /// How it has come to be that user.
    proof: Proof,
    standing: Standing,
}

/// What a session's commands need before they run: the one question on the path of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// A password first.
    #[default]
    Stranger,
    /// A look at each command.
    Limited,
    /// Nothing: its user may do everything.
    Free,
}

/// How a session has come to be its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Proof {
    /// Not at all.
    #[default]
    None,
    /// By a password, or as the default user when none was needed.
    Given,
}

/// What becomes of a session when the users have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Stays,
    /// It is closed.
    Ends,
}

impl Identity {
    /// A new connection's.
    pub fn new(users: &Users) -> Identity {
        let proof = if users.is_open() { Proof::Given } else { Proof::None };
        Identity::of(users.default_user(), proof, users)
    }

    /// A client has become this user.
    pub fn proven(user: &Arc<User>, users: &Users) -> Identity {
        Identity::of(user, Proof::Given, users)
    }

    fn of(user: &Arc<User>, proof: Proof, users: &Users) -> Identity {
        let standing = match proof {
            // Who has said nothing is the default user, if that is possible.
            Proof::None if !users.is_open() => Standing::Stranger,
            _ if user.is_free() => Standing::Free,
            _ => Standing::Limited,
        };
        Identity { user: Some(Arc::clone(user)), proof, standing }
    }

    /// What its commands need.
    #[inline]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Does it have to say first who it is?
    pub fn is_stranger(&self) -> bool {
        self.standing == Standing::Stranger
    }

    /// The user, if its commands have to be looked at.
    pub fn limited(&self) -> Option<&Arc<User>> {
        self.user.as_ref().filter(|_| self.standing == Standing::Limited)
    }

    /// Its user.
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Its user's name.
    pub fn name(&self) -> &[u8] {
        self.user.as_ref().map_or(b"default", |user| &user.name)
    }

    /// The users have changed. Whose user is gone is nobody from now on, and ends; likewise who
    /// hears what its user may not hear any more.
    pub fn refresh(&mut self, users: &Users, subscriptions: &Subscriptions) -> Fate {
        let Some(user) = users.get(self.name()) else {
            *self = Identity { proof: Proof::None, standing: Standing::Stranger, ..self.clone() };
            return Fate::Ends;
        };
        let same = self.user.as_ref().is_some_and(|old| Arc::ptr_eq(old, user));
        *self = Identity::of(user, self.proof, users);
        if same || check::may_listen(user, subscriptions) { Fate::Stays } else { Fate::Ends }
    }
}

impl Default for Identity {
    /// Nobody.
    fn default() -> Identity {
        Identity { user: None, proof: Proof::None, standing: Standing::Stranger }
    }
}
