//! COMMAND and its subcommands: what the table says about itself.

use crate::commands::session::{Ask, Shell};
use crate::commands::spec::Command;
use crate::commands::table;
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[];

/// HELP of any container: a line for each subcommand and what it does.
pub fn help(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let Some(container) = table::find(shell.args.at(0)) else { return Err(Error::Syntax) };
    let name = container.name.to_ascii_uppercase();
    shell.reply.array(1 + 2 * container.subs.len());
    shell.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for sub in container.subs {
        shell.reply.simple(&sub.own_name().to_ascii_uppercase());
        shell.reply.simple(&format!("    {}", sub.docs.summary));
    }
    Ok(Ask::Nothing)
}
