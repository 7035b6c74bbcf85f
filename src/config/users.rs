//! Directives `user <name> <rules>`: kept as they stand, since what rules mean is known elsewhere.

use crate::config::text;

/// One such directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    /// Where it stands, for errors: `file:line`.
    pub place: String,
    /// The user's name.
    pub name: String,
    /// Its rules.
    pub rules: Vec<String>,
}

impl UserLine {
    /// Reads the words after `user`. `before` are those that stand before it.
    pub fn read(
        place: String,
        words: &[String],
        before: &[UserLine],
    ) -> Result<UserLine, &'static str> {
        let Some((name, rules)) = words.split_first() else {
            return Err("user: a name is missing");
        };
        if before.iter().any(|line| line.name == *name) {
            return Err("Duplicate user found. A user can only be defined once in config files");
        }
        Ok(UserLine { place, name: name.clone(), rules: rules.to_vec() })
    }

    /// The line as it stands in a file.
    pub fn print(&self) -> String {
        let words = std::iter::once(&self.name).chain(&self.rules);
        words.fold("user".to_owned(), |line, word| line + " " + &text::quoted(word))
    }
}
