//! Rules for a single source file: it says what it holds, stays small, and does not unwrap.

use super::code;
use super::{File, Files, Problem};

/// Where a file should be split, and where it must.
const AIM: usize = 400;
const STOP: usize = 800;

/// The crates that others link; what they must not do, tests may.
const LIBRARIES: [&str; 4] = [
    "raft-core",
    "raft-storage-rocks",
    "raft-transport-quic",
    "raft-kv",
];

/// Rust files that do not begin by saying what they hold.
pub(super) fn without_description(files: &Files) -> Vec<Problem> {
    let silent = files.rust().filter(|file| {
        let first = file.text.lines().next().unwrap_or_default();
        first
            .strip_prefix("//!")
            .is_none_or(|text| text.trim().is_empty())
    });
    silent
        .map(|file| file.problem(1, "a file begins with `//!` and what it holds"))
        .collect()
}

/// Rust files above the bound.
pub(super) fn too_long(files: &Files) -> Vec<Problem> {
    longer_than(files, STOP)
        .map(|(file, lines)| file.problem(0, format!("{lines} lines, more than {STOP}; split it")))
        .collect()
}

/// Rust files above the aim; worth a look, no failure.
pub(super) fn long_files(files: &Files) -> Vec<Problem> {
    longer_than(files, AIM)
        .map(|(file, lines)| file.problem(0, format!("{lines} lines, above the aim of {AIM}")))
        .collect()
}

fn longer_than(files: &Files, bound: usize) -> impl Iterator<Item = (&File, usize)> {
    files
        .rust()
        .map(|file| (file, file.text.lines().count()))
        .filter(move |&(_, lines)| lines > bound)
}

/// Library code that unwraps, and tests that are switched off.
pub(super) fn unwraps_and_ignores(files: &Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.rust() {
        for (number, line) in code::lines(&file.text) {
            if line.trim_start().starts_with("#[ignore") {
                problems.push(file.problem(number, "a test that is switched off tests nothing"));
            }
        }
        if !is_library_code(file) {
            continue;
        }
        for (number, line) in code::lines_outside_tests(&file.text) {
            if line.contains(".unwrap()") || line.contains(".unwrap_err()") {
                problems
                    .push(file.problem(number, "no `unwrap` in a library; `expect` why it holds"));
            }
        }
    }
    problems
}

fn is_library_code(file: &File) -> bool {
    let in_library = LIBRARIES
        .iter()
        .any(|name| file.path.starts_with(&format!("{name}/src/")));
    in_library && !file.path.contains("/tests/") && !file.path.ends_with("/tests.rs")
}

/// Crates in which bincode is used in more than one file: its exit must stay short.
pub(super) fn bincode_in_two_places(files: &Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for library in LIBRARIES {
        let folder = format!("{library}/src");
        let users: Vec<_> = files
            .below(&folder, "rs")
            .filter(|file| {
                let lines = code::lines_outside_tests(&file.text);
                lines
                    .iter()
                    .any(|(_, line)| code::has_word(line, "bincode"))
            })
            .collect();
        for file in users.iter().skip(1) {
            let what = format!(
                "{library} uses bincode in {} already; one file per crate",
                users[0].path
            );
            problems.push(file.problem(0, what));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_holds_is_reported() {
        let files = Files::of(&[
            ("raft-kv/src/a.rs", "use x;\n"),
            ("raft-kv/src/b.rs", "//!\n"),
            ("raft-kv/src/c.rs", "//! The rooms.\n"),
            ("raft-kv/src/d.rs", ""),
        ]);

        let problems = without_description(&files);

        let paths: Vec<_> = problems
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        assert_eq!(
            paths,
            ["raft-kv/src/a.rs", "raft-kv/src/b.rs", "raft-kv/src/d.rs"]
        );
    }

    #[test]
    fn a_file_is_warned_above_the_aim_and_refused_above_the_bound() {
        let (long, too_long_text) = ("x\n".repeat(AIM + 1), "x\n".repeat(STOP + 1));
        let files = Files::of(&[("a.rs", &long), ("b.rs", &too_long_text), ("c.rs", "x\n")]);

        assert_eq!(long_files(&files).len(), 2);
        assert_eq!(too_long(&files).len(), 1);
        assert_eq!(too_long(&files)[0].path, "b.rs");
    }

    #[test]
    fn a_library_does_not_unwrap_and_its_tests_may() {
        let source =
            "fn f() { x.unwrap(); }\n#[cfg(test)]\nmod tests {\n    fn g() { y.unwrap(); }\n}\n";
        let files = Files::of(&[
            ("raft-core/src/a.rs", source),
            ("raft-core/src/protocol/tests/a.rs", source),
            ("raft-core/tests/a.rs", source),
            ("xtask/src/a.rs", source),
        ]);

        let problems = unwraps_and_ignores(&files);

        assert_eq!(problems.len(), 1);
        assert_eq!(
            (problems[0].path.as_str(), problems[0].line),
            ("raft-core/src/a.rs", 1)
        );
    }

    #[test]
    fn a_test_may_not_be_switched_off() {
        let source = "//! Tests.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n";
        let files = Files::of(&[("raft-core/tests/a.rs", source)]);

        assert_eq!(unwraps_and_ignores(&files).len(), 1);
    }

    #[test]
    fn bincode_stays_in_one_file_of_a_crate() {
        let uses = "fn f() { bincode::serde::encode_to_vec(x, c); }";
        let files = Files::of(&[
            ("raft-kv/src/command.rs", uses),
            ("raft-kv/src/other.rs", uses),
            ("raft-kv/src/said.rs", "// not bincode\n"),
            ("raft-transport-quic/src/wire.rs", uses),
        ]);

        let problems = bincode_in_two_places(&files);

        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "raft-kv/src/other.rs");
    }
}
