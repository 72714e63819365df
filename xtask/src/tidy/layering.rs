//! Who may use whom inside raft-core, and what its protocol may not touch.
//!
//! values <- protocol <- node -> contract -> values; testing may use all.

use std::collections::BTreeMap;

use super::code;
use super::{File, Files, Problem};

const SRC: &str = "raft-core/src";

/// The rooms of raft-core.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Layer {
    Values,
    Contract,
    Protocol,
    Node,
    Memory,
    Testing,
}

impl Layer {
    /// The layer of a module at the root of the crate.
    fn of_module(name: &str) -> Self {
        match name {
            "log_store" | "stable_store" | "network" | "state_machine" => Self::Contract,
            "protocol" => Self::Protocol,
            "node" => Self::Node,
            "memory" => Self::Memory,
            "testing" => Self::Testing,
            _ => Self::Values,
        }
    }

    fn may_use(self, other: Self) -> bool {
        use Layer::{Contract, Memory, Node, Protocol, Testing, Values};
        match self {
            Values => other == Values,
            Contract => matches!(other, Values | Contract),
            Protocol => matches!(other, Values | Protocol),
            Node => matches!(other, Values | Contract | Protocol | Node),
            Memory => matches!(other, Values | Contract | Memory),
            Testing => true,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Contract => "contract",
            Self::Protocol => "protocol",
            Self::Node => "node",
            Self::Memory => "memory",
            Self::Testing => "testing",
        }
    }
}

/// Files of raft-core that use a room above them.
pub(super) fn wrong_directions(files: &Files) -> Vec<Problem> {
    let exports = files
        .get("raft-core/src/lib.rs")
        .map(reexports)
        .unwrap_or_default();
    let mut problems = Vec::new();
    for file in files.below(SRC, "rs") {
        let Some(module) = root_module(file) else {
            continue;
        };
        let layer = Layer::of_module(module);
        for (line, name) in crate_names(&file.text) {
            let module = exports.get(&name).map_or(name.as_str(), String::as_str);
            let used = Layer::of_module(module);
            if !layer.may_use(used) {
                let (from, to) = (layer.name(), used.name());
                problems
                    .push(file.problem(line, format!("{from} may not use {to} (`crate::{name}`)")));
            }
        }
    }
    problems
}

/// The root module that a file belongs to; nothing for the crate's root itself.
fn root_module(file: &File) -> Option<&str> {
    let path = file.path.strip_prefix(SRC)?.strip_prefix('/')?;
    let first = path.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib").then_some(name)
}

/// What the crate's root exports again: name to module.
fn reexports(lib: &File) -> BTreeMap<String, String> {
    let code: String = code::lines(&lib.text)
        .into_iter()
        .map(|(_, line)| line + "\n")
        .collect();
    let mut exports = BTreeMap::new();
    for statement in code.split(';') {
        let Some(at) = statement.find("pub use ") else {
            continue;
        };
        let path = statement[at + "pub use ".len()..].trim();
        let Some((module, names)) = path.split_once("::") else {
            continue;
        };
        let names = names.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
        for name in names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            exports.insert(name.to_owned(), module.to_owned());
        }
    }
    exports
}

/// The first names after `crate::` in `source`, with their lines; those of a brace list each.
fn crate_names(source: &str) -> Vec<(usize, String)> {
    let code: String = code::lines(source)
        .into_iter()
        .map(|(_, line)| line + "\n")
        .collect();
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + path.len()..];
        for name in first_names(rest) {
            found.push((line, name));
        }
    }
    found
}

