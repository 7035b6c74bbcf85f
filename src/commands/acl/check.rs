//! May a user do this? And what is said when not.

use crate::commands::acl::catalogue::Channels;
use crate::commands::acl::selector::Denied;
use crate::commands::acl::user::User;
use crate::commands::parse::is;
use crate::commands::pubsub::{Scope, Subscriptions};
use crate::commands::spec::{Command, Flags};
use crate::observe::acl_log::{Context, Reason};
use crate::resp::args::Args;
use crate::resp::error::Error;

/// Something that a user was denied, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    /// To whom.
    pub user: Vec<u8>,
    /// What the client is told.
    pub error: Error,
}

/// May this user run this request, which names this row, here?
pub fn permit(
    user: &User,
    row: &Command,
    args: Args<'_>,
    context: Context,
) -> Result<(), Box<Denial>> {
    check(user, row, args).map_err(|denied| Box::new(denial(user, (row, args), denied, context)))
}

/// What is to be said and noted of a request that was denied.
pub fn denial(
    user: &User,
    (row, args): (&Command, Args<'_>),
    denied: Denied,
    context: Context,
) -> Denial {
    Denial {
        reason: denied.reason,
        context,
        object: object(user, row, args, denied),
        user: user.name.clone(),
        error: refusal(user, row, denied, context),
    }
}

/// May this user run this request, which names this row? Of several selectors the one that came
/// furthest says why not.
pub fn check(user: &User, row: &Command, args: Args<'_>) -> Result<(), Denied> {
    let nothing = Denied { reason: Reason::Command, at: 0 };
    let Some((number, entry)) = user.catalogue.of(row) else { return Err(nothing) };
    let keys = entry.keys(args);
    let entry = (number, entry);
    let open = row.flags.has(Flags::NO_AUTH);
    let mut denied = nothing;
    for selector in user.selectors() {
        match selector.check(entry, args, &keys) {
            Ok(()) => return Ok(()),
            // Who somebody is can always be said.
            Err(Denied { reason: Reason::Command, .. }) if open => return Ok(()),
            Err(other) if (other.reason, other.at) > (denied.reason, denied.at) => denied = other,
            Err(_) => {}
        }
    }
    Err(denied)
}

/// SORT looks up keys that are named by what it sorts: who uses BY or GET has to be allowed to read
/// all. As SORT itself it reads options up to the first that is wrong.
pub fn check_sort(user: &User, row: &Command, args: Args<'_>) -> Result<(), Error> {
    if !matches!(row.name, "sort" | "sort_ro") || reads_all(user, row, args) {
        return Ok(());
    }
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let left = args.len() - at - 1;
        at += match word {
            word if is(word, "asc") || is(word, "desc") || is(word, "alpha") => 1,
            word if is(word, "limit") && left >= 2 => 3,
            word if is(word, "store") && row.name == "sort" && left >= 1 => 2,
            word if is(word, "by") && left >= 1 => match args.at(at + 1).contains(&b'*') {
                true => return Err(Error::SORT_BY_DENIED),
                false => 2,
            },
            word if is(word, "get") && left >= 1 => return Err(Error::SORT_GET_DENIED),
            _ => return Ok(()),
        };
    }
    Ok(())
}

fn reads_all(user: &User, row: &Command, args: Args<'_>) -> bool {
    let Some((number, entry)) = user.catalogue.of(row) else { return false };
    let keys = entry.keys(args);
    user.selectors().any(|selector| {
        selector.reads_all_keys() && selector.check((number, entry), args, &keys).is_ok()
    })
}

/// May this user go on hearing all that it is subscribed to?
pub fn may_listen(user: &User, subscriptions: &Subscriptions) -> bool {
    Scope::ALL.into_iter().all(|scope| {
        let kind = match scope {
            Scope::Pattern => Channels::Patterns,
            Scope::Channel | Scope::Shard => Channels::All,
        };
        let has = |name: &Vec<u8>| user.selectors().any(|one| one.has_channel(name, kind));
        subscriptions.of(scope).iter().all(has)
    })
}

/// The name of a command as users hear of it: that of DEBUG's subcommands is DEBUG.
fn name_of(user: &User, row: &Command) -> &'static str {
    user.catalogue.of(row).map_or("", |(_, entry)| entry.row.name)
}

/// What was denied: the name of the command, the key or the channel.
pub fn object(user: &User, row: &Command, args: Args<'_>, denied: Denied) -> Vec<u8> {
    match denied.reason {
        Reason::Command => name_of(user, row).as_bytes().to_vec(),
        Reason::Key | Reason::Channel => args.at(denied.at).to_vec(),
        Reason::Auth => args.at(0).to_vec(),
    }
}

/// What the client is told that sent a command, or whose script did.
pub fn refusal(user: &User, row: &Command, denied: Denied, context: Context) -> Error {
    let user_name = String::from_utf8_lossy(&user.name);
    let command = name_of(user, row);
    let command = format!("User {user_name} has no permissions to run the '{command}' command");
    let text = match (context, denied.reason) {
        (Context::Script, reason) => {
            let why = match reason {
                Reason::Key => "No permissions to access a key",
                Reason::Channel => "No permissions to access a channel",
                _ => &command,
            };
            format!("ERR ACL failure in script: {why}")
        }
        (_, Reason::Key) => {
            "NOPERM this user has no permissions to access one of the keys used as \
                             arguments"
                .to_owned()
        }
        (_, Reason::Channel) => {
            "NOPERM this user has no permissions to access one of the channels \
                                 used as arguments"
                .to_owned()
        }
        _ => format!("NOPERM {command}"),
    };
    Error::Text(text.into())
}

/// What EXEC answers for a command that was allowed when it was queued.
pub fn refusal_in_exec(denied: Denied) -> Error {
    let reason = match denied.reason {
        Reason::Command => "no permission to execute the command or subcommand",
        Reason::Key => "no permission to touch the specified keys",
        Reason::Channel => "no permission to access one of the channels used as arguments",
        Reason::Auth => "no permission",
    };
    let text = format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC \
         call. This command is no longer allowed for the following reason: {reason}"
    );
    Error::Text(text.into())
}

/// What ACL DRYRUN answers.
pub fn dry(user: &User, row: &Command, args: Args<'_>, denied: Denied) -> Vec<u8> {
    let object = object(user, row, args, denied);
    let (head, tail): (&[u8], &[u8]) = match denied.reason {
        Reason::Key => (b"access the '", b"' key"),
        Reason::Channel => (b"access the '", b"' channel"),
        _ => (b"run the '", b"' command"),
    };
    [b"This user has no permissions to ", head, &object, tail].concat()
}
