//! The members of the workspace, who depends on whom, and what a published crate comes with.

use std::path::Path;

use super::{File, Files, Problem};

/// Each member with the members it may depend on.
const MEMBERS: [(&str, &[&str]); 6] = [
    ("raft-core", &[]),
    ("raft-storage-rocks", &["raft-core"]),
    ("raft-transport-quic", &["raft-core"]),
    (
        "raft-kv",
        &["raft-core", "raft-storage-rocks", "raft-transport-quic"],
    ),
    ("xtask", &[]),
    (
        "docs",
        &[
            "raft-core",
            "raft-storage-rocks",
            "raft-transport-quic",
            "raft-kv",
        ],
    ),
];

/// Take raft-core without its driver.
const WITHOUT_RUNTIME: [&str; 2] = ["raft-storage-rocks", "raft-transport-quic"];

const COMPANIONS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// One dependency of a manifest on another member.
struct Dependency {
    line: usize,
    name: String,
    text: String,
    is_dev: bool,
}

/// Members that are not exactly those of the design.
pub(super) fn wrong_members(files: &Files) -> Vec<Problem> {
    let Some(root) = files.get("Cargo.toml") else {
        return Vec::new();
    };
    let Some((number, line)) = numbered(root).find(|(_, line)| line.starts_with("members")) else {
        return vec![root.problem(0, "the members must stand on one line, `members = [..]`")];
    };
    let named: Vec<_> = line.split('"').skip(1).step_by(2).collect();
    let expected = MEMBERS.map(|(name, _)| name);
    if named == expected {
        return Vec::new();
    }
    vec![root.problem(
        number,
        format!("the members must be {}", expected.join(", ")),
    )]
}

/// Dependencies between members that go the wrong way.
pub(super) fn wrong_dependencies(files: &Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (member, allowed) in MEMBERS {
        let Some(manifest) = files.get(&format!("{member}/Cargo.toml")) else {
            continue;
        };
        for dependency in dependencies(manifest) {
            let name = dependency.name.as_str();
            let is_itself = dependency.is_dev && name == member;
            if !allowed.contains(&name) && !is_itself {
                problems.push(manifest.problem(
                    dependency.line,
                    format!("{member} may not depend on {name}"),
                ));
            } else if has_runtime(member, &dependency) {
                let what =
                    format!("{member} takes raft-core without its driver, the feature `tokio`");
                problems.push(manifest.problem(dependency.line, what));
            }
        }
    }
    problems
}

fn has_runtime(member: &str, dependency: &Dependency) -> bool {
    let text = dependency.text.replace(' ', "");
    WITHOUT_RUNTIME.contains(&member)
        && !dependency.is_dev
        && (text.contains("\"tokio\"") || text.contains("default-features=true"))
}

/// The members among the dependencies of `manifest`.
fn dependencies(manifest: &File) -> Vec<Dependency> {
    let mut table = String::new();
    let mut found = Vec::new();
    for (line, text) in numbered(manifest) {
        if let Some(name) = text.strip_prefix('[') {
            table = name.trim_end_matches(']').to_owned();
            // `[dependencies.raft-core]` names the dependency in the table itself.
            if let Some((kind, name)) = table.rsplit_once('.')
                && kind.ends_with("dependencies")
            {
                push_member(&mut found, line, name, text, kind);
            }
        } else if table.ends_with("dependencies") {
            let name = text.split(['=', '.', ' ']).next().unwrap_or_default();
            push_member(&mut found, line, name, text, &table);
        }
    }
    found
}

fn push_member(found: &mut Vec<Dependency>, line: usize, name: &str, text: &str, table: &str) {
    if MEMBERS.iter().any(|(member, _)| *member == name) {
        found.push(Dependency {
            line,
            name: name.to_owned(),
            text: text.to_owned(),
            is_dev: table.ends_with("dev-dependencies"),
        });
    }
}

fn numbered(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.trim()))
}

