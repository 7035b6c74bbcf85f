//! ACL and its subcommands.

use std::sync::Arc;

use crate::base::number;
use crate::base::wire::hexadecimal;
use crate::commands::acl::catalogue;
use crate::commands::acl::check;
use crate::commands::acl::rule::is_broken;
use crate::commands::acl::selector::Selector;
use crate::commands::acl::user::User;
use crate::commands::acl::users::DEFAULT;
use crate::commands::command;
use crate::commands::hints::{CATEGORIES, in_category};
use crate::commands::parse::{self, is};
use crate::commands::row::{ADMIN, ANY, HELP, session_row as row};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Command, Docs};
use crate::commands::table;
use crate::limits::ACL_GENPASS_BITS_MAX;
use crate::observe::acl_log::Entry;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] =
    &[Command::container("acl", &[], SUBS, docs("6.0.0", "Users and what they may do."))];

const SUBS: &[Command] = &[
    row("acl|cat", -2, ANY, cat, docs("6.0.0", "Categories, or what is in one.")),
    row("acl|deluser", -3, ADMIN, deluser, docs("6.0.0", "Deletes users, closes their clients.")),
    row("acl|dryrun", -4, ADMIN, dryrun, docs("7.0.0", "Whether a user might run a command.")),
    row("acl|genpass", -2, ANY, genpass, docs("6.0.0", "A password by chance.")),
    row("acl|getuser", 3, ADMIN, getuser, docs("6.0.0", "What a user may do, by parts.")),
    row("acl|help", 2, HELP, command::help, docs("6.0.0", "Prints this help.")),
    row("acl|list", 2, ADMIN, list, docs("6.0.0", "All users, as in a configuration file.")),
    row("acl|load", 2, ADMIN, load, docs("6.0.0", "Reads the users from the file.")),
    row("acl|log", -2, ADMIN, log, docs("6.0.0", "What was denied lately; RESET forgets it.")),
    row("acl|save", 2, ADMIN, save, docs("6.0.0", "Writes the users to the file.")),
    row("acl|setuser", -3, ADMIN, setuser, docs("6.0.0", "Makes or changes a user by rules.")),
    row("acl|users", 2, ADMIN, users, docs("6.0.0", "Names of all users.")),
    row("acl|whoami", 2, ANY, whoami, docs("6.0.0", "This connection's user.")),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("server", since, "O(N) in users or rules", summary)
}

fn whoami(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.bulk(shell.session.identity.name());
    Ok(Ask::Nothing)
}

fn users(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let users = &shell.facts.users;
    shell.reply.array(users.len());
    users.all().for_each(|user| shell.reply.bulk(&user.name));
    Ok(Ask::Nothing)
}

fn list(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let users = &shell.facts.users;
    shell.reply.array(users.len());
    users.lines().for_each(|line| shell.reply.bulk(&line));
    Ok(Ask::Nothing)
}

fn cat(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let Some(word) = shell.args.get(2) else {
        command::write_names(&mut shell.reply, CATEGORIES);
        return Ok(Ask::Nothing);
    };
    if shell.args.len() > 3 {
        return Err(Error::subcommand_syntax("acl", shell.args.at(1)));
    }
    let category = catalogue::category(word).and_then(|number| CATEGORIES.get(number));
    let Some(category) = category else { return Err(Error::unknown_category(word)) };
    let names = command::named(|row| in_category(row, category));
    command::write_names(&mut shell.reply, &names);
    Ok(Ask::Nothing)
}

fn genpass(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.args.len() > 3 {
        return Err(Error::subcommand_syntax("acl", shell.args.at(1)));
    }
    let bits = shell.args.get(2).map_or(Ok(256), parse::integer)?;
    let bits = usize::try_from(bits).ok().filter(|bits| (1..=ACL_GENPASS_BITS_MAX).contains(bits));
    let bits = bits.ok_or(Error::err(
        "ACL GENPASS argument must be the number of bits for the output password, a positive \
         number up to 4096",
    ))?;
    Ok(Ask::AclGenpass { digits: bits.div_ceil(4) })
}

