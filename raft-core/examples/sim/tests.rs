//! How the command ends, and what it says of itself.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;

/// Text that somebody reads to its end.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_owned)
}

/// The status to these words, and what was written to standard output.
fn answered(line: &str) -> (u8, String) {
    let kept = Kept::default();
    let status = answer(words(line), &Output::to(kept.clone()));
    let bytes = kept.0.lock().unwrap().clone();
    (status, String::from_utf8(bytes).unwrap())
}

fn refusal(line: &str) -> String {
    parse(words(line)).err().unwrap_or_default()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sim-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

const SHORT: &str = "--plan lite --seeds 1 --seed 3 --fault-time 100";

#[test]
fn who_stops_reading_changes_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let line = format!("{SHORT} --trace");
    assert_eq!(answer(words(&line), &Output::to(writer)), SOUND);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_makes_the_run_invalid() {
    for line in [SHORT, "--help"] {
        let full = std::fs::File::create("/dev/full").unwrap();
        assert_eq!(answer(words(line), &Output::to(full)), INVALID, "{line}");
    }
}

#[test]
fn numbers_that_no_run_can_have_are_refused_with_their_limit() {
    let refused = refusal("--seed 1 --fault-time 18446744073709551000");
    assert!(refused.contains("86400000 at most"), "{refused}");
    let refused = refusal("--minutes 9999999999999999");
    assert!(refused.contains("525600 at most"), "{refused}");
    for nothing in ["--minutes 0", "--seeds 0"] {
        assert!(refusal(nothing).contains("say nothing"), "{nothing}");
    }
}

#[test]
fn what_is_refused_makes_the_run_invalid() {
    for line in ["--seeds", "--plan none", "--trace x.html", "--seeds 0"] {
        assert_eq!(answered(line).0, INVALID, "{line}");
    }
}

#[test]
fn one_file_is_not_written_twice() {
    let folder = folder("twice");
    let page = folder.join("a.html");
    for actions in [page.clone(), folder.join(".").join("a.html")] {
        let line = format!("{SHORT} --trace {} --actions", page.display());
        let refused = refusal(&format!("{line} {}", actions.display()));
        assert!(refused.contains("a file of its own"), "{refused}");
    }
    let refused = refusal(&format!("{SHORT} --trace a.html --actions ./a.html"));
    assert!(refused.contains("a file of its own"), "{refused}");
    let apart = format!("{SHORT} --trace a.html --actions a.json");
    assert_eq!(refusal(&apart), "");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_cannot_be_written_makes_the_run_invalid_and_stands_in_the_report() {
    let folder = folder("unwritten");
    let page = folder.join("no-such-folder/a.html");
    let actions = folder.join("no-such-folder/a.json");
    let (page, actions) = (page.display(), actions.display());
    let line = format!("{SHORT} --json --trace {page} --actions {actions}");
    let (status, report) = answered(&line);
    assert_eq!(status, INVALID);
    let listed = report.split("\"unwritten\":[").nth(1).unwrap();
    assert!(listed.contains("a.html") && listed.contains("a.json"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_seed_that_went_two_ways_stands_in_the_report() {
    let options = parse(words(SHORT)).unwrap().unwrap();
    let results = Results {
        undetermined: vec![3, 500],
        ..Results::default()
    };
    let report = summary::json(&options, &results, &[]);
    assert!(report.contains("\"undetermined\":[3,500]"), "{report}");
    assert_eq!(verdict(&results, &[]), INVALID);
}

#[test]
fn a_sound_run_says_so() {
    let (status, report) = answered(&format!("{SHORT} --json"));
    assert_eq!(status, SOUND);
    let nothing = "\"undetermined\":[],\"unwritten\":[],\"violations\":[]}\n";
    assert!(report.ends_with(nothing), "{report}");
}
