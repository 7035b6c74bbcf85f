//! Patterns as KEYS, SCAN MATCH and PSUBSCRIBE take them: `*`, `?`, `[a-z]`, `[^a-z]`, `\x`.
//!
//! Only the latest `*` is ever widened, because a match of the part before it that ends sooner
//! leaves more to choose from for the rest. So the work is at most pattern times text, without
//! recursion, whatever a client sends.

/// Does the whole text match the pattern?
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = rest {
            if after.is_empty() {
                return true;
            }
            star = Some((after, left));
            rest = after;
            continue;
        }
        if rest.is_empty() && left.is_empty() {
            return true;
        }
        if let [byte, tail @ ..] = left
            && let Some(after) = step(rest, *byte)
        {
            (rest, left) = (after, tail);
            continue;
        }
        // No way on: let the latest star take one byte more.
        match star {
            Some((after, [_, tail @ ..])) => {
                star = Some((after, tail));
                (rest, left) = (after, tail);
            }
            _ => return false,
        }
    }
}

/// Takes what stands for one byte from the pattern; the rest of the pattern when it is this byte.
fn step(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// The same for a class, from behind its `[` on. One that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    let rest = loop {
        rest = match rest {
            [] => break rest,
            [b']', rest @ ..] => break rest,
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked with KEYS of redis-server 7.0.15.
    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*", "", true),
            ("**", "anything", true),
            ("?", "", false),
            ("?", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b", "abc", false),
            ("a*c", "abcbc", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*d", "aXbYc", false),
            ("a?c", "abc", true),
            ("[ab]", "b", true),
            ("[ab]", "c", false),
            ("[^ab]", "c", true),
            ("[^ab]", "a", false),
            ("[^ab]", "", false),
            ("[a-c]", "b", true),
            ("[c-a]", "b", true),
            ("[a-c]", "-", false),
            ("[a-]", "-", false),
            ("[a-]", "a", true),
            ("[\\]]", "]", true),
            ("[]]", "]", false),
            ("[^]", "x", true),
            ("[ab", "b", true),
            ("[", "[", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("a\\", "a\\", true),
            ("h[^e]llo*", "hello world", false),
            ("h[a-e]llo*", "hello world", true),
            ("*[ab]", "xxb", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "a*".repeat(2000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
    }
}