/// Answers ACL GENPASS: so many hexadecimal digits of these bytes.
pub fn write_password(reply: &mut Reply<'_>, chance: &[u8], digits: usize) {
    let mut password = hexadecimal(chance);
    password.truncate(digits);
    reply.bulk(password.as_bytes());
}

fn setuser(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let name = shell.args.at(2);
    if is_broken(name) {
        return Err(Error::err("Usernames can't contain spaces or null characters"));
    }
    Ok(Ask::AclSetUser { name: name.to_vec(), rules: shell.args.from(3).to_owned() })
}

fn deluser(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let names = shell.args.from(2);
    if names.iter().any(|name| name == DEFAULT) {
        return Err(Error::err("The 'default' user cannot be removed"));
    }
    Ok(Ask::AclDelUser(names.to_owned()))
}

fn load(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::AclLoad)
}

fn save(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::AclSave)
}

fn getuser(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let reply = &mut shell.reply;
    let Some(user) = shell.facts.users.get(shell.args.at(2)) else {
        reply.null();
        return Ok(Ask::Nothing);
    };
    reply.map(6);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    let passwords = user.passwords();
    reply.array(passwords.len());
    passwords.for_each(|hash| reply.bulk(hash.as_bytes()));
    let mut selectors: Vec<&Selector> = user.selectors().collect();
    let others = selectors.split_off(1);
    selectors.into_iter().for_each(|root| write_selector(reply, user, root));
    reply.bulk(b"selectors");
    reply.array(others.len());
    for selector in others {
        reply.map(3);
        write_selector(reply, user, selector);
    }
    Ok(Ask::Nothing)
}

fn write_selector(reply: &mut Reply<'_>, user: &User, selector: &Selector) {
    for (name, rules) in [
        ("commands", selector.commands(&user.catalogue)),
        ("keys", selector.keys()),
        ("channels", selector.channels()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(&rules);
    }
}

fn dryrun(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let name = shell.args.at(2);
    let request = shell.args.from(3);
    let user: &Arc<User> =
        shell.facts.users.get(name).ok_or_else(|| Error::user_not_found(name))?;
    let row = table::locate(request).map_err(|_| Error::command_not_found(request.at(0)))?;
    if !row.takes(request.len()) {
        return Err(Error::WrongArity(row.name.to_owned()));
    }
    match check::check(user, row, request) {
        Ok(()) => shell.reply.ok(),
        Err(denied) => shell.reply.bulk(&check::dry(user, row, request, denied)),
    }
    Ok(Ask::Nothing)
}

// LOG.

/// Entries that ACL LOG shows when it is not said how many.
const SHOWN: usize = 10;

fn log(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    match shell.args.get(2) {
        _ if shell.args.len() > 3 => Err(Error::subcommand_syntax("acl", shell.args.at(1))),
        None => Ok(Ask::AclLog { most: SHOWN }),
        Some(word) if is(word, "reset") => Ok(Ask::AclLogReset),
        Some(word) => {
            let most = number::parse_i64(word).ok_or(Error::NotInteger)?;
            Ok(Ask::AclLog { most: usize::try_from(most).unwrap_or(0) })
        }
    }
}

/// Answers ACL LOG.
pub fn write_log(reply: &mut Reply<'_>, entries: &[Entry], now: u64) {
    reply.array(entries.len());
    for entry in entries {
        let number = |reply: &mut Reply<'_>, name: &str, value: u64| {
            reply.bulk(name.as_bytes());
            reply.integer(value as i64);
        };
        let event = &entry.event;
        reply.map(10);
        number(reply, "count", entry.count);
        for (name, text) in [
            ("reason", event.reason.word().as_bytes()),
            ("context", event.context.word().as_bytes()),
            ("object", &event.object),
            ("username", &event.user),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(text);
        }
        reply.bulk(b"age-seconds");
        reply.double(now.saturating_sub(entry.updated) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(&event.client);
        number(reply, "entry-id", entry.id);
        number(reply, "timestamp-created", entry.created);
        number(reply, "timestamp-last-updated", entry.updated);
    }
}
