//! A process that appends is killed at any moment; what it acknowledged is there.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use raft_core::{HardState, LogIndex, LogStore, StableState, StableStore, StoredEntry, Term};

use crate::support::{GROUP, Place, append, entry, open};

/// Set for the process that is to be killed: where its store is.
const PLACE: &str = "RAFT_STORAGE_CRASH_TEST";

/// Kills per test run.
const ROUNDS: u64 = 20;

/// Appends and now and then cuts, for ever, and prints what is acknowledged.
/// Does nothing but when started by the test below.
#[tokio::test]
async fn child_process_that_appends() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let store = open(&path);
    let (log, stable) = (store.log_store(GROUP).unwrap(), store.stable_store(GROUP));
    let mut last = log.bounds().await.unwrap().last.index.get();
    let mut term = match stable.load().await.unwrap() {
        StableState::Saved(state) => state.current_term.get(),
        _ => 0,
    };
    loop {
        term += 1;
        stable
            .save(HardState {
                current_term: Term::new(term),
                voted_for: None,
            })
            .await
            .unwrap();
        println!("term {term}");
        for _ in 0..5 {
            append(
                &log,
                None,
                vec![entry(term, last + 1), entry(term, last + 2)],
            )
            .await;
            last += 2;
            println!("entry {term} {last}");
        }
        let cut = last - 3;
        println!("cutting {cut}");
        append(&log, Some(cut), vec![entry(term, cut)]).await;
        last = cut;
        println!("entry {term} {last}");
    }
}

/// What a child has said so far.
#[derive(Default)]
struct Said {
    term: u64,
    entry: (u64, u64),
    /// A cut was begun after the last acknowledgement.
    cutting: Option<u64>,
}

impl Said {
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.filter_map(|number| number.parse().ok()).collect();
        match (word, numbers.as_slice()) {
            ("term", [term]) => self.term = *term,
            ("entry", [term, index]) => {
                self.entry = (*term, *index);
                self.cutting = None;
            }
            ("cutting", [from]) => self.cutting = Some(*from),
            _ => {}
        }
    }
}

fn run_and_kill(place: &Place, after: Duration) -> Said {
    let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args([
            "--exact",
            "--nocapture",
            "crash::child_process_that_appends",
        ])
        .env(PLACE, place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this binary starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let reader = std::thread::spawn(move || {
        let mut said = Said::default();
        lines
            .map_while(Result::ok)
            .for_each(|line| said.take(&line));
        said
    });
    std::thread::sleep(after);
    child.kill().expect("it still runs");
    child.wait().expect("it was killed");
    reader.join().expect("the reader does not panic")
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let place = Place::new();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let said = run_and_kill(&place, Duration::from_millis(60 + round * 37 % 90));
        acknowledged = acknowledged.max(said.entry.1);

        let store = place.open();
        let log = store.log_store(GROUP).unwrap();
        let last = log.bounds().await.unwrap().last;
        let (term, index) = said.entry;
        let expected_end = said.cutting.map_or(index, |cut| cut.min(index));
        assert!(
            last.index.get() >= expected_end,
            "round {round}: {last}, acknowledged {index}"
        );
        assert!(
            term == 0 || last.term.get() >= term,
            "round {round}: {last}, term {term}"
        );
        let found = log
            .read(LogIndex::new(1), last.index, usize::MAX)
            .await
            .unwrap();
        for stored in found
            .iter()
            .take(usize::try_from(last.index.get()).unwrap())
        {
            let StoredEntry::Entry(found) = stored else {
                panic!("round {round}: {stored:?}")
            };
            let expected = entry(found.term().get(), found.index().get());
            assert_eq!(*found, expected, "round {round}");
        }
        match store.stable_store(GROUP).load().await.unwrap() {
            StableState::Saved(state) => assert!(state.current_term.get() >= said.term),
            other => assert_eq!(said.term, 0, "round {round}: {other:?}"),
        }
    }
    assert!(acknowledged > 0, "no child lived long enough to append");
}
