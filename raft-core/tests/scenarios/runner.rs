//! Runs a file, compares it with what it expects, or writes it anew.

use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use crate::cluster::Cluster;
use crate::command::Command;
use crate::diff::diff;
use crate::parser::{INDENT, Piece, command_line, parse};

/// Set to write the expected output anew.
const UPDATE: &str = "UPDATE_EXPECT";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/cases")
}

/// The names of all files in `cases/`, sorted.
pub(crate) fn case_names() -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the folder of the scenarios is there");
    let mut names: Vec<String> = files
        .map(|file| file.expect("its entries can be read").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// Runs `cases/<name>.txt` and compares, or rewrites it if asked to.
pub(crate) fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).expect("the scenario can be read");
    let got = match replay(name, &expected) {
        Ok(got) => got,
        Err(error) => panic!("{error}"),
    };
    if got == expected {
        return;
    }
    if env::var_os(UPDATE).is_some() {
        fs::write(&path, got).expect("the scenario can be written");
        return;
    }
    panic!(
        "{name}.txt, expected (-) and got (+):\n\n{}\n\
         If it should be so: {UPDATE}=1 cargo test -p raft-core --test scenarios {name}\n",
        diff(&expected, &got)
    );
}

/// The scenario with the output that its commands have now.
fn replay(name: &str, text: &str) -> Result<String, String> {
    let mut cluster = Cluster::default();
    let mut lines = Vec::new();
    for piece in parse(text) {
        match piece {
            Piece::Prose(line) => lines.push(line),
            Piece::Command { text, line } => {
                let place = Place { name, line };
                let output = Command::parse(&text).and_then(|command| cluster.obey(&command));
                let output = output.map_err(|error| format!("{name}.txt:{line}: {error}"))?;
                drop(place);
                lines.push(command_line(&text));
                lines.extend(output.into_iter().map(|line| format!("{INDENT}{line}")));
            }
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Says where a replica panicked.
struct Place<'a> {
    name: &'a str,
    line: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("a replica stopped in {}.txt:{}", self.name, self.line);
        }
    }
}

#[test]
fn a_run_keeps_prose_and_replaces_output() {
    let text = "Prose.\n> cluster n1\n> show\n  whatever it was\n\nMore.";

    let got = replay("inline", text).unwrap();

    let shown = "  n1 follower t0, commit i0, log empty";
    assert_eq!(
        got,
        format!("Prose.\n> cluster n1\n> show\n{shown}\n\nMore.\n")
    );
}

#[test]
fn a_mistake_is_reported_with_its_place() {
    let error = replay("inline", "\n> clutser n1").unwrap_err();

    assert_eq!(error, "inline.txt:2: there is no command `clutser`");
}
