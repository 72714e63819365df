//! Tests a state machine and a store of one's own with the kit, the right ones and
//! ones that are wrong in ways that ordinary tests seldom show.
//!
//! `cargo run -p raft-core --features testing --example test_your_own` shows what the
//! kit says; the tests at the end are what belongs into a project.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft_core::testing::conformance::files::FileHarness;
use raft_core::testing::conformance::stable_store;
use raft_core::testing::conformance::state_machine::StateMachineHarness;
use raft_core::testing::files::Directory;
use raft_core::testing::sim;
use raft_core::{
    AppliedState, CheckpointTask, HardState, Incarnation, LogIndex, LogSlice, Payload, ReplicaId,
    SavedVote, Snapshot, SnapshotMeta, SnapshotReader, StableState, StableStore, StateMachine,
    StorageError, Term, async_trait,
};

// ---- A state machine: counts words, and answers which is the most frequent.

/// What it does when two words are equally frequent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ties {
    /// The first in the alphabet is the answer.
    ByName,
    /// Whichever comes last out of the hash map: another one on each replica.
    AsTheyCome,
}

#[derive(Clone, Default)]
struct Counts {
    at: AppliedState,
    words: HashMap<String, u64>,
}

impl Counts {
    fn most_frequent(&self, ties: Ties) -> Bytes {
        let words = self.words.iter();
        let found = match ties {
            Ties::ByName => words.max_by(|(a, m), (b, n)| m.cmp(n).then(b.cmp(a))),
            Ties::AsTheyCome => words.max_by_key(|(_, count)| **count),
        };
        found
            .map(|(word, _)| word.clone().into())
            .unwrap_or_default()
    }

    fn lines(&self) -> String {
        let mut lines: Vec<_> = self
            .words
            .iter()
            .map(|(w, n)| format!("{n} {w}\n"))
            .collect();
        lines.sort();
        lines.concat()
    }

    fn parse(lines: &str) -> Option<HashMap<String, u64>> {
        let parse = |line: &str| {
            let (count, word) = line.split_once(' ')?;
            Some((word.to_owned(), count.parse().ok()?))
        };
        lines.lines().map(parse).collect()
    }
}

/// In memory; a checkpoint puts it where a crash leaves it. A file would do.
struct WordCount {
    ties: Ties,
    counts: Counts,
    saved: Arc<Mutex<Counts>>,
}

fn lock(saved: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    saved.lock().expect("no holder of this lock panics")
}

#[async_trait]
impl StateMachine for WordCount {
    async fn applied(&mut self) -> Result<AppliedState, StorageError> {
        Ok(self.counts.at.clone())
    }

    async fn apply(&mut self, entries: LogSlice) -> Result<Vec<Bytes>, StorageError> {
        let mut responses = Vec::with_capacity(entries.len());
        for entry in entries.entries() {
            self.counts.at.last_applied = entry.log_id;
            responses.push(match &entry.payload {
                Payload::Command { data, .. } => {
                    let word = String::from_utf8_lossy(data).into_owned();
                    *self.counts.words.entry(word).or_default() += 1;
                    self.counts.most_frequent(self.ties)
                }
                Payload::Membership(membership) => {
                    self.counts.at.membership = Some(membership.as_ref().clone());
                    Bytes::new()
                }
                Payload::Blank => Bytes::new(),
            });
        }
        Ok(responses)
    }

    fn durable_applied(&self) -> LogIndex {
        lock(&self.saved).at.last_applied.index
    }

    async fn checkpoint(&mut self) -> Result<CheckpointTask, StorageError> {
        let (counts, saved) = (self.counts.clone(), Arc::clone(&self.saved));
        Ok(Box::pin(async move {
            let durable = counts.at.last_applied.index;
            *lock(&saved) = counts;
            Ok(durable)
        }))
    }

