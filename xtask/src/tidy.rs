//! `cargo xtask tidy`: the rules of the house that the compiler cannot see.
//!
//! | file | rules |
//! |---|---|
//! | `layering` | who may use whom inside raft-core; what the protocol may not touch |
//! | `manifests` | the members, who depends on whom, what a published crate comes with |
//! | `promises` | tests, files and metrics that the book names |
//! | `sources` | room descriptions, sizes, `unwrap`, where bincode may be |
//! | `texts` | the machine's own paths, links, the book's contents, the index of decisions |
//!
//! Each check is a function from the files to what is wrong with them.

mod code;
mod layering;
mod manifests;
mod promises;
mod sources;
mod texts;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::util;

/// Text files are told by these endings; others are not looked at.
const TEXT_ENDINGS: [&str; 11] = [
    "rs", "toml", "md", "txt", "yml", "proto", "sh", "json", "jsonl", "tla", "cfg",
];

/// The project's text files, by their path from its root.
struct Files(Vec<File>);

struct File {
    /// Path from the root, with `/`.
    path: String,
    text: String,
}

/// Something that breaks a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Problem {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

/// Checks the project; prints all problems before it fails.
pub(crate) fn run() -> Result<()> {
    let root = util::workspace_root();
    let files = Files::read(&root)?;
    for warning in sources::long_files(&files) {
        println!("warning: {warning}");
    }
    let mut problems = check(&files);
    problems.extend(texts::machine_paths(
        &files,
        &texts::paths_of_this_machine(&root),
    ));
    problems.extend(texts::broken_links(&files, &root));
    problems.extend(manifests::incomplete_packages(&files, &root));
    problems.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy found {} problems", problems.len());
    }
    println!("tidy: {} files in order", files.0.len());
    Ok(())
}

/// The checks that need nothing but the files.
fn check(files: &Files) -> Vec<Problem> {
    let checks: [fn(&Files) -> Vec<Problem>; 12] = [
        layering::wrong_directions,
        layering::impure_protocol,
        layering::clocks_out_of_place,
        manifests::wrong_members,
        manifests::wrong_dependencies,
        sources::without_description,
        sources::too_long,
        sources::unwraps_and_ignores,
        sources::bincode_in_two_places,
        texts::incomplete_contents,
        promises::unkept_requirements,
        promises::unlisted_metrics,
    ];
    checks.into_iter().flat_map(|check| check(files)).collect()
}

impl Files {
    fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        read_folder(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(files))
    }

    /// Made-up files, for the tests of the checks.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self(files.iter().map(file).collect())
    }

    fn get(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|file| file.path == path)
    }

    /// Files below `folder` whose name ends in `.ending`.
    fn below<'a>(&'a self, folder: &'a str, ending: &'a str) -> impl Iterator<Item = &'a File> {
        self.0.iter().filter(move |file| {
            file.path
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
                && file.has_ending(ending)
        })
    }

    fn rust(&self) -> impl Iterator<Item = &File> {
        self.0.iter().filter(|file| file.has_ending("rs"))
    }
}

impl File {
    fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|own| own == ending)
    }

    fn problem(&self, line: usize, what: impl Into<String>) -> Problem {
        Problem {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            let is_ours =
                !name.starts_with('.') || [".ci", ".cargo", ".github"].contains(&name.as_str());
            // Whatever cargo made, under any name, carries this tag.
            if is_ours && name != "target" && !path.join("CACHEDIR.TAG").exists() {
                read_folder(root, &path, files)?;
            }
            continue;
        }
        let ending = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !TEXT_ENDINGS.contains(&ending.as_str()) && folder != root.join(".ci") {
            continue;
        }
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} is no UTF-8 text", path.display()))?;
        let path = path.strip_prefix(root).unwrap_or(&path);
        let path = path.to_string_lossy().replace('\\', "/");
        files.push(File { path, text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules hold for the project that states them.
    #[test]
    fn the_project_is_tidy() {
        let files = Files::read(&util::workspace_root()).unwrap();

        assert_eq!(check(&files), []);
    }

    #[test]
    fn what_cargo_built_is_not_looked_at() {
        let project = util::TestDir::with(&[
            ("src/lib.rs", "//! Ours.\n"),
            ("target/x.rs", "generated"),
            ("elsewhere/CACHEDIR.TAG", ""),
            ("elsewhere/x.rs", "generated"),
            (".git/x.rs", "history"),
        ]);

        let files = Files::read(project.path()).unwrap();

        let paths: Vec<_> = files.0.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["src/lib.rs"]);
    }
}
