//! Lines of INFO.

use std::fmt::{Display, Write};

/// The text as it grows.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What has been written.
    pub(super) text: String,
}

impl Lines {
    /// Begins a section; an empty line parts it from the one before.
    pub(super) fn title(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        self.push(format_args!("# {title}\r\n"));
    }

    /// One field.
    pub(super) fn line(&mut self, name: &str, value: impl Display) {
        self.push(format_args!("{name}:{value}\r\n"));
    }

    /// One field that is a number of bytes, and again as people read it.
    pub(super) fn bytes(&mut self, name: &str, value: u64) {
        self.line(name, value);
        self.push(format_args!("{name}_human:{}\r\n", human(value)));
    }

    /// Fields that are always the same here.
    pub(super) fn constants(&mut self, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            self.line(name, value);
        }
    }

    fn push(&mut self, args: std::fmt::Arguments<'_>) {
        self.text.write_fmt(args).expect("writing to a String does not fail");
    }
}

/// Bytes with a unit, as in Redis: `512B`, `1.50K`, `6.54M`.
pub(super) fn human(bytes: u64) -> String {
    let scaled = |shift: u32| bytes as f64 / (1u64 << shift) as f64;
    match bytes {
        0..0x400 => format!("{bytes}B"),
        0x400..0x10_0000 => format!("{:.2}K", scaled(10)),
        0x10_0000..0x4000_0000 => format!("{:.2}M", scaled(20)),
        0x4000_0000..0x100_0000_0000 => format!("{:.2}G", scaled(30)),
        0x100_0000_0000..0x4_0000_0000_0000 => format!("{:.2}T", scaled(40)),
        _ => format!("{:.2}P", scaled(50)),
    }
}

/// `part` of `whole`; 0 when there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (941_040, "918.98K"),
            (25_276_518_400, "23.54G"),
            (1 << 40, "1.00T"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), expected);
        }
        assert_eq!((ratio(1, 2), ratio(1, 0)), (0.5, 0.0));
    }
}
