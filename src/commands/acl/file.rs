//! The file of users (`aclfile`): lines `user <name> <rules>`, and what is wrong with them.
//!
//! A file is valid if and only if each line is empty or such a line, no user stands in it twice,
//! and each rule can be applied after those before it. Comments are not valid: ACL SAVE writes the
//! file anew and would lose them.

use std::collections::BTreeMap;

use crate::commands::acl::change::{Wrong, apply, merged};
use crate::commands::acl::rule::{Refusal, is_broken, shown};
use crate::commands::acl::selector::Fresh;
use crate::commands::acl::user::User;
use crate::commands::acl::users::Users;
use crate::limits::{ACL_ERRORS_SHOWN, ACL_USERS_MAX};

/// Stands at the end of all errors.
const UNCHANGED: &str =
    "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

/// The table of users that a file says, or all that is wrong with it, in one line. `name` is that
/// of the file.
pub fn read(text: &[u8], name: &str, old: &Users, fresh: Fresh) -> Result<Users, String> {
    let mut users: BTreeMap<Vec<u8>, User> = BTreeMap::new();
    let mut errors = String::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let words: Vec<&[u8]> = words.collect();
        let Some((keyword, words)) = words.split_first() else { continue };
        match user_of(keyword, words, &users, old, fresh) {
            Ok(user) => _ = users.insert(user.name.clone(), user),
            // A file of something else is wrong in every line.
            Err(_) if errors.len() > ACL_ERRORS_SHOWN => {}
            Err(why) => errors.push_str(&why.text(name, index + 1)),
        }
    }
    match errors.is_empty() {
        true => Ok(old.replaced(users)),
        false => Err(errors + UNCHANGED),
    }
}

/// What is wrong with a line.
enum Fault {
    Keyword,
    Name(Vec<u8>),
    Twice(Vec<u8>),
    Crowd,
    Unmatched,
    Rules(Vec<(Vec<u8>, Refusal)>),
}

impl Fault {
    fn text(&self, name: &str, line: usize) -> String {
        match self {
            Fault::Keyword => {
                format!("{name}:{line} should start with user keyword followed by the username. ")
            }
            Fault::Name(user) => {
                let user = shown(user);
                format!("'{name}:{line}: username '{user}' contains invalid characters. ")
            }
            Fault::Twice(user) => {
                format!("WARNING: Duplicate user '{}' found on line {line}. ", shown(user))
            }
            Fault::Crowd => format!("{name}:{line}: too many users. "),
            Fault::Unmatched => {
                format!("{name}:{line}: Unmatched parenthesis in selector definition.")
            }
            Fault::Rules(rules) => rules.iter().map(|rule| said(rule, name, line)).collect(),
        }
    }
}

/// Of rules only those are repeated that name a command: others may hold a password.
fn said((rule, why): &(Vec<u8>, Refusal), name: &str, line: usize) -> String {
    match why {
        Refusal::UnknownName => {
            let rule = shown(rule);
            format!("{name}:{line}: Error in applying operation '{rule}': {why}. ")
        }
        _ => format!("{name}:{line}: {why}. "),
    }
}

fn user_of(
    keyword: &[u8],
    words: &[&[u8]],
    users: &BTreeMap<Vec<u8>, User>,
    old: &Users,
    fresh: Fresh,
) -> Result<User, Fault> {
    let Some((name, rules)) = words.split_first().filter(|_| keyword == b"user") else {
        return Err(Fault::Keyword);
    };
    if is_broken(name) {
        return Err(Fault::Name(name.to_vec()));
    }
    if users.contains_key(*name) {
        return Err(Fault::Twice(name.to_vec()));
    }
    if users.len() >= ACL_USERS_MAX {
        return Err(Fault::Crowd);
    }
    let user = User::new(name, fresh, &old.catalogue);
    let rules = rules.iter().copied();
    apply(user.clone(), rules.clone()).map_err(|wrong| match wrong {
        Wrong::Unmatched(_) => Fault::Unmatched,
        Wrong::Rule(..) => Fault::Rules(wrong_rules(user, rules)),
    })
}

/// All names of commands that are not known, and the first rule that is wrong in another way.
fn wrong_rules<'a>(
    mut user: User,
    words: impl Iterator<Item = &'a [u8]>,
) -> Vec<(Vec<u8>, Refusal)> {
    let mut wrong: Vec<(Vec<u8>, Refusal)> = Vec::new();
    for rule in merged(words).unwrap_or_default() {
        match user.clone().with(&rule) {
            Ok(changed) => user = changed,
            Err(why) => {
                let first = wrong.iter().all(|(_, before)| *before == Refusal::UnknownName);
                if why == Refusal::UnknownName || first {
                    wrong.push((rule, why));
                }
            }
        }
    }
    wrong
}

/// The text of a file with these users.
pub fn write(users: &Users) -> Vec<u8> {
    let mut text = Vec::new();
    for line in users.lines() {
        text.extend_from_slice(&line);
        text.push(b'\n');
    }
    text
}