fn first_names(rest: &str) -> Vec<String> {
    let name_of = |text: &str| -> String {
        text.chars()
            .take_while(|&c| c.is_alphanumeric() || c == '_')
            .collect()
    };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![name_of(rest)];
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name_of(list[start..at].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name_of(list[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What would make the protocol depend on anything but its inputs, and why not.
const IMPURE: [(&str, &str); 14] = [
    ("tokio", "a runtime"),
    ("async", "waiting"),
    ("await", "waiting"),
    ("Instant", "a clock; time is an argument"),
    ("SystemTime", "a clock; time is an argument"),
    ("std::fs", "files"),
    ("std::net", "the network"),
    ("std::env", "the environment"),
    ("std::thread", "threads"),
    ("Mutex", "locks"),
    ("HashMap", "random order; take BTreeMap"),
    ("HashSet", "random order; take BTreeSet"),
    ("rand", "ambient randomness; take the seeded source"),
    ("tracing", "logging; emit an Event"),
];

/// Lines of the protocol, its tests included, that touch the world.
pub(super) fn impure_protocol(files: &Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.below("raft-core/src/protocol", "rs") {
        for (number, line) in code::lines(&file.text) {
            for (word, why) in IMPURE {
                if code::has_word(&line, word) {
                    problems.push(
                        file.problem(number, format!("the protocol may not use `{word}`: {why}")),
                    );
                }
            }
        }
    }
    problems
}

/// Clocks read outside `node/clock.rs`, the one place where the driver does.
pub(super) fn clocks_out_of_place(files: &Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.below("raft-core/src/node", "rs") {
        if file.path.ends_with("/clock.rs") {
            continue;
        }
        for (number, line) in code::lines_outside_tests(&file.text) {
            if line.contains("Instant::now") || line.contains("SystemTime::now") {
                problems.push(file.problem(number, "only node/clock.rs reads a clock"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: (&str, &str) = (
        "raft-core/src/lib.rs",
        "pub use protocol::Raft;\npub use log_store::{AppendBatch, LogStore};\npub use types::Term;\n",
    );

    fn directions(path: &str, text: &str) -> Vec<String> {
        let files = Files::of(&[LIB, (path, text)]);
        wrong_directions(&files)
            .into_iter()
            .map(|problem| problem.what)
            .collect()
    }

    #[test]
    fn a_value_may_not_use_the_protocol_by_any_name() {
        let path = "raft-core/src/types.rs";

        assert_eq!(directions(path, "use crate::protocol::Input;").len(), 1);
        assert_eq!(
            directions(path, "use crate::{time::Timestamp, Raft};").len(),
            1
        );
        assert_eq!(directions(path, "fn f(x: crate::node::Node) {}").len(), 1);
        assert_eq!(
            directions(path, "use crate::{time::{A, B}, Term};"),
            [""; 0]
        );
    }

    #[test]
    fn the_protocol_may_use_neither_the_node_nor_the_traits() {
        let path = "raft-core/src/protocol/election.rs";

        assert_eq!(
            directions(path, "use crate::node::Node;"),
            ["protocol may not use node (`crate::node`)"]
        );
        assert_eq!(directions(path, "use crate::LogStore;").len(), 1);
        assert_eq!(
            directions(path, "use crate::types::Term;\nuse crate::protocol::log;"),
            [""; 0]
        );
    }

    #[test]
    fn the_node_may_use_protocol_and_traits_but_no_backend() {
        let path = "raft-core/src/node/driver.rs";

        assert_eq!(directions(path, "use crate::{Raft, LogStore};"), [""; 0]);
        assert_eq!(
            directions(path, "use crate::memory::MemoryLogStore;").len(),
            1
        );
    }

    #[test]
    fn a_comment_uses_nothing() {
        assert_eq!(
            directions("raft-core/src/time.rs", "// see crate::node::clock\n"),
            [""; 0]
        );
    }

    #[test]
    fn each_way_out_of_the_protocol_is_seen() {
        for line in [
            "use tokio::sync::mpsc;",
            "let now = std::time::Instant::now();",
            "use std::time::SystemTime;",
            "use std::collections::{BTreeMap, HashMap};",
            "let seen: HashSet<u64>;",
            "std::fs::read(path);",
            "std::thread::spawn(f);",
            "rand::random::<u64>();",
            "async fn f() {}",
        ] {
            let files = Files::of(&[("raft-core/src/protocol/log/terms.rs", line)]);
            assert!(!impure_protocol(&files).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_pure_protocol_passes() {
        let source = "use std::collections::BTreeMap;\nuse self::random::Random;\n// no tokio\nlet t = \"HashMap\";";
        let files = Files::of(&[("raft-core/src/protocol/x.rs", source)]);

        assert_eq!(impure_protocol(&files), []);
    }

    #[test]
    fn the_driver_reads_its_clock_in_one_file() {
        let line = "let now = Instant::now();";
        let files = Files::of(&[
            ("raft-core/src/node/clock.rs", line),
            ("raft-core/src/node/driver.rs", line),
        ]);

        let problems = clocks_out_of_place(&files);

        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "raft-core/src/node/driver.rs");
    }
}
