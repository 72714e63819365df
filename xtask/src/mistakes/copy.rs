//! The copy of raft-core in which mistakes are made, in a workspace of its own:
//! the sources and the simulator, and no more than they need to be built.
//!
//! Only what differs is written, so that cargo builds again what a mistake
//! changes, and what the one before it had changed, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::mistake::Mistake;

/// The sources of the package that is copied.
const SOURCES: &str = "raft-core/src";
const MANIFEST: &str = "raft-core/Cargo.toml";
const SIMULATOR: &str = "raft-core/examples/sim";

/// The files that `mistake` changes, by path, as they are afterwards.
pub(super) fn changed_files(root: &Path, mistake: &Mistake) -> Result<BTreeMap<String, String>> {
    let mut changed = BTreeMap::new();
    for change in &mistake.changes {
        ensure!(
            Path::new(&change.file).starts_with(SOURCES),
            "{} is not below {SOURCES}",
            change.file
        );
        let source = match changed.remove(&change.file) {
            Some(text) => text,
            None => read(root, &change.file)?,
        };
        changed.insert(change.file.clone(), change.apply_to(&source)?);
    }
    Ok(changed)
}

/// Makes `copy` a workspace that holds the package with `changed` files alone.
pub(super) fn write(root: &Path, copy: &Path, mut changed: BTreeMap<String, String>) -> Result<()> {
    changed.insert("Cargo.toml".into(), workspace(&read(root, "Cargo.toml")?)?);
    changed.insert(MANIFEST.into(), package(&read(root, MANIFEST)?)?);
    let mut sources = files_below(root, Path::new(SOURCES))?;
    sources.extend(files_below(root, Path::new(SIMULATOR))?);
    for path in &sources {
        let path = path.to_string_lossy().replace('\\', "/");
        if !changed.contains_key(&path) {
            changed.insert(path.clone(), read(root, &path)?);
        }
    }
    for old in files_below(copy, Path::new(SOURCES))? {
        if !sources.contains(&old) {
            fs::remove_file(copy.join(old))?;
        }
    }
    for (path, text) in &changed {
        write_if_other(&copy.join(path), text)?;
    }
    // Cargo takes out of it what nobody needs here: it is copied once.
    if !copy.join("Cargo.lock").exists() {
        fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    }
    Ok(())
}

/// The workspace's manifest with the package as its only member.
fn workspace(manifest: &str) -> Result<String> {
    let mut manifest: Table = manifest.parse()?;
    let workspace = manifest.get_mut("workspace").and_then(Value::as_table_mut);
    let workspace = workspace.context("the workspace has no `[workspace]`")?;
    workspace.insert("members".into(), vec!["raft-core"].into());
    workspace.remove("exclude");
    Ok(toml::to_string(&manifest)?)
}

/// The package's manifest with the simulator as its only program beside the library.
fn package(manifest: &str) -> Result<String> {
    let mut manifest: Table = manifest.parse()?;
    for left_out in ["dev-dependencies", "test", "bench"] {
        manifest.remove(left_out);
    }
    let examples = manifest.get_mut("example").and_then(Value::as_array_mut);
    let examples = examples.context("the package has no examples")?;
    examples.retain(|example| example.get("name").and_then(Value::as_str) == Some("sim"));
    ensure!(examples.len() == 1, "the package has no example `sim`");
    Ok(toml::to_string(&manifest)?)
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

fn write_if_other(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// All files below `folder`, by their paths from `root`.
fn files_below(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !root.join(folder).exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(root.join(folder))? {
        let path = folder.join(entry?.file_name());
        match root.join(&path).is_dir() {
            true => files.extend(files_below(root, &path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    const WORKSPACE: &str = "[workspace]\nmembers = ['raft-core', 'x']\nexclude = ['y']\n";
    const PACKAGE: &str = "[package]\nname = 'raft-core'\n[dev-dependencies]\na = '1'\n\
                           [[test]]\nname = 't'\n[[example]]\nname = 'other'\n\
                           [[example]]\nname = 'sim'\n";

    #[test]
    fn a_copy_holds_the_sources_with_the_mistake_and_no_other() {
        let root = TestDir::with(&[
            ("Cargo.toml", WORKSPACE),
            ("Cargo.lock", ""),
            (MANIFEST, PACKAGE),
            ("raft-core/examples/sim/main.rs", ""),
            ("raft-core/src/lib.rs", "right"),
            ("raft-core/src/other.rs", "right"),
            ("raft-core/tests/t.rs", ""),
        ]);
        let copy = TestDir::with(&[("raft-core/src/gone.rs", "")]);
        let text = |path| fs::read_to_string(copy.path().join(path)).unwrap();
        let with = |path: &str| BTreeMap::from([(path.to_owned(), "wrong".to_owned())]);

        write(root.path(), copy.path(), with("raft-core/src/lib.rs")).unwrap();
        assert_eq!(text("raft-core/src/lib.rs"), "wrong");
        let files = files_below(copy.path(), Path::new("")).unwrap();
        assert_eq!(files.len(), 6, "{files:?}");

        write(root.path(), copy.path(), with("raft-core/src/other.rs")).unwrap();
        assert_eq!(text("raft-core/src/lib.rs"), "right");
        assert_eq!(text("raft-core/src/other.rs"), "wrong");
    }

    #[test]
    fn manifests_name_nothing_that_is_not_copied() {
        assert_eq!(
            workspace(WORKSPACE).unwrap(),
            "[workspace]\nmembers = [\"raft-core\"]\n"
        );
        assert_eq!(
            package(PACKAGE).unwrap(),
            "[[example]]\nname = \"sim\"\n\n[package]\nname = \"raft-core\"\n"
        );
        assert!(package("[package]\n").is_err());
    }
}
