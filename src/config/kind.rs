//! How a setting's words are read and printed. Error texts are those of CONFIG SET in Redis.

use std::borrow::Cow;

use crate::config::text;
use crate::config::values::{BufferLimit, BufferLimits, SavePoint, Value};

/// The shape of a setting's value and its range.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// An integer from the first to the second.
    Number(i64, i64),
    /// An amount of memory from the first to the second, with units.
    Memory(i64, i64),
    /// An amount of memory, or a percentage of maxmemory.
    Share,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// Any text.
    Text,
    /// A file name without a directory.
    FileName,
    /// Classes of keyspace events.
    Events,
    /// At least and at most so many words.
    Words(usize, usize),
    /// Several of these words.
    Several(&'static [&'static str]),
    /// Pairs of seconds and changes.
    Save,
    /// `<class> <hard> <soft> <seconds>`, up to three times.
    Buffers,
    /// Percentiles.
    Percentiles,
}

/// Why a value was refused: the tail of an error text.
pub type Refusal = Cow<'static, str>;

impl Kind {
    /// Does the directive take several words? If so one quoted word is split at blanks.
    pub fn takes_many(self) -> bool {
        use Kind::{Buffers, Percentiles, Save, Several, Words};
        matches!(self, Words(..) | Several(_) | Save | Buffers | Percentiles)
    }

    /// Reads the words of a directive. `current` matters to settings that are changed in part.
    pub fn read(self, words: &[String], current: &Value) -> Result<Value, Refusal> {
        if self.takes_many() {
            let many: Vec<&str> = words.iter().map(String::as_str).collect();
            let split = match many.as_slice() {
                [one] => one.split_ascii_whitespace().collect(),
                _ => many,
            };
            return self.read_many(&split, current);
        }
        match words {
            [one] => self.read_one(one),
            _ => Err("wrong number of arguments".into()),
        }
    }

    fn read_one(self, word: &str) -> Result<Value, Refusal> {
        match self {
            Kind::YesNo => yes_no(word),
            Kind::Number(min, max) => {
                let bad = "argument couldn't be parsed into an integer";
                within(text::integer(word).ok_or(bad)?, min, max)
            }
            Kind::Memory(min, max) => {
                let bytes = text::memory(word).ok_or("argument must be a memory value")?;
                // The largest amount stands for what does not fit; -1 is in no range.
                within(if bytes == i64::MAX { -1 } else { bytes }, min, max)
            }
            Kind::Share => share(word),
            Kind::OneOf(names) => one_of(word, names).map(|name| Value::Text(name.to_owned())),
            Kind::FileName if word.contains('/') => {
                Err("dbfilename can't be a path, just a filename".into())
            }
            Kind::Events if word.contains(|char: char| !"Ag$lshzxeKEtmdn".contains(char)) => {
                Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into())
            }
            Kind::Events => Ok(Value::Text(event_classes(word))),
            _ => Ok(Value::Text(word.to_owned())),
        }
    }

    fn read_many(self, words: &[&str], current: &Value) -> Result<Value, Refusal> {
        match self {
            Kind::Words(least, most) if !(least..=most).contains(&words.len()) => {
                Err("wrong number of arguments".into())
            }
            Kind::Several(names) if words.is_empty() => one_of("", names).map(|_| current.clone()),
            Kind::Several(names) => {
                let names: Result<Vec<_>, _> = words.iter().map(|w| one_of(w, names)).collect();
                Ok(Value::Text(names?.join(" ")))
            }
            Kind::Save => save_points(words),
            Kind::Buffers => buffers(words, current),
            Kind::Percentiles => percentiles(words),
            _ => Ok(Value::Words(words.iter().map(|&word| word.to_owned()).collect())),
        }
    }

    /// The range or the words, for `--help` and the file in config/; may be empty.
    pub fn hint(self) -> String {
        match self {
            Kind::YesNo => "yes | no".to_owned(),
            Kind::Number(min, max) => match max {
                i64::MAX => format!("number, at least {min}"),
                _ => format!("{min}..{max}"),
            },
            Kind::Memory(0, _) => "memory".to_owned(),
            Kind::Memory(min, _) => format!("memory, at least {min}"),
            Kind::Share => "memory or percent".to_owned(),
            Kind::OneOf(names) | Kind::Several(names) => names.join(" | "),
            Kind::Text | Kind::FileName | Kind::Events => "text".to_owned(),
            Kind::Words(..) => "words".to_owned(),
            Kind::Save => "<seconds> <changes> ...".to_owned(),
            Kind::Buffers => "<class> <hard> <soft> <seconds> ...".to_owned(),
            Kind::Percentiles => "percentiles".to_owned(),
        }
    }
}

