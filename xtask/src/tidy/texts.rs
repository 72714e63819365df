//! Rules for the project's texts: nothing of the machine they were written on,
//! links that lead somewhere, and contents that are complete.

use std::env;
use std::path::Path;

use super::{Files, Problem};

const BOOK: &str = "docs/book";

/// What only the developer's machine would put into a text: home folders, and this checkout.
pub(super) fn paths_of_this_machine(root: &Path) -> Vec<String> {
    // In parts, so that this very file does not hold them.
    let mut paths: Vec<String> = [
        ["/ho", "me/"],
        ["/Us", "ers/"],
        ["/ro", "ot/"],
        ["C:\\Us", "ers\\"],
    ]
    .map(|parts| parts.concat())
    .to_vec();
    let mut own = vec![root.to_string_lossy().into_owned()];
    own.extend(env::var("HOME"));
    // A path of one part, as in a container, is an ordinary word.
    own.retain(|path| path.matches('/').count() >= 2);
    paths.extend(
        own.iter()
            .map(|path| format!("{}/", path.trim_end_matches('/'))),
    );
    paths
}

/// Lines that hold one of `paths`.
pub(super) fn machine_paths(files: &Files, paths: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in &files.0 {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(path) = paths.iter().find(|path| has_path(line, path)) {
                problems.push(file.problem(at + 1, format!("`{path}` is a path of one machine")));
            }
        }
    }
    problems
}

/// Whether `path` begins an absolute path in `line`, and is not the middle of another.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-$}".contains(c))
    })
}

/// Links in Markdown to files that are not there.
pub(super) fn broken_links(files: &Files, root: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.0.iter().filter(|file| file.has_ending("md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (at, line) in file.text.lines().enumerate() {
            for link in links(line) {
                if !root.join(folder).join(link).exists() {
                    problems
                        .push(file.problem(at + 1, format!("the link to `{link}` leads nowhere")));
                }
            }
        }
    }
    problems
}

/// The files that a line of Markdown links to; neither addresses nor places on the page.
fn links(line: &str) -> Vec<&str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .filter(|target| !target.contains("::"))
        .collect()
}

/// Chapters and decisions that their contents page, or the book's tests, do not know.
pub(super) fn incomplete_contents(files: &Files) -> Vec<Problem> {
    let mut problems = missing_from(files, "docs/adr", "docs/adr/README.md");
    problems.extend(missing_from(files, BOOK, "docs/book/SUMMARY.md"));
    problems.extend(missing_from(files, BOOK, "docs/src/lib.rs"));
    problems
}

/// Pages below `folder` that the file `index` does not name.
fn missing_from(files: &Files, folder: &str, index: &str) -> Vec<Problem> {
    let contents = files.get(index).map_or("", |file| file.text.as_str());
    let pages = files.below(folder, "md").filter(|page| {
        let is_contents = page.path.ends_with("SUMMARY.md") || page.path.ends_with("README.md");
        let name = page
            .path
            .strip_prefix(folder)
            .unwrap_or(&page.path)
            .trim_start_matches('/');
        !is_contents && !contents.contains(name)
    });
    pages
        .map(|page| page.problem(0, format!("missing from {index}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    #[test]
    fn a_path_of_one_machine_is_found_in_any_text() {
        let home = ["/ho", "me/"].concat();
        let text = format!("fine\nsee {home}ann/raft/x\n");
        let files = Files::of(&[("README.md", &text), ("b.toml", "path = \"../x\"")]);

        let problems = machine_paths(
            &files,
            &paths_of_this_machine(Path::new("/srv/checkouts/raft")),
        );

        assert_eq!(problems.len(), 1);
        assert_eq!(
            (problems[0].path.as_str(), problems[0].line),
            ("README.md", 2)
        );
    }

    #[test]
    fn the_checkout_itself_counts_but_no_plain_word() {
        let paths = |root: &str| paths_of_this_machine(Path::new(root));

        assert!(paths("/srv/checkouts/raft").contains(&"/srv/checkouts/raft/".to_owned()));
        assert!(!paths("/raft").contains(&"/raft/".to_owned()));
    }

    #[test]
    fn a_relative_path_with_such_a_name_is_fine() {
        let home = ["/ho", "me/"].concat();

        assert!(!has_path(&format!("docs{home}page.md"), &home));
        assert!(has_path(&format!("`{home}ann`"), &home));
    }

    #[test]
    fn a_link_to_a_missing_page_is_broken() {
        let project = TestDir::with(&[("docs/there.md", "")]);
        let text = "[a](there.md#x) [b](https://example.org/x.md)\n[c](gone.md) [d](#here) [e](crate::X)\n";
        let files = Files::of(&[("docs/page.md", text)]);

        let problems = broken_links(&files, project.path());

        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 2);
        assert!(problems[0].what.contains("gone.md"));
    }

    #[test]
    fn a_decision_missing_from_the_index_is_reported() {
        let files = Files::of(&[
            ("docs/adr/0001-a.md", ""),
            ("docs/adr/0002-b.md", ""),
            ("docs/adr/README.md", "[a](0001-a.md)"),
        ]);

        let problems = incomplete_contents(&files);

        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "docs/adr/0002-b.md");
    }

    #[test]
    fn a_chapter_belongs_into_the_contents_and_into_the_tests() {
        let files = Files::of(&[
            ("docs/book/a/b.md", ""),
            ("docs/book/SUMMARY.md", ""),
            ("docs/src/lib.rs", ""),
        ]);

        assert_eq!(incomplete_contents(&files).len(), 2);
    }
}
