//! Which commands a selector allows: the rules as they were given, so that they can be told again,
//! and the set that follows from them.

use crate::commands::acl::catalogue::Catalogue;
use crate::commands::acl::rule::{Refusal, Target, Verb};
use crate::commands::hints::CATEGORIES;
use crate::limits::ACL_LIST_MAX;
use crate::resp::args::Args;

/// A set of commands.
///
/// What `base` and `rules` say, carried out in order, is `state`: `apply` keeps it so. A rule is
/// not kept if it changes nothing, nor when a later one is about all that it is about.
#[derive(Clone, Debug)]
pub struct CommandSet {
    /// `+@all` or `-@all`
    base: Verb,
    rules: Vec<(Verb, Target)>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// A bit for each command, by number.
    bits: Vec<u64>,
    /// First arguments with which a command is allowed that is not allowed by itself.
    arguments: Vec<(usize, Vec<u8>)>,
}

impl State {
    fn new(base: Verb, commands: usize) -> State {
        let word = if base == Verb::Allow { u64::MAX } else { 0 };
        State { bits: vec![word; commands.div_ceil(64)], arguments: Vec::new() }
    }

    fn has(&self, number: usize) -> bool {
        self.bits.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn put(&mut self, number: usize, verb: Verb) {
        self.arguments.retain(|(of, _)| *of != number);
        let Some(word) = self.bits.get_mut(number / 64) else { return };
        match verb {
            Verb::Allow => *word |= 1 << (number % 64),
            Verb::Deny => *word &= !(1 << (number % 64)),
        }
    }

    fn carry_out(&mut self, (verb, target): &(Verb, Target), catalogue: &Catalogue) {
        match target {
            Target::All => *self = State::new(*verb, catalogue.len()),
            Target::Command(_) | Target::Category(_) => {
                numbers(target, catalogue).for_each(|number| self.put(number, *verb));
            }
            Target::WithArgument(number, argument) => {
                let same = |(of, other): &(usize, Vec<u8>)| {
                    of == number && other.eq_ignore_ascii_case(argument)
                };
                if !self.arguments.iter().any(same) {
                    self.arguments.push((*number, argument.clone()));
                }
            }
        }
    }
}

impl CommandSet {
    /// No command.
    pub fn none(catalogue: &Catalogue) -> CommandSet {
        let state = State::new(Verb::Deny, catalogue.len());
        CommandSet { base: Verb::Deny, rules: Vec::new(), state }
    }

    /// Does what a rule says.
    pub fn apply(&mut self, rule: (Verb, Target), catalogue: &Catalogue) -> Result<(), Refusal> {
        let (verb, target) = &rule;
        if *target == Target::All {
            let state = State::new(*verb, catalogue.len());
            *self = CommandSet { base: *verb, rules: Vec::new(), state };
            return Ok(());
        }
        let before = self.rules.len();
        self.rules.retain(|(_, old)| !overrides(target, old, catalogue));
        if self.rules.len() < before {
            self.state = State::new(self.base, catalogue.len());
            self.rules.iter().for_each(|rule| self.state.carry_out(rule, catalogue));
        }
        let mut state = self.state.clone();
        state.carry_out(&rule, catalogue);
        if state != self.state {
            if self.rules.len() >= ACL_LIST_MAX {
                return Err(Refusal::TooMany);
            }
            self.state = state;
            self.rules.push(rule);
        }
        Ok(())
    }

    /// Is it every command there is and will be?
    pub fn is_all(&self) -> bool {
        self.base == Verb::Allow && self.state.bits.iter().all(|word| *word == u64::MAX)
    }

    /// Does it contain the command of this number, with these arguments?
    pub fn allows(&self, number: usize, args: Args<'_>) -> bool {
        self.state.has(number)
            || self.state.arguments.iter().any(|(of, argument)| {
                let first = args.get(1);
                *of == number && first.is_some_and(|first| first.eq_ignore_ascii_case(argument))
            })
    }

    /// The rules that make it from nothing.
    pub fn describe(&self, catalogue: &Catalogue) -> Vec<u8> {
        let mut text = sign(self.base).as_bytes().to_vec();
        text.extend_from_slice(b"@all");
        let name = |number: &usize| catalogue.entry(*number).map_or("", |entry| entry.row.name);
        for (verb, target) in &self.rules {
            text.push(b' ');
            text.extend_from_slice(sign(*verb).as_bytes());
            match target {
                Target::All => text.extend_from_slice(b"@all"),
                Target::Command(number) => text.extend_from_slice(name(number).as_bytes()),
                Target::Category(category) => {
                    text.push(b'@');
                    let name = CATEGORIES.get(*category).copied().unwrap_or_default();
                    text.extend_from_slice(name.as_bytes());
                }
                Target::WithArgument(number, argument) => {
                    text.extend_from_slice(name(number).as_bytes());
                    text.push(b'|');
                    text.extend_from_slice(argument);
                }
            }
        }
        text
    }
}

fn sign(verb: Verb) -> &'static str {
    match verb {
        Verb::Allow => "+",
        Verb::Deny => "-",
    }
}

/// Is a rule with this target about all that an older one is about?
fn overrides(new: &Target, old: &Target, catalogue: &Catalogue) -> bool {
    match (new, old) {
        (Target::WithArgument(new, one), Target::WithArgument(old, other)) => {
            new == old && one.eq_ignore_ascii_case(other)
        }
        (Target::WithArgument(..), _) | (_, Target::All) => false,
        (Target::All, _) => true,
        _ => numbers(old, catalogue).all(|number| covers(new, number, catalogue)),
    }
}

/// The commands that a rule is about.
fn numbers<'a>(
    target: &'a Target,
    catalogue: &'a Catalogue,
) -> Box<dyn Iterator<Item = usize> + 'a> {
    match target {
        Target::All => Box::new(0..catalogue.len()),
        Target::Command(number) => Box::new(catalogue.family(*number)),
        Target::WithArgument(number, _) => Box::new(std::iter::once(*number)),
        Target::Category(category) => Box::new(catalogue.of_category(*category)),
    }
}

fn covers(target: &Target, number: usize, catalogue: &Catalogue) -> bool {
    match target {
        Target::Command(first) => catalogue.family(*first).contains(&number),
        target => numbers(target, catalogue).any(|other| other == number),
    }
}
