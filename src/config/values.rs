//! What a setting can hold, and how a typed field takes it and gives it back.

/// A setting's value, read and within its range.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `yes` or `no`.
    YesNo(bool),
    /// A number, or an amount of memory in bytes.
    Number(i64),
    /// Free text, or one word of a fixed list in its canonical case.
    Text(String),
    /// Several words.
    Words(Vec<String>),
    /// Save points.
    Save(Vec<SavePoint>),
    /// Output buffer limits of the three classes.
    Buffers(BufferLimits),
    /// Percentiles from 0 to 100.
    Percentiles(Vec<f64>),
}

/// `save <seconds> <changes>`: a snapshot is due after `seconds` with at least `changes` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save.
    pub seconds: u64,
    /// Changes since the last save.
    pub changes: u64,
}

/// When a client is closed because it does not read its replies. 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimit {
    /// Bytes at which it is closed at once.
    pub hard: u64,
    /// Bytes at which it is closed after `soft_seconds`.
    pub soft: u64,
    /// How long it may stay above `soft`.
    pub soft_seconds: u64,
}

impl BufferLimit {
    /// Is a client with so many bytes to be closed at once?
    pub fn is_passed(self, bytes: u64) -> bool {
        self.hard > 0 && bytes > self.hard
    }
}

/// `client-output-buffer-limit`: one limit for each class of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimits {
    /// Ordinary clients.
    pub normal: BufferLimit,
    /// Replicas.
    pub replica: BufferLimit,
    /// Clients that have subscribed to a channel.
    pub pubsub: BufferLimit,
}

/// A field of `Config`. Values arrive checked by the row's `Kind`; a value of another shape is a
/// mistake in the table, which a test over all rows finds.
pub trait Held {
    /// The field as a value.
    fn value(&self) -> Value;
    /// Takes a value that the row's kind has checked.
    fn hold(&mut self, value: Value);
}

/// Makes an enum of words, with the list of its words in the order in which errors name them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// The words, in the order in which error texts name them.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];
            const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it.
            pub fn word(self) -> &'static str {
                word_of(Self::WORDS, Self::ALL, self)
            }
        }

        impl Held for $name {
            fn value(&self) -> Value {
                Value::Text(self.word().to_owned())
            }
            fn hold(&mut self, value: Value) {
                *self = of_word(Self::WORDS, Self::ALL, &value);
            }
        }
    };
}

words! {
    /// When the log is synced.
    Fsync {
        /// At least once a second.
        #[default]
        EverySec = "everysec",
        /// Before the reply leaves.
        Always = "always",
        /// When the kernel likes.
        No = "no",
    }
}

words! {
    /// How much of the log a start keeps.
    Recovery {
        /// Everything valid after a process crash; the proven prefix after a power cut.
        #[default]
        Auto = "auto",
        /// Always the proven prefix.
        Strict = "strict",
    }
}

words! {
    /// What is evicted at maxmemory.
    EvictionPolicy {
        /// Least recently used, among keys with a deadline.
        VolatileLru = "volatile-lru",
        /// Least frequently used, among keys with a deadline.
        VolatileLfu = "volatile-lfu",
        /// Any key with a deadline.
        VolatileRandom = "volatile-random",
        /// The nearest deadline.
        VolatileTtl = "volatile-ttl",
        /// Least recently used.
        AllKeysLru = "allkeys-lru",
        /// Least frequently used.
        AllKeysLfu = "allkeys-lfu",
        /// Any key.
        AllKeysRandom = "allkeys-random",
        /// Nothing: writes that need memory are refused.
        #[default]
        NoEviction = "noeviction",
    }
}

words! {
    /// Which log lines are written.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// Much.
        Verbose = "verbose",
        /// What an operator wants to know.
        #[default]
        Notice = "notice",
        /// Only trouble.
        Warning = "warning",
        /// No line at all.
        Nothing = "nothing",
    }
}

words! {
    /// Which channels a new user may use.
    NewChannels {
        /// All.
        AllChannels = "allchannels",
        /// None.
        #[default]
        ResetChannels = "resetchannels",
    }
}

words! {
    /// Who may use a dangerous command.
    Access {
        /// Nobody.
        #[default]
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Connections from this machine.
        Local = "local",
    }
}

fn word_of<T: PartialEq>(words: &[&'static str], all: &[T], one: T) -> &'static str {
    let index = all.iter().position(|other| *other == one);
    index.and_then(|index| words.get(index)).copied().expect("every variant has its word")
}

fn of_word<T: Copy>(words: &[&str], all: &[T], value: &Value) -> T {
    let index = match value {
        Value::Text(text) => words.iter().position(|word| word == text),
        _ => None,
    };
    index.and_then(|index| all.get(index)).copied().expect("the kind has checked the word")
}

/// Fields of one shape: what they give and what they take.
macro_rules! held {
    ($($type:ty => $shape:ident),+ $(,)?) => {
        $(impl Held for $type {
            fn value(&self) -> Value {
                Value::$shape(self.clone())
            }
            fn hold(&mut self, value: Value) {
                let Value::$shape(inner) = value else { return mistake(&value) };
                *self = inner;
            }
        })+
    };
}

held! {
    bool => YesNo,
    String => Text,
    Vec<String> => Words,
    Vec<SavePoint> => Save,
    BufferLimits => Buffers,
    Vec<f64> => Percentiles,
}

/// Numbers of any width: the row's range has to fit the field.
macro_rules! held_numbers {
    ($($type:ty),+) => {
        $(impl Held for $type {
            fn value(&self) -> Value {
                Value::Number(i64::try_from(*self).unwrap_or(i64::MAX))
            }
            fn hold(&mut self, value: Value) {
                let Value::Number(number) = value else { return mistake(&value) };
                *self = <$type>::try_from(number).expect("the row's range fits its field");
            }
        })+
    };
}

held_numbers!(u16, u32, u64, usize, i32, i64);

fn mistake(value: &Value) {
    unreachable!("a row of the settings table has the wrong shape: {value:?}");
}
