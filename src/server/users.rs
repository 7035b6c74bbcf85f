//! The users, from the start on: where they are read from, how they change, and what is noted of
//! what they were denied.
//!
//! Core 0 changes them, one change after another, and hands the new table to every core before a
//! change is acknowledged. A core that takes it over looks at each of its sessions at once, so no
//! command has to ask whether the users have changed.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::ids::ShardId;
use crate::commands::acl::change;
use crate::commands::acl::check::Denial;
use crate::commands::acl::file;
use crate::commands::acl::rows;
use crate::commands::acl::rule::is_broken;
use crate::commands::acl::selector::Fresh;
use crate::commands::acl::users::Users;
use crate::commands::client;
use crate::commands::session::{Ask, Queued};
use crate::commands::spec::{Command, Flags};
use crate::commands::table;
use crate::commands::transaction::{self, Refused};
use crate::config::Config;
use crate::config::users::UserLine;
use crate::config::values::NewChannels;
use crate::limits::{ACL_FILE_MAX, ACL_USERS_MAX};
use crate::observe::acl_log::{Context, Event, Reason};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::server::ask::Asked;
use crate::server::boot::StartError;
use crate::server::connection::Connection;
use crate::server::core::Core;
use crate::server::disk;
use crate::server::log;
use crate::server::shared::Settings;

/// The users of a start: those of the file, or of directives, over the default user.
pub fn at_start(config: &Config, directory: &Path) -> Result<Users, StartError> {
    let users = declared(config)?;
    let Some(path) = path_of(config, directory) else { return Ok(users) };
    let name = path.display().to_string();
    let cannot = |why: String| StartError(format!("cannot load the users: {why}"));
    let text =
        disk::whole(&path, ACL_FILE_MAX).map_err(|error| cannot(format!("{name}: {error}")))?;
    let users = file::read(&text, &name, &users, fresh(config)).map_err(cannot)?;
    log::notice(format!("Users: {} from {name}", users.len()));
    warn_of_disabled(&users);
    Ok(users)
}

/// The users of the directives alone.
pub fn declared(config: &Config) -> Result<Users, StartError> {
    let mut users = Users::new(config.requirepass.as_bytes());
    if !config.aclfile.is_empty() && !config.users.is_empty() {
        let why = "users are declared both by `user` directives and by an aclfile: use one of them";
        return Err(StartError(why.to_owned()));
    }
    for line in &config.users {
        let wrong = |why: String| {
            StartError(format!("{}: Error in user declaration '{}': {why}", line.place, line.name))
        };
        if is_broken(line.name.as_bytes()) {
            return Err(wrong("Spaces not allowed in ACL usernames".to_owned()));
        }
        let draft = users.draft(line.name.as_bytes(), fresh(config));
        // What is said of the default user replaces what it may do otherwise.
        let first: &[&[u8]] = if users.get(&draft.name).is_some() { &[b"reset"] } else { &[] };
        let rules = first.iter().copied().chain(line.rules.iter().map(String::as_bytes));
        let user = change::apply(draft, rules);
        users = users.with(user.map_err(|why| wrong(why.in_configuration()))?);
    }
    Ok(users)
}

fn warn_of_disabled(users: &Users) {
    for user in users.all().filter(|user| !user.login.enabled) {
        let name = String::from_utf8_lossy(&user.name);
        log::notice(format!("The user '{name}' is disabled: nobody can log in as it"));
    }
}

fn fresh(config: &Config) -> Fresh {
    match config.acl_pubsub_default {
        NewChannels::AllChannels => Fresh::AllChannels,
        NewChannels::ResetChannels => Fresh::NoChannels,
    }
}

fn path_of(config: &Config, directory: &Path) -> Option<PathBuf> {
    (!config.aclfile.is_empty()).then(|| directory.join(&config.aclfile))
}

/// The users as directives, for CONFIG REWRITE: none if a file has them, or if the default user is
/// all there is and as `requirepass` says.
pub fn directives(settings: &Settings) -> Result<Vec<UserLine>, Error> {
    let (config, users) = (&settings.config, &settings.facts.users);
    let plain = Users::new(config.requirepass.as_bytes());
    let untouched =
        users.len() == 1 && users.default_user().describe() == plain.default_user().describe();
    if !config.aclfile.is_empty() || (untouched && config.users.is_empty()) {
        return Ok(Vec::new());
    }
    let line = |line: Vec<u8>| {
        let why =
            "Rewriting config file: a rule is not UTF-8 text, so only an ACL file can have it";
        let line = String::from_utf8(line).map_err(|_| Error::err(why))?;
        let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
        UserLine::read(String::new(), &words, &[]).map_err(Error::err)
    };
    users.lines().map(line).collect()
}

