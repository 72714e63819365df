//! What the book promises by name: the tests and files of the requirements, and
//! the metrics. A table that nobody checks is wrong a month later.

use std::collections::{BTreeMap, BTreeSet};

use super::code;
use super::{File, Files, Problem};

const REQUIREMENTS: &str = "docs/book/protocol/requirements.md";
const METRICS: &str = "docs/book/operations/metrics.md";
const PROTOCOL: &str = "raft-core/src/protocol";
const SCENARIOS: &str = "raft-core/tests/scenarios/cases";

/// Whose metrics the book lists.
const MEASURED: [&str; 4] = [
    "raft-core/src",
    "raft-storage-rocks/src",
    "raft-transport-quic/src",
    "raft-kv/src",
];
const KINDS: [&str; 3] = ["counter", "gauge", "histogram"];

/// Requirements that name a test or a file that is not there, or no test at all.
pub(super) fn unkept_requirements(files: &Files) -> Vec<Problem> {
    let Some(page) = files.get(REQUIREMENTS) else {
        return Vec::new();
    };
    let tests = names_of_tests(files);
    let mut problems = Vec::new();
    for row in rows(page) {
        for path in row.names_under("code") {
            if files.get(&full_path(path)).is_none() {
                problems.push(page.problem(row.line, format!("there is no file `{path}`")));
            }
        }
        let named = row.names_under("test");
        if row.has_column("test") && named.is_empty() {
            problems.push(page.problem(row.line, "a requirement without a test"));
        }
        for name in named {
            let is_there = match name.ends_with(".txt") {
                true => files.get(&format!("{SCENARIOS}/{name}")).is_some(),
                false => tests.contains(name),
            };
            if !is_there {
                problems.push(page.problem(row.line, format!("there is no test `{name}`")));
            }
        }
    }
    problems
}

/// Metrics that the code and the book do not agree about.
pub(super) fn unlisted_metrics(files: &Files) -> Vec<Problem> {
    let Some(page) = files.get(METRICS) else {
        return Vec::new();
    };
    let mut listed = BTreeMap::new();
    for row in rows(page) {
        let kind = row.cell("kind").trim();
        for name in row.names_under("name") {
            listed.insert((name, kind), row.line);
        }
    }
    let mut problems = Vec::new();
    let mut measured = BTreeSet::new();
    for (file, line, name, kind) in metrics_in_code(files) {
        if !listed.contains_key(&(name, kind)) {
            let what = format!("the {kind} `{name}` is not in {METRICS}");
            problems.push(file.problem(line, what));
        }
        measured.insert((name, kind));
    }
    for ((name, kind), line) in listed {
        if !measured.contains(&(name, kind)) {
            problems.push(page.problem(line, format!("nothing measures the {kind} `{name}`")));
        }
    }
    problems
}

/// Each use of a metric: where, its name, its kind.
fn metrics_in_code(files: &Files) -> Vec<(&File, usize, &str, &str)> {
    let mut found = Vec::new();
    for file in MEASURED.iter().flat_map(|folder| files.below(folder, "rs")) {
        for (at, line) in file.text.lines().enumerate() {
            let name = line.split('"').nth(1).filter(|n| n.starts_with("raft_"));
            let kind = KINDS.iter().find(|kind| code::has_word(line, kind));
            if let (Some(name), Some(kind)) = (name, kind) {
                found.push((file, at + 1, name, *kind));
            }
        }
    }
    found
}

/// Functions under a test attribute, in raft-core.
fn names_of_tests(files: &Files) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.below("raft-core", "rs") {
        let mut is_test = false;
        for (_, line) in code::lines(&file.text) {
            let line = line.trim();
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(name) = name_of_function(line)
                && std::mem::take(&mut is_test)
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

fn name_of_function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn full_path(path: &str) -> String {
    match path.starts_with("raft-") {
        true => path.to_owned(),
        false => format!("{PROTOCOL}/{path}"),
    }
}

/// A row of a table in Markdown, with the heads of its columns.
struct Row<'a> {
    line: usize,
    cells: Vec<(&'a str, &'a str)>,
}

impl<'a> Row<'a> {
    fn has_column(&self, head: &str) -> bool {
        self.cells.iter().any(|(own, _)| *own == head)
    }

    fn cell(&self, head: &str) -> &'a str {
        let cell = self.cells.iter().find(|(own, _)| *own == head);
        cell.map_or("", |(_, text)| text)
    }

    /// What stands between backticks in the column.
    fn names_under(&self, head: &str) -> Vec<&'a str> {
        self.cell(head).split('`').skip(1).step_by(2).collect()
    }
}

/// The rows of all tables of a page, without their heads.
fn rows(page: &File) -> Vec<Row<'_>> {
    let (mut rows, mut heads) = (Vec::new(), Vec::new());
    for (at, line) in page.text.lines().enumerate() {
        let inner = line.trim().strip_prefix('|');
        let Some(inner) = inner.and_then(|line| line.strip_suffix('|')) else {
            heads.clear();
            continue;
        };
        let cells: Vec<_> = inner.split('|').map(str::trim).collect();
        if heads.is_empty() {
            heads = cells;
        } else if !cells.iter().all(|cell| cell.trim_matches('-').is_empty()) {
            let cells = heads.iter().copied().zip(cells).collect();
            rows.push(Row {
                line: at + 1,
                cells,
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(problems: &[Problem]) -> Vec<(usize, &str)> {
        problems.iter().map(|p| (p.line, p.what.as_str())).collect()
    }

    #[test]
    fn a_requirement_names_files_and_tests_that_are_there() {
        let page = "| sentence | code | test |\n|---|---|---|\n\
            | a | `a.rs`, `raft-core/src/x.rs` | `holds`, `figure.txt` |\n\
            | b | `gone.rs` | `no_test` |\n\
            | c | `a.rs` | none yet |\n\
            \n| rule | test |\n|---|---|\n| d | `also_holds` |\n| e | `gone.txt` |\n";
        let files = Files::of(&[
            (REQUIREMENTS, page),
            ("raft-core/src/protocol/a.rs", ""),
            ("raft-core/src/x.rs", ""),
            ("raft-core/tests/scenarios/cases/figure.txt", ""),
            (
                "raft-core/src/protocol/tests/a.rs",
                "#[test]\nfn holds() {}\nfn no_test() {}\n",
            ),
            (
                "raft-core/tests/node/a.rs",
                "#[tokio::test(start_paused = true)]\nasync fn also_holds() {}\n",
            ),
        ]);

        assert_eq!(
            whats(&unkept_requirements(&files)),
            [
                (4, "there is no file `gone.rs`"),
                (4, "there is no test `no_test`"),
                (5, "a requirement without a test"),
                (10, "there is no test `gone.txt`"),
            ]
        );
    }

    #[test]
    fn the_book_lists_the_metrics_that_there_are() {
        let page = "| name | kind | meaning |\n|---|---|---|\n\
            | `raft_a_total` | counter | a |\n\
            | `raft_b` | counter | b |\n";
        let source =
            "counter Counter a \"raft_a_total\";\n    metrics::gauge!(\"raft_b\").set(1.0);\n";
        let files = Files::of(&[(METRICS, page), ("raft-core/src/node/metrics.rs", source)]);

        let problems = unlisted_metrics(&files);

        let expected = [
            (
                2,
                "the gauge `raft_b` is not in docs/book/operations/metrics.md",
            ),
            (4, "nothing measures the counter `raft_b`"),
        ];
        assert_eq!(whats(&problems), expected);
    }
}