    async fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let at = self.counts.at.clone();
        let meta = SnapshotMeta {
            last_included: at.last_applied,
            membership: at.membership.unwrap_or_default(),
        };
        let reader = Box::new(Whole(Some(self.counts.lines().into())));
        Ok(Snapshot { meta, reader })
    }

    async fn restore(
        &mut self,
        meta: SnapshotMeta,
        mut reader: Box<dyn SnapshotReader>,
    ) -> Result<(), StorageError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        let words = Counts::parse(&String::from_utf8_lossy(&bytes));
        let words = words.ok_or_else(|| StorageError::Corrupt {
            what: "a snapshot of words".into(),
            reason: "a line is no count and word".into(),
        })?;
        // Nothing has changed up to here: a stream that breaks leaves the old state.
        self.counts.words = words;
        self.counts.at = AppliedState {
            last_applied: meta.last_included,
            membership: Some(meta.membership),
        };
        *lock(&self.saved) = self.counts.clone();
        Ok(())
    }
}

/// All bytes in one chunk, which must not exceed 1 MiB.
struct Whole(Option<Bytes>);

#[async_trait]
impl SnapshotReader for Whole {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.take())
    }
}

/// How the kit handles it.
struct Words {
    ties: Ties,
    saved: Arc<Mutex<Counts>>,
}

fn words(ties: Ties) -> Words {
    let saved = Arc::default();
    Words { ties, saved }
}

#[async_trait]
impl StateMachineHarness for Words {
    type Machine = WordCount;

    async fn open(&mut self) -> WordCount {
        WordCount {
            ties: self.ties,
            counts: lock(&self.saved).clone(),
            saved: Arc::clone(&self.saved),
        }
    }

    async fn crash(&mut self, _machine: WordCount) {}

    fn another(&self) -> Self {
        words(self.ties)
    }

    fn command(&self, number: u64) -> Bytes {
        format!("word {}", number % 5).into()
    }

    async fn contents(&mut self, machine: &mut WordCount) -> Vec<u8> {
        machine.counts.lines().into()
    }
}

// ---- A vote store: one file, replaced by a new one.

/// What the store needs of a file system, so that the kit can stand in for it.
trait Files: Send + Sync + 'static {
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, name: &str) -> io::Result<()>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn sync_directory(&self) -> io::Result<()>;
}

/// The file system itself.
struct Real(PathBuf);

