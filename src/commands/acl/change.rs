//! Applies the rules of a request, a line of a file or a directive to a user, all or none.

use crate::commands::acl::rule::{Refusal, shown};
use crate::commands::acl::user::User;

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// This rule, for this reason.
    Rule(Vec<u8>, Refusal),
    /// A selector that begins here does not end.
    Unmatched(Vec<u8>),
}

/// The user as all of these rules make it.
pub fn apply<'a>(user: User, words: impl Iterator<Item = &'a [u8]>) -> Result<User, Wrong> {
    let rules = merged(words)?;
    rules.into_iter().try_fold(user, |user, rule| {
        let changed = user.with(&rule);
        changed.map_err(|why| Wrong::Rule(rule, why))
    })
}

/// Puts selectors together whose rules came as several words: `(+get` `~a)`.
pub fn merged<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, Wrong> {
    let mut rules = Vec::new();
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    for word in words {
        let ends = word.last() == Some(&b')');
        match open.take() {
            None if word.first() == Some(&b'(') && !ends => {
                open = Some((word.to_vec(), word.to_vec()));
            }
            None => rules.push(word.to_vec()),
            Some((start, mut selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                match ends {
                    true => rules.push(selector),
                    false => open = Some((start, selector)),
                }
            }
        }
    }
    match open {
        Some((start, _)) => Err(Wrong::Unmatched(start)),
        None => Ok(rules),
    }
}

impl Wrong {
    /// The text that ACL SETUSER answers, without its code.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Wrong::Unmatched(start) => {
                let head: &[u8] = b"Unmatched parenthesis in acl selector starting at '";
                [head, start, b"'."].concat()
            }
            Wrong::Rule(rule, why) => {
                let head: &[u8] = b"Error in ACL SETUSER modifier '";
                [head, rule, format!("': {why}").as_bytes()].concat()
            }
        }
    }

    /// The text about a directive of the configuration. Only names of commands are repeated: other
    /// rules may hold a password.
    pub fn in_configuration(&self) -> String {
        match self {
            Wrong::Unmatched(start) => {
                format!("Unmatched parenthesis in acl selector starting at '{}'", shown(start))
            }
            Wrong::Rule(rule, why @ Refusal::UnknownName) => {
                format!("Error in applying operation '{}': {why}", shown(rule))
            }
            Wrong::Rule(_, why) => why.to_string(),
        }
    }
}