/// The users before a change, and those after it.
struct Changed {
    old: Arc<Users>,
    new: Arc<Users>,
}

/// Changes the users of all cores. When it returns, the change is in force everywhere.
async fn change<E: Send + 'static>(
    core: &Rc<Core>,
    work: impl FnOnce(&Users, &Config) -> Result<Users, E> + Send + 'static,
) -> Result<Changed, E> {
    core.on_async(ShardId(0), |core| async move {
        let settings = core.settings.borrow().clone();
        let old = Arc::clone(&settings.facts.users);
        let users = Arc::new(work(&old, &settings.config)?);
        take_over(&core, &users);
        // All messages are sent before anything is awaited: changes reach a core in their order.
        let mut taken = Vec::new();
        for shard in (1..core.shards).map(ShardId) {
            let users = Arc::clone(&users);
            taken.push(core.start_on(shard, |core| async move { take_over(&core, &users) }));
        }
        for taken in taken {
            taken.await;
        }
        Ok(Changed { old, new: users })
    })
    .await
}

fn take_over(core: &Rc<Core>, users: &Arc<Users>) {
    let settings = core.settings.borrow().with_users(Arc::clone(users));
    debug_assert!(users.version > core.settings.borrow().facts.users.version);
    *core.settings.borrow_mut() = settings;
    core.clients.take_users(users);
}

/// CONFIG SET requirepass.
pub async fn set_password(core: &Rc<Core>, password: &[u8]) {
    let password = password.to_vec();
    let work = move |users: &Users, _: &Config| Ok::<_, ()>(users.with_password(&password));
    let _ = change(core, work).await;
}

/// Core 0 alone reads and writes the file, one after another.
async fn load(core: &Rc<Core>) -> Result<(), Error> {
    let Some(path) = path_of(&core.settings.borrow().config, &core.database.directory) else {
        return Err(Error::NO_ACL_FILE);
    };
    let name = path.display().to_string();
    let opening = format!("ERR Error loading ACLs, opening file '{name}': ");
    let text = disk::read_whole(&path, ACL_FILE_MAX).await;
    let text = text.map_err(|error| Error::Text((opening + &error.to_string()).into()))?;
    let work = move |users: &Users, config: &Config| {
        file::read(&text, &name, users, fresh(config)).map_err(Error::err_owned)
    };
    change(core, work).await.map(|changed| warn_of_disabled(&changed.new))
}

async fn save(core: &Rc<Core>) -> Result<(), Error> {
    let settings = core.settings.borrow().clone();
    let Some(path) = path_of(&settings.config, &core.database.directory) else {
        return Err(Error::NO_ACL_FILE);
    };
    let failed = |why: String| {
        log::warning(format!("ACL SAVE: {}: {why}", path.display()));
        Error::ACL_SAVE_FAILED
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err(failed("not the name of a file".to_owned()));
    };
    let text = file::write(&settings.facts.users);
    let written = disk::replace_file(parent, name, text).await;
    written.map_err(|error| failed(error.to_string()))
}

async fn set_user(core: &Rc<Core>, name: Vec<u8>, rules: OwnedArgs) -> Result<(), Error> {
    let work = move |users: &Users, config: &Config| {
        if users.get(&name).is_none() && users.len() >= ACL_USERS_MAX {
            return Err(Error::ACL_CROWD);
        }
        let user = change::apply(users.draft(&name, fresh(config)), rules.args().iter());
        match user {
            Ok(user) => Ok(users.with(user)),
            Err(wrong) => Err(Error::Line([b"ERR ", wrong.text().as_slice()].concat())),
        }
    };
    change(core, work).await.map(|_| ())
}

async fn delete_users(core: &Rc<Core>, names: OwnedArgs) -> usize {
    let work = move |users: &Users, _: &Config| Ok::<_, ()>(users.without(names.args().iter()));
    let changed = change(core, work).await;
    changed.map_or(0, |changed| changed.old.len() - changed.new.len())
}