impl Files for Real {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        File::create(self.0.join(name))?.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Files for Directory {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Self::read(self, name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        Self::write_at(self, name, 0, bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        Self::sync(self, name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Self::rename(self, from, to)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Self::sync_directory(self)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Syncs {
    Always,
    /// "The rename makes it durable", it does not.
    Never,
}

struct VoteFile<F> {
    files: F,
    syncs: Syncs,
    has_failed: Mutex<bool>,
}

impl<F: Files> VoteFile<F> {
    fn new(files: F, syncs: Syncs) -> Self {
        let has_failed = Mutex::new(false);
        Self {
            files,
            syncs,
            has_failed,
        }
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        self.files.write("vote.new", bytes)?;
        if self.syncs == Syncs::Always {
            self.files.sync("vote.new")?;
        }
        self.files.rename("vote.new", "vote")?;
        self.files.sync_directory()
    }
}

#[async_trait]
impl<F: Files> StableStore for VoteFile<F> {
    async fn load(&self) -> Result<StableState, StorageError> {
        match self.files.read("vote") {
            Ok(bytes) => Ok(decode(&bytes).map_or_else(lost, StableState::Saved)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(StableState::Empty),
            Err(error) => Err(StorageError::io("reading the vote", error)),
        }
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        let mut has_failed = self.has_failed.lock().expect("no holder panics");
        if *has_failed {
            return Err(StorageError::Closed);
        }
        let replaced = self.replace(&encode(vote));
        *has_failed = replaced.is_err();
        replaced.map_err(|error| StorageError::io("saving the vote", error))
    }
}

fn lost() -> StableState {
    StableState::Lost {
        incarnation: None,
        reason: "the file does not end in its checksum".into(),
    }
}

fn encode(vote: SavedVote) -> Vec<u8> {
    let (term, voted_for) = (vote.hard_state.current_term, vote.hard_state.voted_for);
    let node = voted_for.map_or(0, |voted| voted.node.get());
    let its_life = voted_for.map_or(0, |voted| voted.incarnation.get());
    let is_some = u64::from(voted_for.is_some());
    let numbers = [vote.incarnation.get(), term.get(), is_some, node, its_life];
    let mut bytes = numbers.map(u64::to_be_bytes).concat();
    bytes.extend(checksum(&bytes).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<SavedVote> {
    let words = bytes
        .chunks(8)
        .map(|word| Some(u64::from_be_bytes(word.try_into().ok()?)));
    let words: Vec<u64> = words.collect::<Option<_>>()?;
    let [incarnation, term, is_some, node, its_life, sum] = words[..] else {
        return None;
    };
    let voted_for = ReplicaId {
        node: node.into(),
        incarnation: Incarnation::new(its_life),
    };
    let hard_state = HardState {
        current_term: Term::new(term),
        voted_for: (is_some == 1).then_some(voted_for),
    };
    let incarnation = Incarnation::new(incarnation);
    (sum == checksum(&bytes[..40])).then_some(SavedVote {
        incarnation,
        hard_state,
    })
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// How the kit handles it.
fn votes(syncs: Syncs) -> FileHarness<VoteFile<Directory>> {
    let open = move |directory| async move { VoteFile::new(directory, syncs) };
    FileHarness::new(7, open).losing(|disk| disk.flip("vote", 3))
}

fn main() {
    // A failed check panics with its words, which are printed below.
    std::panic::set_hook(Box::new(|_| {}));
    let right = sim::check_state_machine(&words(Ties::ByName), 0..20);
    let seen = right.machine.values().sum::<u64>();
    println!("the state machine that breaks ties by name: right, after {seen} calls and crashes");
    let violation = (0..20).find_map(|seed| {
        let report = sim::run_with(seed, sim::Plan::default(), &words(Ties::AsTheyCome));
        report.violation
    });
    if let Some(violation) = violation {
        println!("the one that asks a HashMap: {violation}");
    }
    // In production the store has a real directory under it.
    let real = VoteFile::new(Real(std::env::temp_dir()), Syncs::Always);
    let found = block_on(real.load()).expect("a directory for temporary files can be read");
    println!("the vote store in a real directory: {found:?}");
    for syncs in [Syncs::Always, Syncs::Never] {
        match saves_survive(syncs) {
            Ok(()) => println!("the vote store that syncs {syncs:?}: right"),
            Err(words) => println!("the vote store that syncs {syncs:?}: {words}"),
        }
    }
}

fn block_on<F: Future>(call: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers can be had");
    runtime.block_on(call)
}

/// Has one duty checked, as the tests below have all of them.
fn saves_survive(syncs: Syncs) -> Result<(), String> {
    let mut harness = votes(syncs);
    let check = stable_store::a_save_survives_a_crash(&mut harness);
    let checked = catch_unwind(AssertUnwindSafe(|| block_on(check)));
    checked.map_err(|panic| {
        let words = panic.downcast_ref::<String>();
        words.map_or_else(|| "a panic without words".to_owned(), Clone::clone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    raft_core::state_machine_conformance!(words(Ties::ByName));
    raft_core::stable_store_conformance!(votes(Syncs::Always));

    #[test]
    fn my_state_machine_holds_under_faults() {
        sim::check_state_machine(&words(Ties::ByName), 0..20);
    }

    #[test]
    #[should_panic(expected = "breaks duty 1, deterministic: the answer to the entry at ")]
    fn an_answer_in_the_order_of_a_hash_map_is_caught() {
        sim::check_state_machine(&words(Ties::AsTheyCome), 0..20);
    }

    #[tokio::test]
    #[should_panic(expected = "duty 1, durable before return")]
    async fn a_save_without_a_sync_is_caught() {
        stable_store::a_save_survives_a_crash(&mut votes(Syncs::Never)).await;
    }

    #[tokio::test]
    async fn the_same_store_works_on_real_files() {
        let place = std::env::temp_dir().join(format!("test-your-own-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let vote = SavedVote {
            incarnation: Incarnation::new(0),
            hard_state: HardState {
                current_term: Term::new(3),
                voted_for: Some(ReplicaId::first(2)),
            },
        };

        let store = VoteFile::new(Real(place.clone()), Syncs::Always);
        store.save(vote).await.unwrap();

        let again = VoteFile::new(Real(place.clone()), Syncs::Always);
        assert_eq!(again.load().await.unwrap(), StableState::Saved(vote));
        fs::remove_dir_all(place).unwrap();
    }
}
