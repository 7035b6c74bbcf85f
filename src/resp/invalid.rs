//! Requests that break the protocol, and what is said about each before the connection closes.

use std::borrow::Cow;

use crate::resp::error::Error;

/// A request that breaks the protocol: the client is told (unless there is nobody to tell), then
/// the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The number after `*` is no number or above the limit.
    MultibulkLength,
    /// The number after `$` is no number, negative or above the limit.
    BulkLength,
    /// An argument has to begin with `$`; this is what came.
    ExpectedDollar(u8),
    /// A line after `*` without an end.
    BigMultibulkCount,
    /// A line after `$` without an end.
    BigBulkCount,
    /// An inline request without an end.
    BigInline,
    /// A quote of an inline request is not closed, or something touches the closing one.
    UnbalancedQuotes,
    /// Too many arguments before AUTH.
    UnauthenticatedMultibulk,
    /// Too long an argument before AUTH.
    UnauthenticatedBulk,
    /// `POST` or `Host:`: a browser was made to talk to us. It is not answered.
    CrossProtocol,
    /// One request is longer than a query buffer may grow. It is not answered.
    QueryBuffer,
}

impl Invalid {
    /// What the client is told before the connection is closed; nothing when it is not told.
    pub fn reply(self) -> Option<Error> {
        let text = match self {
            Invalid::MultibulkLength => "ERR Protocol error: invalid multibulk length",
            Invalid::BulkLength => "ERR Protocol error: invalid bulk length",
            Invalid::BigMultibulkCount => "ERR Protocol error: too big mbulk count string",
            Invalid::BigBulkCount => "ERR Protocol error: too big bulk count string",
            Invalid::BigInline => "ERR Protocol error: too big inline request",
            Invalid::UnbalancedQuotes => "ERR Protocol error: unbalanced quotes in request",
            Invalid::UnauthenticatedMultibulk => {
                "ERR Protocol error: unauthenticated multibulk length"
            }
            Invalid::UnauthenticatedBulk => "ERR Protocol error: unauthenticated bulk length",
            Invalid::ExpectedDollar(got) => {
                let mut line = b"ERR Protocol error: expected '$', got '".to_vec();
                line.extend_from_slice(&[got, b'\'']);
                return Some(Error::Line(line));
            }
            Invalid::CrossProtocol | Invalid::QueryBuffer => return None,
        };
        Some(Error::Text(Cow::Borrowed(text)))
    }

    /// What the log says about it.
    pub fn log(self) -> String {
        match self {
            Invalid::CrossProtocol => "Possible SECURITY ATTACK detected. It looks like somebody \
                 is sending POST or Host: commands to this server, perhaps to attack it through \
                 a browser. Connection closed."
                .to_owned(),
            Invalid::QueryBuffer => {
                "Closing a client that passed the query buffer's limit".to_owned()
            }
            _ => self.reply().map(|error| error.to_string()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_quoted() {
        let line = Invalid::ExpectedDollar(b'x').reply().unwrap().to_string();
        assert_eq!(line, "ERR Protocol error: expected '$', got 'x'");
    }

    #[test]
    fn a_browser_is_not_answered() {
        assert_eq!(Invalid::CrossProtocol.reply(), None);
        assert!(Invalid::CrossProtocol.log().contains("SECURITY ATTACK"));
    }
}