/// Published crates that lack a companion file, or whose licence differs from the project's.
pub(super) fn incomplete_packages(files: &Files, root: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (member, _) in MEMBERS {
        let Some(manifest) = files.get(&format!("{member}/Cargo.toml")) else {
            continue;
        };
        if numbered(manifest).any(|(_, line)| line.replace(' ', "") == "publish=false") {
            continue;
        }
        for name in COMPANIONS {
            let own = std::fs::read(root.join(member).join(name)).unwrap_or_default();
            if own.is_empty() {
                problems.push(manifest.problem(0, format!("a published crate comes with {name}")));
            } else if name.starts_with("LICENSE")
                && own != std::fs::read(root.join(name)).unwrap_or_default()
            {
                problems.push(
                    manifest.problem(0, format!("{name} differs from the one of the project")),
                );
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    fn dependency_problems(path: &str, text: &str) -> Vec<String> {
        let problems = wrong_dependencies(&Files::of(&[(path, text)]));
        problems.into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn backends_may_not_use_each_other_in_any_notation() {
        let path = "raft-storage-rocks/Cargo.toml";
        let expected = ["raft-storage-rocks may not depend on raft-transport-quic"];

        for text in [
            "[dependencies]\nraft-transport-quic.workspace = true\n",
            "[dev-dependencies]\nraft-transport-quic = { workspace = true }\n",
            "[dependencies.raft-transport-quic]\nworkspace = true\n",
            "[target.'cfg(unix)'.dependencies]\nraft-transport-quic = \"0.1\"\n",
        ] {
            assert_eq!(dependency_problems(path, text), expected, "{text}");
        }
    }

    #[test]
    fn xtask_links_none_of_ours() {
        let text = "[dependencies]\nraft-core.workspace = true\n";

        assert_eq!(
            dependency_problems("xtask/Cargo.toml", text),
            ["xtask may not depend on raft-core"]
        );
    }

    #[test]
    fn a_backend_takes_the_core_without_its_driver() {
        let with = "[dependencies]\nraft-core = { workspace = true, features = [\"tokio\"] }\n";
        let for_tests = with.replace("[dep", "[dev-dep");
        let path = "raft-transport-quic/Cargo.toml";

        assert_eq!(dependency_problems(path, with).len(), 1);
        assert_eq!(dependency_problems(path, &for_tests), [""; 0]);
    }

    #[test]
    fn the_members_are_those_of_the_design() {
        let members = |text: &str| wrong_members(&Files::of(&[("Cargo.toml", text)])).len();

        assert_eq!(
            members(
                "members = [\"raft-core\", \"raft-storage-rocks\", \"raft-transport-quic\", \"raft-kv\", \"xtask\", \"docs\"]"
            ),
            0
        );
        assert_eq!(members("members = [\"raft-core\", \"raft-tools\"]"), 1);
    }

    #[test]
    fn a_published_crate_without_its_companions_is_reported() {
        let manifest = "[package]\nname = \"raft-kv\"\n";
        let project = TestDir::with(&[
            ("raft-kv/README.md", "x"),
            ("raft-kv/CHANGELOG.md", "x"),
            ("raft-kv/LICENSE-MIT", "other"),
            ("LICENSE-MIT", "ours"),
        ]);
        let files = Files::of(&[("raft-kv/Cargo.toml", manifest)]);

        let problems = incomplete_packages(&files, project.path());

        let what: Vec<_> = problems.into_iter().map(|problem| problem.what).collect();
        assert_eq!(
            what,
            [
                "a published crate comes with LICENSE-APACHE",
                "LICENSE-MIT differs from the one of the project"
            ]
        );
    }

    #[test]
    fn an_unpublished_package_needs_no_companions() {
        let project = TestDir::with(&[]);
        let files = Files::of(&[("xtask/Cargo.toml", "[package]\npublish = false\n")]);

        assert_eq!(incomplete_packages(&files, project.path()), []);
    }
}
