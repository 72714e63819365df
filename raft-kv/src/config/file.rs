//! Reads the configuration file, and refuses what it does not know.
//!
//! A misspelt key that is ignored changes nothing and looks as if it did. So
//! each key is checked first, with its line and the key that was perhaps meant.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::settings::{MEMBER_KEYS, Settings, TlsSettings};

/// What the file at `path` sets.
///
/// # Errors
///
/// A file that cannot be read, is not TOML, has an unknown key or a value of
/// the wrong kind.
pub fn read(path: &Path) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

/// What `text` sets, which stands in the file `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().to_owned(),
    };
    let document = DeTable::parse(text).map_err(syntax)?;
    let source = Source { path, text };
    check_top_level(&source, document.get_ref())?;
    toml::from_str(text).map_err(syntax)
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

fn check_top_level(source: &Source<'_>, document: &DeTable<'_>) -> Result<(), ConfigError> {
    check_keys(source, document, "", &Settings::KEYS)?;
    if let Some(tls) = document.get("tls").and_then(as_table) {
        check_keys(source, tls, "tls.", &TlsSettings::KEYS)?;
    }
    let members = document.get("initial_cluster").map(Spanned::get_ref);
    for member in members.and_then(DeValue::as_array).into_iter().flatten() {
        if let Some(member) = as_table(member) {
            check_keys(source, member, "initial_cluster.", &MEMBER_KEYS)?;
        }
    }
    Ok(())
}

fn as_table<'a, 'i>(value: &'a Spanned<DeValue<'i>>) -> Option<&'a DeTable<'i>> {
    value.get_ref().as_table()
}

fn check_keys(
    source: &Source<'_>,
    table: &DeTable<'_>,
    prefix: &str,
    known: &[&str],
) -> Result<(), ConfigError> {
    let unknown = table
        .keys()
        .filter(|key| !known.contains(&key.get_ref().as_ref()))
        .min_by_key(|key| key.span().start);
    let Some(key) = unknown else {
        return Ok(());
    };
    Err(ConfigError::UnknownKey {
        path: source.path.to_owned(),
        line: line_of(source.text, key.span().start),
        key: format!("{prefix}{}", key.get_ref()),
        hint: hint(key.get_ref(), prefix, known),
    })
}

/// The nearest known key, or all of them if none is near.
fn hint(key: &str, prefix: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, candidate)) if likeness > 0.75 => {
            format!("did you mean `{prefix}{candidate}`?")
        }
        _ => format!("the keys here are {}", known.join(", ")),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(Path::new("node.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
        assert_eq!(
            refusal("node_id = 1\n\ndata_dri = \"x\"\n"),
            "node.toml:3: unknown key `data_dri`; did you mean `data_dir`?"
        );
        assert_eq!(
            refusal("[tls]\nca = \"x\"\ncertifcate = \"y\"\n"),
            "node.toml:3: unknown key `tls.certifcate`; did you mean `tls.certificate`?"
        );
        assert_eq!(
            refusal("[[initial_cluster]]\nid = 1\nzzz = 1\n"),
            "node.toml:3: unknown key `initial_cluster.zzz`; the keys here are id, name, peer, client"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_line() {
        let text = refusal("node_id = 1\nrequest_timeout = \"5\"\n");

        assert_eq!(
            text,
            "node.toml:2: \"5\" is no duration; write one like 300ms, 5s or 2m"
        );
    }

    #[test]
    fn text_that_is_not_toml_is_refused_with_its_line() {
        assert!(refusal("node_id = 1\nname = \n").starts_with("node.toml:2: "));
    }
}
