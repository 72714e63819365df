//! A process that writes is killed at any moment; what it acknowledged is there,
//! and of the write under way all or nothing.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use raft_core::{LogId, LogIndex, LogStore, StableState, StableStore};
use raft_storage_rocks::{RocksOptions, RocksStore};

use crate::support::{GROUP, Place, append, entry, identity, vote_of};

/// Set for the process that is to be killed: where its store is.
const PLACE: &str = "RAFT_STORAGE_CRASH_TEST";

/// Set for one that does not sync what it writes.
const UNSYNCED: &str = "RAFT_STORAGE_CRASH_UNSYNCED";

/// Kills per test run, unless `RAFT_STORAGE_KILLS` says how many.
const ROUNDS: usize = 60;

fn rounds() -> usize {
    std::env::var("RAFT_STORAGE_KILLS").map_or(ROUNDS, |count| count.parse().unwrap())
}

/// One write, as the child names it before it makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    Vote { term: u64 },
    Append { first: u64, term: u64, count: u64 },
    Purge { term: u64, index: u64 },
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vote { term } => write!(f, "vote {term}"),
            Self::Append { first, term, count } => write!(f, "append {first} {term} {count}"),
            Self::Purge { term, index } => write!(f, "purge {term} {index}"),
        }
    }
}

impl Write {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let numbers: Vec<u64> = words.map_while(|number| number.parse().ok()).collect();
        match (word, numbers.as_slice()) {
            ("vote", &[term]) => Some(Self::Vote { term }),
            ("append", &[first, term, count]) => Some(Self::Append { first, term, count }),
            ("purge", &[term, index]) => Some(Self::Purge { term, index }),
            _ => None,
        }
    }
}

/// What a store holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Content {
    pub(crate) term: u64,
    purged: LogId,
    ids: Vec<LogId>,
}

impl Content {
    pub(crate) async fn of(store: &RocksStore) -> Self {
        let log = store.log_store(GROUP).unwrap();
        let bounds = log.bounds().await.unwrap();
        let first = bounds.purged.index.next();
        let metadata = log.metadata(first, bounds.last.index).await.unwrap();
        let vote = store.stable_store(GROUP).load().await.unwrap();
        Self {
            term: match vote {
                StableState::Saved(vote) => vote.hard_state.current_term.get(),
                StableState::Empty => 0,
                lost => panic!("{lost:?}"),
            },
            purged: bounds.purged,
            ids: metadata.into_iter().map(|meta| meta.log_id).collect(),
        }
    }

    fn last(&self) -> LogId {
        self.ids.last().copied().unwrap_or(self.purged)
    }

    fn take(&mut self, write: Write) {
        match write {
            Write::Vote { term } => self.term = term,
            Write::Append { first, term, count } => {
                self.ids.retain(|id| id.index.get() < first);
                let run = first..first + count;
                self.ids.extend(run.map(|index| LogId::new(term, index)));
            }
            Write::Purge { term, index } => {
                self.ids.retain(|id| id.index.get() > index);
                self.purged = LogId::new(term, index);
            }
        }
    }

    /// The child's next write: mostly appends, now and then something else.
    fn next_write(&self, number: u64) -> Write {
        let (term, end) = (self.term, self.last().index.get() + 1);
        match (number % 11, self.ids.as_slice()) {
            (0, _) => Write::Vote { term: term + 1 },
            (4 | 9, [.., first, _, _]) => Write::Append {
                first: first.index.get(),
                term,
                count: number % 3 + 1,
            },
            (6, [id, _, _, _, ..]) => Write::Purge {
                term: id.term.get(),
                index: id.index.get(),
            },
            _ => Write::Append {
                first: end,
                term,
                count: number % 4 + 1,
            },
        }
    }
}

async fn perform(store: &RocksStore, write: Write) {
    let log = store.log_store(GROUP).unwrap();
    match write {
        Write::Vote { term } => {
            let stable = store.stable_store(GROUP);
            stable.save(vote_of(0, term)).await.unwrap();
        }
        Write::Append { first, term, count } => {
            let run = (first..first + count).map(|index| entry(term, index));
            append(&log, Some(first), run.collect()).await;
        }
        Write::Purge { term, index } => log.purge(LogId::new(term, index)).await.unwrap(),
    }
}

/// Writes for ever, naming each write before it and saying when it is done.
/// Does nothing but when started by the test below.
#[tokio::test(flavor = "multi_thread")]
async fn child_process_that_writes() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let options = RocksOptions {
        sync: std::env::var_os(UNSYNCED).is_none(),
        // Either way about as often.
        writes_in_place: std::process::id().is_multiple_of(2),
        ..RocksOptions::default()
    };
    let store = RocksStore::open(&path, &options, identity(1, 1)).unwrap();
    let mut content = Content::of(&store).await;
    println!();
    for number in 0.. {
        let write = content.next_write(number);
        println!("{write}");
        perform(&store, write).await;
        println!("done");
        content.take(write);
    }
}

/// Runs a child until it has said `lines` lines, has `kill` end it, and follows what it
/// said. Answers the write that was under way.
pub(crate) fn run_and_kill(
    path: &Path,
    is_synced: bool,
    lines: usize,
    content: &mut Content,
    mut kill: impl FnMut(&mut Child),
) -> Option<Write> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "crash::child_process_that_writes"])
        .env(PLACE, path)
        .envs((!is_synced).then_some((UNSYNCED, "1")))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut under_way = None;
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    // It goes on while its words are read: what comes after the last of `lines`
    // was said before the kill, too.
    for (number, line) in said.map_while(Result::ok).enumerate() {
        if number == lines {
            kill(&mut child);
        }
        match Write::parse(&line) {
            Some(write) => under_way = Some(write),
            None if line == "done" => {
                content.take(under_way.take().expect("it names a write before"));
            }
            None => {}
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    under_way
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let place = Place::new();
    let mut content = Content::default();
    for round in 0..rounds() {
        let lines = 10 + round * 37 % 90;
        let kill = |child: &mut Child| child.kill().unwrap();
        let under_way = run_and_kill(&place.path(), true, lines, &mut content, kill);
        content = check(&place.open(), content, under_way).await;
    }
    assert!(
        content.term as usize >= rounds(),
        "the children wrote little"
    );
}

/// What was acknowledged is there, and of what was under way all or nothing. Answers what
/// is there.
pub(crate) async fn check(
    store: &RocksStore,
    acknowledged: Content,
    under_way: Option<Write>,
) -> Content {
    let found = Content::of(store).await;
    let mut with_it = acknowledged.clone();
    under_way.into_iter().for_each(|write| with_it.take(write));
    assert!(
        found == acknowledged || found == with_it,
        "{under_way:?} under way\nfound        {found:?}\nacknowledged {acknowledged:?}"
    );
    assert_readable(store, &found).await;
    found
}

/// Every entry reads as what was written under its identity.
async fn assert_readable(store: &RocksStore, content: &Content) {
    let log = store.log_store(GROUP).unwrap();
    let first: LogIndex = content.purged.index.next();
    let found = log.read(first, content.last().index, usize::MAX).await;
    let expected = content.ids.iter();
    let expected = expected.map(|id| entry(id.term.get(), id.index.get()));
    let expected: Vec<_> = expected.map(raft_core::StoredEntry::Entry).collect();
    assert_eq!(found.unwrap(), expected);
}
