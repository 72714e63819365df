//! The page of a run in a browser: it tries itself out, and says what came of it.
//!
//! Skipped with a word where there is no Chromium; what needs no browser is tested
//! beside the page.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail like the test")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use raft_core::testing::sim::{Plan, Report, run};

/// Names under which a browser of the right kind is installed.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// A browser that has not answered after this never will.
const LIMIT: Duration = Duration::from_secs(180);

fn browser() -> Option<&'static str> {
    let works = |name: &&&str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = BROWSERS.iter().find(works).copied();
    if found.is_none() {
        // Past the test runner, which keeps what a test that passes prints.
        let words = b"\nskipped: no Chromium here, so the page of a run is not tried out\n";
        std::io::stderr().write_all(words).unwrap();
    }
    found
}

/// What the page notes about itself in a browser: nothing if its script does not run.
fn facts_of(browser: &str, name: &str, page: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("page.html");
    std::fs::write(&file, page).unwrap();
    let child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--virtual-time-budget=20000", "--window-size=1600,1000"])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("file://{}#selftest", file.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let document = output_of(child);
    let results = document.split_once("<pre id=\"selftest-results\"");
    let results = results.and_then(|(_, rest)| rest.split_once('>'));
    let results = results.and_then(|(_, rest)| rest.split_once("</pre>"));
    let (results, _) = results.expect("the page has a place for the results");
    let facts = results.lines().filter_map(|line| line.split_once(": "));
    facts
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn output_of(mut child: Child) -> String {
    let mut pipe = child.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let read = pipe.read_to_string(&mut text);
        // Nobody listens any more if the time is over.
        let _ = sender.send(read.map(|_| text));
    });
    let answer = receiver.recv_timeout(LIMIT);
    let _ = child.kill();
    child.wait().unwrap();
    reader.join().unwrap();
    answer.expect("the browser answers in time").unwrap()
}

fn recorded(seed: u64, plan: Plan) -> Report {
    run(
        seed,
        Plan {
            record: true,
            ..plan
        },
    )
}

fn number(facts: &BTreeMap<String, String>, name: &str) -> f64 {
    let value = facts.get(name);
    let value = value.unwrap_or_else(|| panic!("no {name:?} in {facts:?}"));
    value.parse().unwrap()
}

#[test]
fn a_page_shows_nodes_messages_and_logs_and_obeys_its_controls() {
    let Some(browser) = browser() else { return };
    let page = recorded(42, Plan::default()).page().unwrap();

    let facts = facts_of(browser, "whole", &page);

    assert!(!facts.contains_key("error"), "{facts:?}");
    assert_eq!(
        facts.get("done").map(String::as_str),
        Some("true"),
        "{facts:?}"
    );
    let fact = |name| number(&facts, name);
    assert!(fact("nodes") >= 3.0);
    assert_eq!(fact("lanes"), fact("nodes"));
    assert_eq!(fact("rows of nodes"), fact("nodes"));
    assert!(fact("arrows") > 10.0);
    assert!(fact("arrows without one kind") < fact("arrows"));
    assert!(fact("arrows of one node") < fact("arrows"));
    assert_eq!(fact("zoom"), 0.5);
    assert_eq!(fact("drawn or said"), fact("messages"));
    assert_eq!(fact("opens at"), fact("first leader at"));
    assert!(fact("log boxes") > 0.0 && fact("boxes at the end") > 20.0);
    assert!(fact("lines around") > 20.0 && fact("found") > 100.0);
    for name in ["leader is in view", "all", "click selects"] {
        assert_eq!(facts[name], "true", "{name}");
    }
    assert!(facts["selected"].starts_with("append_entries"));
    assert_eq!(facts["verdict"], "none");
}

#[test]
fn the_page_of_a_violation_opens_there_with_its_words() {
    let Some(browser) = browser() else { return };
    // No group is whole again in no time at all.
    let plan = Plan {
        liveness_bound: Duration::ZERO,
        ..Plan::default()
    };
    let report = recorded(3, plan);
    let violation = report.violation.clone().unwrap();

    let facts = facts_of(browser, "violation", &report.page().unwrap());

    assert_eq!(
        facts.get("done").map(String::as_str),
        Some("true"),
        "{facts:?}"
    );
    assert_eq!(number(&facts, "opens at"), number(&facts, "ends"));
    assert_eq!(number(&facts, "violation at"), number(&facts, "ends"));
    let verdict = &facts["verdict"];
    assert!(verdict.contains(violation.property), "{verdict}");
    assert!(verdict.contains(&violation.reason), "{verdict}");
}

/// What the other tests ask for is not there if the script breaks.
#[test]
fn a_script_that_breaks_is_noticed() {
    let Some(browser) = browser() else { return };
    let page = recorded(3, Plan::default()).page().unwrap();
    let at_start = page.replace("const BUCKET = 2;", "const BUCKET = missing;");
    let later = page.replace("function drawEnd(", "function drawNothing(");
    assert!(at_start != page && later != page);

    assert!(!facts_of(browser, "broken", &at_start).contains_key("done"));
    let facts = facts_of(browser, "broken-later", &later);
    assert!(!facts.contains_key("done"), "{facts:?}");
}
