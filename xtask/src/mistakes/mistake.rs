//! A mistake as a file of data: what it is, where it is known from, and which
//! text of the sources becomes which.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};

/// Where the mistakes are, from the workspace's root; a folder for each area.
pub(super) const FOLDER: &str = "xtask/mistakes";

/// One mistake.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Its area and its own name: `elections/votes_twice`.
    pub(super) name: String,
    /// What goes wrong, in one line.
    pub(super) what: String,
    /// A section of the paper or the thesis, or another implementation's bug.
    pub(super) known_from: String,
    /// What the simulator aims at to see it, if not at everything.
    pub(super) plan: Option<String>,
    /// The other rule that hides this mistake, and the mistake that breaks both.
    pub(super) masked: Option<Masked>,
    pub(super) changes: Vec<Change>,
}

/// Why a mistake shows rarely or never.
#[derive(Debug)]
pub(super) struct Masked {
    pub(super) by: String,
    /// The name of the mistake in which the masking rule is broken as well.
    pub(super) together: String,
}

/// A text that stands once in a file, and what it becomes.
#[derive(Debug)]
pub(super) struct Change {
    /// Path from the workspace's root.
    pub(super) file: String,
    before: String,
    after: String,
}

impl Change {
    /// `source` with the change made.
    pub(super) fn apply_to(&self, source: &str) -> Result<String> {
        match source.matches(&self.before).count() {
            1 => Ok(source.replacen(&self.before, &self.after, 1)),
            0 => bail!(
                "{} does not hold this text any more; say the mistake anew:\n{}",
                self.file,
                self.before
            ),
            times => bail!(
                "{} holds this text {times} times; add lines around it:\n{}",
                self.file,
                self.before
            ),
        }
    }
}

/// All mistakes, by area and name.
pub(super) fn read_all(root: &Path) -> Result<Vec<Mistake>> {
    let folder = root.join(FOLDER);
    let mut all = Vec::new();
    for area in fs::read_dir(&folder).with_context(|| format!("cannot list {FOLDER}"))? {
        let area = area?;
        let area_name = area.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(area.path())? {
            let path = file?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{area_name}/{stem}");
            let text = fs::read_to_string(&path)?;
            let mistake = parse(&name, &text).with_context(|| format!("in the mistake {name}"))?;
            all.push(mistake);
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Reads the mistake `name` from its file's `text`.
fn parse(name: &str, text: &str) -> Result<Mistake> {
    let table: Table = text.parse()?;
    const KEYS: [&str; 6] = [
        "what",
        "known_from",
        "plan",
        "masked_by",
        "together",
        "change",
    ];
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        bail!("{key:?} is no key of a mistake");
    }
    let masked = match (table.get("masked_by"), table.get("together")) {
        (None, None) => None,
        _ => Some(Masked {
            by: line(&table, "masked_by")?,
            together: line(&table, "together")?,
        }),
    };
    let changes = table.get("change").and_then(Value::as_array);
    let changes = changes.context("it changes nothing")?;
    Ok(Mistake {
        name: name.to_owned(),
        what: line(&table, "what")?,
        known_from: line(&table, "known_from")?,
        plan: table
            .contains_key("plan")
            .then(|| line(&table, "plan"))
            .transpose()?,
        masked,
        changes: changes.iter().map(change).collect::<Result<_>>()?,
    })
}

fn change(value: &Value) -> Result<Change> {
    let table = value.as_table().context("a change is a table")?;
    let change = Change {
        file: string(table, "file")?,
        before: string(table, "before")?,
        after: string(table, "after")?,
    };
    ensure!(!change.before.is_empty(), "the text before is empty");
    ensure!(change.before != change.after, "the change changes nothing");
    Ok(change)
}

fn string(table: &Table, key: &str) -> Result<String> {
    let value = table.get(key).and_then(Value::as_str);
    Ok(value.with_context(|| format!("{key:?} is missing"))?.into())
}

fn line(table: &Table, key: &str) -> Result<String> {
    let text = string(table, key)?;
    ensure!(
        !text.is_empty() && !text.contains(['\n', '|']),
        "{key:?} must be one line, without a bar"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util;

    const TEXT: &str =
        "what = 'w'\nknown_from = 'k'\n[[change]]\nfile = 'f'\nbefore = 'a'\nafter = 'b'\n";

    /// The mistakes keep up with the code that they are made in.
    #[test]
    fn every_mistake_can_be_made_in_the_sources_of_today() {
        let root = util::workspace_root();
        let all = read_all(&root).unwrap();
        assert!(all.len() >= 20, "only {} mistakes", all.len());
        let outdated = all.iter().filter_map(|mistake| {
            let changed = super::super::copy::changed_files(&root, mistake);
            let error = changed.err()?;
            Some(format!("{}: {error:#}", mistake.name))
        });
        let outdated: Vec<_> = outdated.collect();
        assert!(outdated.is_empty(), "{}", outdated.join("\n"));
    }

    #[test]
    fn a_masked_mistake_names_one_that_breaks_both_rules() {
        let all = read_all(&util::workspace_root()).unwrap();
        for mistake in &all {
            let Some(masked) = &mistake.masked else {
                continue;
            };
            let together = all.iter().find(|other| other.name == masked.together);
            assert!(
                together.is_some_and(|other| other.masked.is_none()),
                "{} names {}, which is no mistake that shows",
                mistake.name,
                masked.together
            );
        }
    }

    #[test]
    fn a_mistake_is_read_from_its_file() {
        let mistake = parse("area/name", TEXT).unwrap();

        assert_eq!(
            (mistake.what.as_str(), mistake.known_from.as_str()),
            ("w", "k")
        );
        assert_eq!(mistake.changes[0].apply_to("xay").unwrap(), "xby");
    }

    #[test]
    fn a_text_that_is_gone_or_stands_twice_is_refused() {
        let change = &parse("area/name", TEXT).unwrap().changes[0];

        let gone = change.apply_to("xyz").unwrap_err().to_string();
        assert!(gone.starts_with("f does not hold this text any more"));
        let twice = change.apply_to("a, a").unwrap_err().to_string();
        assert!(twice.starts_with("f holds this text 2 times"));
    }

    #[test]
    fn what_is_missing_or_unknown_in_a_file_is_refused() {
        for (from, to) in [
            ("what = 'w'\n", ""),
            ("after = 'b'", "after = 'a'"),
            ("before = 'a'", "before = ''"),
            ("known_from", "whence"),
            ("what = 'w'", "what = 'w|'"),
            ("what = 'w'", "what = 'w'\nmasked_by = 'm'"),
        ] {
            assert!(parse("n", &TEXT.replace(from, to)).is_err(), "{to:?}");
        }
    }
}
