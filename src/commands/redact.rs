//! What of a request may stand in the slow log: never a password.

use crate::commands::parse::is;
use crate::resp::args::Args;

/// What stands in the place of a secret.
const HIDDEN: &[u8] = b"(redacted)";

/// Settings whose values are secrets.
const SECRETS: &[&str] =
    &["masterauth", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass"];

/// The arguments as they may be shown.
pub fn shown<'a>(args: Args<'a>) -> Vec<&'a [u8]> {
    let mut words: Vec<&'a [u8]> = args.iter().collect();
    let mut hide = |at: usize| {
        if let Some(word) = words.get_mut(at) {
            *word = HIDDEN;
        }
    };
    let name = args.at(0);
    if is(name, "auth") {
        (1..args.len()).for_each(&mut hide);
    } else if is(name, "hello") {
        for at in (2..args.len()).filter(|at| is(args.at(*at), "auth")) {
            [at + 1, at + 2].into_iter().for_each(&mut hide);
        }
    } else if is(name, "acl") && args.get(1).is_some_and(|sub| is(sub, "setuser")) {
        (2..args.len()).for_each(&mut hide);
    } else if is(name, "config") && args.get(1).is_some_and(|sub| is(sub, "set")) {
        let secret = |at: &usize| SECRETS.iter().any(|secret| is(args.at(*at), secret));
        (2..args.len()).step_by(2).filter(secret).for_each(|at| hide(at + 1));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::args::OwnedArgs;

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        for (request, expected) in [
            ("AUTH a", "AUTH (redacted)"),
            ("auth a b", "auth (redacted) (redacted)"),
            ("HELLO 3 AUTH a b SETNAME c", "HELLO 3 AUTH (redacted) (redacted) SETNAME c"),
            ("HELLO 3 SETNAME c", "HELLO 3 SETNAME c"),
            ("HELLO 3 AUTH", "HELLO 3 AUTH"),
            ("acl setuser a b", "acl setuser (redacted) (redacted)"),
            ("acl whoami", "acl whoami"),
            ("CONFIG SET RequirePass a port 1", "CONFIG SET RequirePass (redacted) port 1"),
            ("config set port 1 masterauth a", "config set port 1 masterauth (redacted)"),
            ("config get requirepass", "config get requirepass"),
            ("SET auth a", "SET auth a"),
        ] {
            let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
            let args = OwnedArgs::of(&words);
            let shown: Vec<_> =
                shown(args.args()).into_iter().map(String::from_utf8_lossy).collect();
            assert_eq!(shown.join(" "), expected);
        }
    }
}
