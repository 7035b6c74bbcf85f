//! The file in config/: every setting with its comment and its value.

use crate::config::fields::Config;
use crate::config::kind::Kind;
use crate::config::table::row::{Change, Setting, Standing};
use crate::config::table::sections::TABLE;

/// Columns of a line of comment or help.
const WIDTH: usize = 88;

const HEAD: &str = "\
# basalt.conf: every setting that the server reads, with its default.
#
#   basalt-server basalt.conf --port 7000     what stands on the command line comes last
#   basalt-server --check-config basalt.conf  reads the file, says what is wrong, and ends
#
# The syntax is that of redis.conf. Sizes: 1k = 1000, 1kb = 1024, 1m, 1mb, 1g, 1gb. Settings
# marked (live) can be changed by CONFIG SET; CONFIG REWRITE brings this file up to date.
# Directives of Redis that mean nothing here are accepted; one line of the log says why.
";

impl Config {
    /// The settings as a file with comments: `config/basalt.conf` is this text of the defaults.
    pub fn document(&self) -> String {
        let mut text = HEAD.to_owned();
        for section in TABLE {
            let shown: Vec<&Setting> = section.rows.iter().filter(|row| is_shown(row)).collect();
            if !shown.is_empty() {
                text.push_str(&format!("\n#### {} ####\n", section.title));
            }
            for row in shown {
                text.push_str(&self.paragraph(row));
            }
        }
        text
    }

    fn paragraph(&self, row: &Setting) -> String {
        let live = if row.change == Change::Live { "(live) " } else { "" };
        let mut text = String::from("\n");
        for line in wrapped(&format!("{live}{}{}", row.doc, hint(row.kind))) {
            text.push_str(&format!("# {line}\n"));
        }
        let value = row.load(self);
        if value == crate::config::load::default_of(row, self) && !row.kind.takes_many() {
            // As the table has it: with units.
            text.push_str(&format!("{} {}\n", row.name, row.default));
        } else {
            for arguments in value.lines() {
                text.push_str(&format!("{} {arguments}\n", row.name));
            }
        }
        text
    }
}

/// Is the setting worth a place in the file?
fn is_shown(row: &Setting) -> bool {
    !row.doc.is_empty() && matches!(row.standing, Standing::Works | Standing::Partly(_))
}

fn hint(kind: Kind) -> String {
    match kind {
        Kind::OneOf(_) | Kind::Number(..) => format!(" [{}]", kind.hint()),
        _ => String::new(),
    }
}

/// The text in lines of at most `WIDTH` bytes, broken at blanks.
pub(super) fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one line");
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::Source;

    /// `BASALT_WRITE=1 cargo test config_file_is_current` writes the file anew.
    #[test]
    fn config_file_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/basalt.conf");
        let text = Config::default().document();
        if std::env::var_os("BASALT_WRITE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        let how = "run: BASALT_WRITE=1 cargo test config_file_is_current";
        assert!(found == text, "config/basalt.conf is not what the settings table says; {how}");
    }

    #[test]
    fn the_document_says_what_it_was_made_from() {
        let source = Source { name: "f".to_owned(), text: Config::default().document() };
        let (config, notes) = Config::load(&[source], &mut |_| Err(String::new())).unwrap();
        assert_eq!((config, notes), (Config::default(), vec![]));
    }

    #[test]
    fn every_setting_that_is_read_is_explained() {
        for section in TABLE.iter().take(TABLE.len() - 1) {
            for row in section.rows {
                assert!(row.doc.ends_with('.'), "{}: {:?}", row.name, row.doc);
            }
        }
        let text = Config::default().document();
        assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 100));
    }
}
