//! JSON as tables.

use mlua::{LightUserData, Lua, MultiValue, Value};

use crate::limits::SCRIPT_JSON_DEPTH;
use crate::script::compile::fail;

/// What stands next in a text.
#[derive(Debug)]
enum Token {
    Begin(u8),
    End(u8),
    Colon,
    Comma,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Over,
    Bad(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::Begin(b'{') => "T_OBJ_BEGIN",
            Token::Begin(_) => "T_ARR_BEGIN",
            Token::End(b'}') => "T_OBJ_END",
            Token::End(_) => "T_ARR_END",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Over => "T_END",
            Token::Bad(why) => why,
        }
    }
}

struct Text<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
    /// Where the last token begins.
    token: usize,
    depth: usize,
    depth_max: i64,
    invalid: bool,
}

/// `decode(text)`, with the depth and whether numbers may be what JSON does not know.
pub fn decode(
    lua: &Lua,
    (depth_max, invalid): (i64, bool),
    args: &MultiValue,
) -> mlua::Result<Value> {
    if args.len() != 1 {
        return Err(fail(lua, "bad argument #1 to 'decode' (expected 1 argument)"));
    }
    let first = args.front().cloned().unwrap_or(Value::Nil);
    let got = first.type_name();
    let Some(text) = lua.coerce_string(first)? else {
        let why = format!("bad argument #1 to 'decode' (string expected, got {got})");
        return Err(fail(lua, &why));
    };
    let bytes = text.as_bytes().to_vec();
    if let [0, _, ..] | [_, 0, ..] = bytes.as_slice() {
        return Err(fail(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut text = Text { lua, bytes: &bytes, at: 0, token: 0, depth: 0, depth_max, invalid };
    let token = text.next();
    let value = text.value(token)?;
    match text.next() {
        Token::Over => Ok(value),
        token => Err(text.expected("the end", &token)),
    }
}

impl Text<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        // C sees a zero behind the text.
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn expected(&self, what: &str, found: &Token) -> mlua::Error {
        let (found, at) = (found.name(), self.token + 1);
        fail(self.lua, &format!("Expected {what} but found {found} at character {at}"))
    }

    fn bad(&mut self, why: &'static str) -> Token {
        self.token = self.at;
        Token::Bad(why)
    }

    fn next(&mut self) -> Token {
        while matches!(self.byte(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.token = self.at;
        let byte = self.byte(0);
        let token = match byte {
            0 => return Token::Over,
            b'{' | b'[' => Token::Begin(byte),
            b'}' | b']' => Token::End(byte),
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' => return self.word(),
            _ => return self.bad("invalid token"),
        };
        self.at += 1;
        token
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn word(&mut self) -> Token {
        for (word, token) in [
            ("true", Token::Boolean(true)),
            ("false", Token::Boolean(false)),
            ("null", Token::Null),
        ] {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        if self.invalid && is_invalid(self.rest()) {
            return self.read_number();
        }
        self.bad("invalid token")
    }

    fn number(&mut self) -> Token {
        if !self.invalid && is_invalid(self.rest()) {
            return self.bad("invalid number");
        }
        self.read_number()
    }

    fn read_number(&mut self) -> Token {
        match float(self.rest()) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => self.bad("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.byte(0) {
                b'"' => break,
                0 => return self.bad("unexpected end of string"),
                b'\\' => {
                    let plain = match self.byte(1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 8,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 12,
                        b'r' => b'\r',
                        b'u' => {
                            if !self.unicode(&mut out) {
                                return self.bad("invalid unicode escape code");
                            }
                            continue;
                        }
                        _ => return self.bad("invalid escape code"),
                    };
                    out.push(plain);
                    self.at += 2;
                }
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Token::String(out)
    }

    fn hex(&self, ahead: usize) -> Option<u32> {
        let digits = self.bytes.get(self.at + ahead..self.at + ahead + 4)?;
        digits.iter().try_fold(0, |n, byte| Some(n << 4 | char::from(*byte).to_digit(16)?))
    }

    /// `\uXXXX`, or two of them that belong together.
    fn unicode(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(first) = self.hex(2) else { return false };
        let mut code = first;
        let mut len = 6;
        if first & 0xF800 == 0xD800 {
            let pair = first & 0x400 == 0 && self.byte(6) == b'\\' && self.byte(7) == b'u';
            let Some(second) = self.hex(8).filter(|low| pair && low & 0xFC00 == 0xDC00) else {
                return false;
            };
            code = ((first & 0x3FF) << 10 | second & 0x3FF) + 0x1_0000;
            len = 12;
        }
        let Some(letter) = char::from_u32(code) else { return false };
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        true
    }

    fn descend(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        if self.depth as i64 <= self.depth_max && self.depth <= SCRIPT_JSON_DEPTH {
            return Ok(());
        }
        let (depth, at) = (self.depth, self.at);
        let why = format!("Found too many nested data structures ({depth}) at character {at}");
        Err(fail(self.lua, &why))
    }

    fn value(&mut self, token: Token) -> mlua::Result<Value> {
        Ok(match token {
            Token::String(text) => Value::String(self.lua.create_string(text)?),
            Token::Number(number) => Value::Number(number),
            Token::Boolean(yes) => Value::Boolean(yes),
            Token::Null => Value::LightUserData(LightUserData(std::ptr::null_mut())),
            Token::Begin(b'{') => self.object()?,
            Token::Begin(_) => self.array()?,
            token => return Err(self.expected("value", &token)),
        })
    }

    fn object(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        while !matches!(token, Token::End(b'}')) {
            let Token::String(name) = token else {
                return Err(self.expected("object key string", &token));
            };
            match self.next() {
                Token::Colon => {}
                token => return Err(self.expected("colon", &token)),
            }
            let token_of_value = self.next();
            let value = self.value(token_of_value)?;
            table.raw_set(self.lua.create_string(name)?, value)?;
            match self.next() {
                Token::End(b'}') => break,
                Token::Comma => token = self.next(),
                token => return Err(self.expected("comma or object end", &token)),
            }
            if let Token::End(b'}') = token {
                return Err(self.expected("object key string", &token));
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        let mut at = 0;
        while !matches!(token, Token::End(b']')) {
            let value = self.value(token)?;
            at += 1;
            table.raw_set(at, value)?;
            match self.next() {
                Token::End(b']') => break,
                Token::Comma => token = self.next(),
                token => return Err(self.expected("comma or array end", &token)),
            }
            if let Token::End(b']') = token {
                return Err(self.expected("value", &token));
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }
}

/// Does this look like a number that C reads and JSON does not know?
fn is_invalid(text: &[u8]) -> bool {
    let rest = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        rest => rest,
    };
    let word = rest.get(..3).unwrap_or_default().to_ascii_lowercase();
    match rest {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        _ => word == b"inf" || word == b"nan",
    }
}

/// A number as `strtod` reads it, and its length.
fn float(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let sign = if text.first() == Some(&b'-') { -1.0 } else { 1.0 };
    let rest = text.get(signed..).unwrap_or_default();
    let lower = rest.get(..rest.len().min(8)).unwrap_or_default().to_ascii_lowercase();
    for (word, value) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if lower.starts_with(word.as_bytes()) {
            return Some((sign * value, signed + word.len()));
        }
    }
    if let [b'0', b'x', ..] = lower.as_slice() {
        let digits = rest.iter().skip(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let value = rest.iter().skip(2).take(digits).fold(0.0, |value, byte| {
            value * 16.0 + f64::from(char::from(*byte).to_digit(16).unwrap_or_default())
        });
        let len = if digits == 0 { 1 } else { digits + 2 };
        return Some((sign * value, signed + len));
    }
    let digits = |from: usize| {
        rest.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let whole = digits(0);
    let mut len = whole;
    let mut fraction = 0;
    if rest.get(len) == Some(&b'.') {
        fraction = digits(len + 1);
        len += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(rest.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let number = std::str::from_utf8(rest.get(..len)?).ok()?.parse::<f64>().ok()?;
    Some((sign * number, signed + len))
}
