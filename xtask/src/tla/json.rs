//! JSON as far as a trace needs it, and the same value as an expression of TLA+.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

/// Deepest nesting; a trace needs four levels.
const DEEPEST: usize = 16;

/// A value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value, and nothing after it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader(text.trim());
        let value = reader.value(DEEPEST)?;
        ensure!(reader.0.is_empty(), "what is {:?} after it?", reader.0);
        Ok(value)
    }

    /// The value of a field of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        fields
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    pub(super) const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value in TLA+. A field that is null is left out: TLA+ has no such value,
    /// and a record without the field says the same.
    pub(super) fn expression(&self) -> String {
        match self {
            Self::Null => "<<>>".to_owned(),
            Self::Bool(value) => value.to_string().to_uppercase(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(Self::expression).collect();
                format!("<<{}>>", values.join(", "))
            }
            Self::Object(fields) => record(fields),
        }
    }
}

fn record(fields: &[(String, Json)]) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| *value != Json::Null) {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{name} |-> {}", value.expression());
    }
    format!("[{text}]")
}

/// What is left to read.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json> {
        ensure!(depth > 0, "it is nested too deeply");
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
        ] {
            if self.takes(word) {
                return Ok(value);
            }
        }
        match self.0.chars().next().context("it ends too early")? {
            '"' => Ok(Json::Text(self.text()?)),
            '[' => self.list(depth),
            '{' => self.object(depth),
            '0'..='9' => self.number(),
            other => bail!("{other:?} begins no value that a trace may have"),
        }
    }

    /// Goes past `what`, and white space after it, if that comes next.
    fn takes(&mut self, what: &str) -> bool {
        let rest = self.0.strip_prefix(what);
        self.0 = rest.unwrap_or(self.0).trim_start();
        rest.is_some()
    }

    /// Letters that need no escape, in both languages.
    fn text(&mut self) -> Result<String> {
        let (text, rest) = self.0[1..].split_once('"').context("a text does not end")?;
        ensure!(
            text.chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "_-. ".contains(letter)),
            "the text {text:?} has letters that a trace does not need"
        );
        self.0 = rest.trim_start();
        Ok(text.to_owned())
    }

    fn number(&mut self) -> Result<Json> {
        let end = self.0.find(|letter: char| !letter.is_ascii_digit());
        let (digits, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.trim_start();
        let number = digits
            .parse()
            .with_context(|| format!("{digits} is too large"))?;
        Ok(Json::Number(number))
    }

    fn list(&mut self, depth: usize) -> Result<Json> {
        self.takes("[");
        let mut values = Vec::new();
        while !self.takes("]") {
            ensure!(
                values.is_empty() || self.takes(","),
                "a comma is missing in a list"
            );
            values.push(self.value(depth - 1)?);
        }
        Ok(Json::List(values))
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.takes("{");
        let mut fields = Vec::new();
        while !self.takes("}") {
            ensure!(
                fields.is_empty() || self.takes(","),
                "a comma is missing in an object"
            );
            ensure!(self.0.starts_with('"'), "a field of an object has no name");
            let name = self.text()?;
            ensure!(self.takes(":"), "the field {name} has no value");
            fields.push((name, self.value(depth - 1)?));
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> String {
        Json::parse(text).unwrap().expression()
    }

    #[test]
    fn values_become_expressions() {
        assert_eq!(expression("[1, 2,3]"), "<<1, 2, 3>>");
        assert_eq!(
            expression(r#"{"a": true, "b": "x_y"}"#),
            r#"[a |-> TRUE, b |-> "x_y"]"#
        );
        assert_eq!(
            expression(r#" {"entries": [{"term": 1}], "cut": null} "#),
            "[entries |-> <<[term |-> 1]>>]"
        );
        assert_eq!(expression("[]"), "<<>>");
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for wrong in [
            "", "{", "[1 2]", r#"{"a"}"#, "{1: 2}", "-1", r#""a\n""#, "1 2", "{,}",
        ] {
            assert!(Json::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Json::parse(&"[".repeat(1000)).is_err());
    }
}
