//! Results as JSON and as CSV.

use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// A number; one that is not finite is written as null.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, in this order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An object of these pairs.
    pub fn object(pairs: &[(&str, Json)]) -> Json {
        let own = |(name, value): &(&str, Json)| ((*name).to_owned(), value.clone());
        Json::Object(pairs.iter().map(own).collect())
    }

    /// A string.
    pub fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    /// A figure that may be missing.
    pub fn maybe(figure: Option<f64>) -> Json {
        Json::Number(figure.unwrap_or(f64::NAN))
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Number(number) if number.is_finite() => write!(f, "{number}"),
            Json::Number(_) => f.write_str("null"),
            Json::Text(text) => quote(f, text),
            Json::List(all) => {
                f.write_str("[")?;
                for (i, value) in all.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
            Json::Object(all) => {
                f.write_str("{")?;
                for (i, (name, value)) in all.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    quote(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// Rows under names, as text with commas.
#[derive(Clone, Debug, Default)]
pub struct Csv {
    text: String,
}

impl Csv {
    /// With the names of its columns.
    pub fn new(names: &[&str]) -> Csv {
        Csv { text: names.join(",") + "\n" }
    }

    /// One more row. Cells with commas or quotes are quoted.
    pub fn row(&mut self, cells: &[String]) {
        for (i, cell) in cells.iter().enumerate() {
            self.text.push_str(if i == 0 { "" } else { "," });
            if cell.contains([',', '"', '\n']) {
                self.text.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
            } else {
                self.text.push_str(cell);
            }
        }
        self.text.push('\n');
    }

    /// The whole.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json() {
        let value = Json::object(&[
            ("a", Json::Number(1.5)),
            ("b", Json::List(vec![Json::text("x\"\\\n\u{1}"), Json::maybe(None)])),
        ]);
        assert_eq!(value.to_string(), r#"{"a":1.5,"b":["x\"\\\n\u0001",null]}"#);
    }

    #[test]
    fn csv_is_csv() {
        let mut csv = Csv::new(&["a", "b"]);
        csv.row(&["1".to_owned(), "x,\"y\"".to_owned()]);
        assert_eq!(csv.text(), "a,b\n1,\"x,\"\"y\"\"\"\n");
    }
}