impl Value {
    /// The value as CONFIG GET tells it: one string.
    pub fn print(&self) -> String {
        match self {
            Value::YesNo(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Words(words) => words.join(" "),
            Value::Save(points) => join(points.iter().map(save_point)),
            Value::Buffers(limits) => join(classes(limits).into_iter().map(buffer)),
            Value::Percentiles(list) => join(list.iter().map(f64::to_string)),
        }
    }

    /// The value as it stands in a file: the arguments of one line for each element.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Value::Text(text) => vec![text::quoted(text)],
            Value::Words(words) if words.is_empty() => vec!["\"\"".to_owned()],
            Value::Words(words) => vec![join(words.iter().map(|word| text::quoted(word)))],
            Value::Save(points) if points.is_empty() => vec!["\"\"".to_owned()],
            Value::Save(points) => points.iter().map(save_point).collect(),
            Value::Buffers(limits) => classes(limits).into_iter().map(buffer).collect(),
            Value::Percentiles(list) if list.is_empty() => vec!["\"\"".to_owned()],
            other => vec![other.print()],
        }
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn save_point(point: &SavePoint) -> String {
    format!("{} {}", point.seconds, point.changes)
}

/// The letters of event classes, each once, in Redis' order; `A` for all that it stands for.
fn event_classes(letters: &str) -> String {
    const ALL: &str = "g$lshzxetd";
    let all = letters.contains('A') || ALL.chars().all(|letter| letters.contains(letter));
    let single = if all { "" } else { ALL };
    let start = if all { "A" } else { "" };
    let rest = single.chars().chain("KEmn".chars()).filter(|letter| letters.contains(*letter));
    start.chars().chain(rest).collect()
}

fn classes(limits: &BufferLimits) -> [(&'static str, BufferLimit); 3] {
    [("normal", limits.normal), ("slave", limits.replica), ("pubsub", limits.pubsub)]
}

fn buffer((class, limit): (&str, BufferLimit)) -> String {
    format!("{class} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
}

fn yes_no(word: &str) -> Result<Value, Refusal> {
    match word.to_ascii_lowercase().as_str() {
        "yes" => Ok(Value::YesNo(true)),
        "no" => Ok(Value::YesNo(false)),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

fn within(number: i64, min: i64, max: i64) -> Result<Value, Refusal> {
    if (min..=max).contains(&number) {
        return Ok(Value::Number(number));
    }
    Err(format!("argument must be between {min} and {max} inclusive").into())
}

fn share(word: &str) -> Result<Value, Refusal> {
    let bad = "argument must be a memory or percent value";
    let Some(percent) = word.strip_suffix('%') else {
        return Ok(Value::Text(text::memory(word).ok_or(bad)?.to_string()));
    };
    match text::integer(percent).ok_or(bad)? {
        0..=100 => Ok(Value::Text(word.to_owned())),
        101.. => Err("percentage argument must be less or equal to 100".into()),
        _ => Err(bad.into()),
    }
}

fn one_of(word: &str, names: &'static [&'static str]) -> Result<&'static str, Refusal> {
    let found = names.iter().copied().find(|name| name.eq_ignore_ascii_case(word));
    found.ok_or_else(|| {
        format!("argument(s) must be one of the following: {}", names.join(", ")).into()
    })
}

fn save_points(words: &[&str]) -> Result<Value, Refusal> {
    let bad = || Refusal::from("Invalid save parameters");
    let (pairs, []) = words.as_chunks::<2>() else { return Err(bad()) };
    let point = |&[seconds, changes]: &[&str; 2]| {
        let seconds = text::integer(seconds).filter(|n| (1..=i64::from(i32::MAX)).contains(n));
        let changes = text::integer(changes).filter(|n| (0..=i64::from(i32::MAX)).contains(n));
        Some(SavePoint {
            seconds: u64::try_from(seconds?).ok()?,
            changes: u64::try_from(changes?).ok()?,
        })
    };
    let points: Option<Vec<SavePoint>> = pairs.iter().map(point).collect();
    points.map(Value::Save).ok_or_else(bad)
}

fn buffers(words: &[&str], current: &Value) -> Result<Value, Refusal> {
    let (Value::Buffers(mut limits), (groups, [])) = (current.clone(), words.as_chunks::<4>())
    else {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    };
    for &[class, hard, soft, seconds] in groups {
        let slot = match class.to_ascii_lowercase().as_str() {
            "normal" => &mut limits.normal,
            "slave" | "replica" => &mut limits.replica,
            "pubsub" => &mut limits.pubsub,
            _ => {
                let bad = "Invalid client class specified in buffer limit configuration.";
                return Err(bad.into());
            }
        };
        let counted = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let bytes = |word| counted(text::memory(word));
        let seconds = counted(text::integer(seconds));
        let (Some(hard), Some(soft), Some(soft_seconds)) = (bytes(hard), bytes(soft), seconds)
        else {
            let bad = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            return Err(bad.into());
        };
        *slot = BufferLimit { hard, soft, soft_seconds };
    }
    Ok(Value::Buffers(limits))
}

fn percentiles(words: &[&str]) -> Result<Value, Refusal> {
    let mut list = Vec::new();
    for word in words {
        let bad = "Invalid latency-tracking-info-percentiles parameters";
        let number: f64 = word.parse().map_err(|_| bad)?;
        if !(0.0..=100.0).contains(&number) {
            let bad = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
            return Err(bad.into());
        }
        list.push(number);
    }
    Ok(Value::Percentiles(list))
}
