//! Patterns as KEYS, SCAN MATCH and PSUBSCRIBE take them: `*`, `?`, `[a-z]`, `[^a-z]`, `\x`.
//!
//! Only the latest `*` is ever widened, because a match of the part before it that ends sooner
//! leaves more to choose from for the rest. So the work is at most pattern times text, without
//! recursion, whatever a client sends.

/// Does the whole text match the pattern?
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    walk(pattern, text, |byte| byte)
}

/// The same where capital letters (of ASCII) are worth as much as small ones.
pub fn matches_any_case(pattern: &[u8], text: &[u8]) -> bool {
    walk(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Goes over both; bytes are compared after `fold`.
fn walk(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    if text.is_empty() {
        // Of several stars, only those after a byte match nothing: clients may rely on it.
        return matches!(pattern, b"" | b"*");
    }
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
            && let Some(after) = step(rest, *byte, fold)
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
fn step(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte, fold),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            (fold(*literal) == fold(byte)).then_some(rest)
        }
        [] => None,
    }
}

/// The same for a class, from behind its `[` on. One that is not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
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
                found |= in_range(*from, *to, byte, &fold);
                rest
            }
            [literal, rest @ ..] => {
                found |= fold(*literal) == fold(byte);
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

/// Is the byte within the bounds of a class, whichever comes first? Bytes above 127 count as
/// negative numbers, as they do where `char` is signed.
fn in_range(from: u8, to: u8, byte: u8, fold: impl Fn(u8) -> u8) -> bool {
    let (low, high) = if from as i8 <= to as i8 { (from, to) } else { (to, from) };
    (fold(low) as i8..=fold(high) as i8).contains(&(fold(byte) as i8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::resp::reply::{array_body, bulk_value, elements};
    use crate::testing::peer::Peer;

    /// Checked with KEYS of redis-server 7.0.15.
    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*", "", true),
            ("**", "anything", true),
            ("**", "", false),
            ("a**", "a", true),
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

    #[test]
    fn case() {
        for (pattern, text, expected) in [
            ("MaxMem*", "maxmemory", true),
            ("[A-Z]", "q", true),
            ("[Q]", "q", true),
            ("[\\Q]", "q", false),
            ("\\Q", "q", true),
            ("max", "maxmemory", false),
        ] {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches_any_case(pattern, text), expected, "{}", pattern.escape_ascii());
        }
    }

    fn random(prng: &mut Prng, alphabet: &[u8], most: u64) -> Vec<u8> {
        let byte = |prng: &mut Prng| alphabet[prng.below(alphabet.len() as u64) as usize];
        (0..prng.below(most)).map(|_| byte(prng)).collect()
    }

    /// The same by trying everything: exponential, and plain to see.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                plain(rest, text)
                    || text.split_first().is_some_and(|(_, tail)| plain(pattern, tail))
            }
            (_, [byte, tail @ ..]) => {
                step(pattern, *byte, |byte| byte).is_some_and(|rest| plain(rest, tail))
            }
            _ => false,
        }
    }

    #[test]
    fn one_star_at_a_time_is_enough() {
        for seed in 0..50_000 {
            let mut prng = Prng::new(seed);
            let pattern = random(&mut prng, b"**?ab[]^-", 9);
            let text = random(&mut prng, b"aab", 9);
            if !text.is_empty() {
                assert_eq!(matches(&pattern, &text), plain(&pattern, &text), "seed {seed}");
            }
        }
    }

    /// The strings in an encoded array.
    fn strings(reply: &[u8]) -> Vec<Vec<u8>> {
        let (_, body) = array_body(reply).expect("an array");
        let mut all: Vec<_> =
            elements(body).map(|element| bulk_value(element).unwrap().to_vec()).collect();
        all.sort();
        all
    }

    #[test]
    fn the_same_keys_and_settings_as_redis() {
        let Some(mut peer) = Peer::start() else { return };
        let mut prng = Prng::new(3);
        let alphabet = b"aabbcAB*?[]^-\\\x00\x7f\x80\xff";
        let mut keys: Vec<Vec<u8>> = (0..300).map(|_| random(&mut prng, alphabet, 7)).collect();
        keys.sort();
        keys.dedup();
        for key in &keys {
            peer.call(&[b"SET", key, b""]);
        }
        for _ in 0..3000 {
            let pattern = random(&mut prng, alphabet, 9);
            let mut ours: Vec<_> =
                keys.iter().filter(|key| matches(&pattern, key)).cloned().collect();
            ours.sort();
            let theirs = strings(&peer.call(&[b"KEYS", &pattern]));
            assert_eq!(ours, theirs, "pattern {}", pattern.escape_ascii());
        }
        let names = |reply: &[u8]| strings(reply).into_iter().collect::<Vec<_>>();
        let all = names(&peer.call(&[b"COMMAND", b"LIST"]));
        for _ in 0..300 {
            let pattern = random(&mut prng, b"**SeaT[-]^?\\", 9);
            let ours: Vec<_> =
                all.iter().filter(|name| matches_any_case(&pattern, name)).cloned().collect();
            let theirs =
                names(&peer.call(&[b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", &pattern]));
            assert_eq!(ours, theirs, "pattern {}", pattern.escape_ascii());
        }
    }
}