impl Connection {
    /// What ACL asks for.
    pub(in crate::server) async fn answer_acl(&mut self, ask: Ask) -> Asked {
        match ask {
            Ask::AclGenpass { digits } => self.genpass(digits),
            Ask::AclSetUser { name, rules } => {
                let done = set_user(&self.core, name, rules).await;
                self.ok_or(done);
            }
            Ask::AclDelUser(names) => {
                let deleted = delete_users(&self.core, names).await;
                self.write(|reply| reply.integer(deleted as i64));
            }
            Ask::AclLoad => {
                let load = |core: Rc<Core>| async move { load(&core).await };
                let done = self.core.on_async(ShardId(0), load).await;
                self.ok_or(done);
            }
            Ask::AclSave => {
                let save = |core: Rc<Core>| async move { save(&core).await };
                let done = self.core.on_async(ShardId(0), save).await;
                self.ok_or(done);
            }
            Ask::AclLog { most } => {
                let entries = self.core.shared.denials().latest(most);
                let now = self.core.clock.now().0;
                self.write(|reply| rows::write_log(reply, &entries, now));
            }
            Ask::AclLogReset => {
                self.core.shared.denials().reset();
                self.write(|reply| reply.ok());
            }
            _ => unreachable!("answered elsewhere"),
        }
        // Its own user may be gone.
        if self.client.killed.get() { Asked::Close } else { Asked::Go }
    }

    fn genpass(&mut self, digits: usize) {
        let mut chance = vec![0; digits.div_ceil(2)];
        match disk::read_chance(&mut chance) {
            Ok(()) => self.write(|reply| rows::write_password(reply, &chance, digits)),
            Err(error) => {
                self.error(&Error::err_owned(format!("cannot read random bytes: {error}")));
            }
        }
    }

    /// AUTH or HELLO with a wrong password.
    pub(in crate::server) fn wrong_password(
        &mut self,
        user: Vec<u8>,
        command: Vec<u8>,
        context: Context,
    ) {
        let (reason, object, error) = (Reason::Auth, command, Error::WRONGPASS);
        self.note_denial(Denial { reason, context, object, user, error });
        self.error(&Error::WRONGPASS);
    }

    /// Why a command was refused; what a user was denied is noted.
    pub(in crate::server) fn denied(&self, refused: Refused) -> Error {
        match refused {
            Refused::Plain(error) => error,
            Refused::Denied(denial) => {
                let error = denial.error.clone();
                self.note_denial(*denial);
                error
            }
        }
    }

    /// Why a request that names no command is refused. A subcommand that DEBUG does not have is a
    /// word of DEBUG, which not everybody may send.
    #[cold]
    pub(in crate::server) fn unresolved(
        &self,
        args: Args<'_>,
        error: Error,
    ) -> (Option<&'static Command>, Error) {
        let debug = table::find(args.at(0)).filter(|row| row.flags.has(Flags::OPAQUE));
        let Some(row) = debug else { return (None, error) };
        let facts = Arc::clone(&self.core.settings.borrow().facts);
        let gate = transaction::gate(&self.client.session.borrow(), row, args, &facts);
        match gate {
            Ok(_) => (None, error),
            Err(refused) => (Some(row), self.denied(refused)),
        }
    }

    fn note_denial(&self, denial: Denial) {
        self.core.shard.borrow_mut().counters.denied(denial.reason);
        let now = self.core.clock.now();
        let line = client::line(&self.client.session.borrow(), &self.client.wire.borrow(), now);
        let event = Event {
            reason: denial.reason,
            context: denial.context,
            object: denial.object,
            user: denial.user,
            client: line.text,
        };
        let most = self.core.settings.borrow().config.acllog_max_len;
        self.core.shared.denials().add(event, now.0, most);
    }

    /// The commands of a transaction that is about to run, as far as they are still allowed.
    pub(in crate::server) fn reexamined(&self, queue: Vec<Queued>) -> Vec<Queued> {
        let session = self.client.session.borrow();
        if !transaction::is_to_be_reexamined(&session, &queue) {
            return queue;
        }
        let facts = Arc::clone(&self.core.settings.borrow().facts);
        let (queue, denials) = transaction::reexamined(&session, &facts, queue);
        drop(session);
        denials.into_iter().for_each(|denial| self.note_denial(denial));
        queue
    }
}
