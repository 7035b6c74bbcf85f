//! The target: rules of users, and lines of their file.

use std::sync::Arc;

use super::{fuzz, lines};

use crate::commands::acl::catalogue::Catalogue;
use crate::commands::acl::change::apply;
use crate::commands::acl::file;
use crate::commands::acl::selector::Fresh;
use crate::commands::acl::user::User;
use crate::commands::acl::users::Users;

#[test]
fn rules() {
    let catalogue = Arc::new(Catalogue::new());
    let users = Users::new(b"");
    let corpus = lines(include_str!("corpus/acl.txt"));
    fuzz("testing::fuzz::acl::rules", &corpus, |input, _| {
        let new = || User::new(b"u", Fresh::NoChannels, &catalogue);
        let _ = file::read(input, "f", &users, Fresh::AllChannels);
        let Ok(user) = apply(new(), input.split(|byte| *byte == b' ')) else { return };
        // What is told can be read again, and is told the same then.
        let told = user.describe();
        let again = apply(new(), told.split(|byte| *byte == b' ')).expect("what was told");
        assert_eq!(again.describe(), told);
        assert_eq!(again.is_free(), user.is_free());
        let line = [b"user u ", told.as_slice()].concat();
        file::read(&line, "f", &users, Fresh::NoChannels).expect("a line of a file");
    });
}
