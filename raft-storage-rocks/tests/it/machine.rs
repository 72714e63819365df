//! State machines on RocksDB, with an application that counts words.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use raft_core::testing::conformance::state_machine::StateMachineHarness;
use raft_core::{
    Entry, LogId, LogIndex, LogSlice, Membership, Payload, RequestId, SnapshotMeta, SnapshotReader,
    StateMachine, StorageError, async_trait,
};
use raft_storage_rocks::machine::{
    Application, Changes, MAX_RECORD_BYTES, MachineOptions, Moment, RocksMachine, StateReader,
};
use tempfile::TempDir;

use crate::image::copy_moment;

const WORDS: &str = "words";

/// How often each command came; the command `nonsense` is answered so, and `long` writes
/// more than it may.
struct Counter {
    format: &'static str,
    families: &'static [&'static str],
    /// What a word that only a newer version counts begins with.
    too_new: Option<u8>,
}

const COUNTER: Counter = Counter {
    format: "counter 1",
    families: &[WORDS],
    too_new: Some(b'2'),
};

impl Application for Counter {
    fn format(&self) -> &'static str {
        self.format
    }

    fn families(&self) -> &'static [&'static str] {
        self.families
    }

    fn check_version(&self, command: &[u8]) -> Result<(), String> {
        match command.first().copied() {
            version if version.is_some() && version == self.too_new => Err("it is new".to_owned()),
            _ => Ok(()),
        }
    }

    fn apply(
        &self,
        before: &Moment<'_>,
        commands: &[Bytes],
        changes: &mut Changes<'_>,
    ) -> Result<Vec<Bytes>, StorageError> {
        let mut counts = std::collections::BTreeMap::new();
        let mut responses = Vec::new();
        for word in commands {
            if &**word == b"long" {
                let refused = changes.put(WORDS, word, vec![0; MAX_RECORD_BYTES]);
                responses.push(Bytes::from(refused.unwrap_err().to_string()));
                continue;
            }
            let stored = count(before, word)?;
            let count = counts.entry(word).or_insert(stored);
            *count += 1;
            changes.put(WORDS, word, count.to_be_bytes())?;
            responses.push(Bytes::from(count.to_string()));
        }
        if commands.iter().any(|word| &**word == b"nonsense") {
            responses.pop();
        }
        Ok(responses)
    }
}

fn count(moment: &Moment<'_>, word: &[u8]) -> Result<u64, StorageError> {
    let bytes = moment.get(WORDS, word)?;
    Ok(bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap())))
}

fn never_flushing() -> MachineOptions {
    MachineOptions {
        flush_interval: Duration::from_secs(24 * 3600),
        ..MachineOptions::default()
    }
}

fn open(path: &Path) -> RocksMachine<Counter> {
    RocksMachine::open(path, COUNTER, &never_flushing()).unwrap()
}

fn words(first_index: u64, words: &[&'static str]) -> LogSlice {
    let entry = |(index, word): (u64, &&'static str)| {
        let id = LogId::new(1, index);
        Entry::command(
            id,
            RequestId::default(),
            Bytes::from_static(word.as_bytes()),
        )
    };
    LogSlice::new((first_index..).zip(words).map(entry).collect()).unwrap()
}

fn counted(reader: &StateReader, word: &str) -> u64 {
    reader
        .read(|moment| count(moment, word.as_bytes()))
        .unwrap()
}

async fn bytes_of(machine: &mut RocksMachine<Counter>) -> (SnapshotMeta, Vec<u8>) {
    let mut snapshot = machine.snapshot().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = snapshot.reader.next_chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    (snapshot.meta, bytes)
}

struct OneChunk(Option<Bytes>);

#[async_trait]
impl SnapshotReader for OneChunk {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.take())
    }
}

fn stream(bytes: Vec<u8>) -> Box<OneChunk> {
    Box::new(OneChunk(Some(bytes.into())))
}

mod duties {
    use super::*;

    raft_core::state_machine_conformance!(Harness::new());

    /// A directory that a crash replaces by a copy of its files.
    struct Harness {
        directory: TempDir,
        reader: Option<StateReader>,
    }

    impl Harness {
        fn new() -> Self {
            Self {
                directory: TempDir::new().unwrap(),
                reader: None,
            }
        }
    }

    #[async_trait]
    impl StateMachineHarness for Harness {
        type Machine = RocksMachine<Counter>;

        async fn open(&mut self) -> RocksMachine<Counter> {
            let machine = open(self.directory.path());
            self.reader = Some(machine.reader());
            machine
        }

        async fn crash(&mut self, machine: RocksMachine<Counter>) {
            let copy = TempDir::new().unwrap();
            copy_moment(self.directory.path(), copy.path());
            // Dropped after the copy: what it still flushes is in nobody's way.
            drop((machine, self.reader.take()));
            self.directory = copy;
        }

        fn another(&self) -> Self {
            Self::new()
        }

        fn command(&self, number: u64) -> Bytes {
            format!("word {}", number % 5).into()
        }

        async fn contents(&mut self, _machine: &mut RocksMachine<Counter>) -> Vec<u8> {
            let reader = self.reader.as_ref().unwrap();
            let counts = (0..5).map(|n| counted(reader, &format!("word {n}")));
            let sum = reader.checksum().unwrap();
            format!("{:?} {sum}", counts.collect::<Vec<_>>()).into_bytes()
        }
    }
}

#[tokio::test]
async fn responses_stand_where_their_commands_stood() {
    let directory = TempDir::new().unwrap();
    let mut machine = open(directory.path());
    let membership = Membership::of_ids([1, 2]);
    let mut entries = words(1, &["a", "b", "a", "a"]).into_entries();
    entries[0].payload = Payload::Blank;
    entries[2].payload = Payload::Membership(Box::new(membership.clone()));

    let responses = machine.apply(LogSlice::new(entries).unwrap()).await;

    assert_eq!(responses.unwrap(), ["", "1", "", "1"]);
    let applied = machine.reader().applied();
    assert_eq!(applied.last_applied, LogId::new(1, 4));
    assert_eq!(applied.membership, Some(membership));
}

#[tokio::test]
async fn too_few_responses_are_refused_and_nothing_is_applied() {
    let directory = TempDir::new().unwrap();
    let mut machine = open(directory.path());

    let refused = machine.apply(words(1, &["a", "nonsense"])).await;

    let Err(StorageError::Misuse { reason }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("2 commands with 1 responses"), "{reason}");
    assert_eq!(machine.reader().applied().last_applied, LogId::ZERO);
    assert_eq!(counted(&machine.reader(), "a"), 0);
    assert_eq!(machine.apply(words(1, &["a"])).await.unwrap(), ["1"]);
}

/// Had it passed over the command, it would count one less than the others for ever.
#[tokio::test]
async fn a_command_of_a_newer_version_is_applied_by_that_version_and_not_passed_over() {
    let directory = TempDir::new().unwrap();
    let mut machine = open(directory.path());
    machine.apply(words(1, &["a"])).await.unwrap();

    let refused = machine.apply(words(2, &["a", "2 new", "a"])).await;

    let error = refused.unwrap_err();
    assert!(matches!(error, StorageError::UnknownVersion { .. }));
    assert_eq!(
        error.to_string(),
        "the command of entry t1/i3 is of a version that this program does not know: it is new"
    );
    assert_eq!(machine.reader().applied().last_applied, LogId::new(1, 1));
    assert_eq!(counted(&machine.reader(), "a"), 1);

    drop(machine);
    let newer = Counter {
        too_new: None,
        ..COUNTER
    };
    let mut machine = RocksMachine::open(directory.path(), newer, &never_flushing()).unwrap();
    let responses = machine.apply(words(2, &["a", "2 new", "a"])).await;
    assert_eq!(responses.unwrap(), ["2", "1", "3"]);
}

#[tokio::test]
async fn a_record_that_no_snapshot_could_restore_is_refused_where_it_is_written() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut machine = open(from.path());

    let responses = machine.apply(words(1, &["a", "long", "a"])).await.unwrap();

    let refused = "a record of 268435460 bytes, at most 268435456 can be restored from a snapshot";
    assert_eq!(responses, ["1", refused, "2"]);
    let (meta, bytes) = bytes_of(&mut machine).await;
    let mut other = open(to.path());
    other.restore(meta, stream(bytes)).await.unwrap();
    assert_eq!(counted(&other.reader(), "a"), 2);
    assert_eq!(counted(&other.reader(), "long"), 0);
}

#[tokio::test]
async fn a_snapshot_of_another_application_is_refused_and_both_are_named() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut machine = open(ours.path());
    machine.apply(words(1, &["a"])).await.unwrap();
    let application = Counter {
        format: "counter 2",
        ..COUNTER
    };
    let mut other = RocksMachine::open(theirs.path(), application, &never_flushing()).unwrap();
    let (meta, bytes) = bytes_of(&mut machine).await;

    let refused = other.restore(meta, stream(bytes)).await.unwrap_err();

    let text = refused.to_string();
    assert!(
        text.contains("counter 1") && text.contains("counter 2"),
        "{text}"
    );
}

/// A founding member knows the membership without an entry of the log that says it.
#[tokio::test]
async fn replicas_that_stand_at_the_same_entry_have_the_same_checksum() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut machine = open(from.path());
    machine.apply(words(1, &["a", "b"])).await.unwrap();
    let (mut meta, bytes) = bytes_of(&mut machine).await;
    meta.membership = Membership::of_ids([1, 2, 3]);

    let mut other = open(to.path());
    other.restore(meta, stream(bytes)).await.unwrap();

    let (ours, theirs) = (machine.reader(), other.reader());
    assert_ne!(ours.applied().membership, theirs.applied().membership);
    assert_eq!(ours.checksum().unwrap(), theirs.checksum().unwrap());
    machine.apply(words(3, &["b"])).await.unwrap();
    assert_ne!(ours.checksum().unwrap(), theirs.checksum().unwrap());
}

/// Removing a database takes the disk, and a thread of the runtime has others to serve.
#[test]
fn a_restore_that_is_called_off_is_removed_where_blocking_is_allowed() {
    let directory = TempDir::new().unwrap();
    let begun = directory.path().join("state-2");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // What comes while it is busy waits.
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let mut machine = open(directory.path());
        let (asked, was_asked) = tokio::sync::oneshot::channel();
        let reader = Box::new(NothingComes(Some(asked)));
        let mut restoring = machine.restore(SnapshotMeta::default(), reader);
        tokio::select! {
            _ = &mut restoring => panic!("nothing comes"),
            asked = was_asked => asked.unwrap(),
        }
        let (release, released) = std::sync::mpsc::channel();
        let busy = tokio::task::spawn_blocking(move || released.recv());

        drop(restoring);

        assert!(begun.exists(), "it was removed by this thread");
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(!begun.exists(), "it is still there");
    });
}

/// Says when it is asked, and has no answer.
struct NothingComes(Option<tokio::sync::oneshot::Sender<()>>);

#[async_trait]
impl SnapshotReader for NothingComes {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        self.0.take().unwrap().send(()).unwrap();
        std::future::pending().await
    }
}

/// The stream holds the records as they lie in the database, so it pins both.
/// `UPDATE_EXPECT=1` writes the file anew; a change means that existing states and
/// snapshots are not read any more.
#[tokio::test]
async fn states_and_snapshots_keep_their_bytes() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut machine = open(from.path());
    let mut entries = words(1, &["", "a", "b", "a"]).into_entries();
    entries[0].payload = Payload::Membership(Box::new(Membership::of_ids([1, 300])));
    machine
        .apply(LogSlice::new(entries).unwrap())
        .await
        .unwrap();
    let (meta, bytes) = bytes_of(&mut machine).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1/state.bin");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&file, &bytes).unwrap();
    }

    let golden = fs::read(&file).unwrap();
    let mut other = open(to.path());
    other.restore(meta, stream(golden.clone())).await.unwrap();

    assert_eq!(bytes, golden);
    assert_eq!(counted(&other.reader(), "a"), 2);
    assert_eq!(other.reader().applied(), machine.reader().applied());
}

#[tokio::test]
async fn flipped_and_missing_bytes_of_a_snapshot_are_noticed() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut machine = open(from.path());
    machine.apply(words(1, &["a", "a"])).await.unwrap();
    let (meta, bytes) = bytes_of(&mut machine).await;
    let mut other = open(to.path());
    other.apply(words(1, &["mine"])).await.unwrap();

    // Every other: a restore makes a database, which takes its time.
    for at in (0..bytes.len()).step_by(2) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        for bad in [flipped, bytes[..at].to_vec()] {
            let refused = other.restore(meta.clone(), stream(bad)).await;
            assert!(refused.is_err(), "byte {at}");
        }
    }

    assert_eq!(counted(&other.reader(), "mine"), 1);
    other.restore(meta, stream(bytes)).await.unwrap();
    assert_eq!(counted(&other.reader(), "a"), 2);
}

#[tokio::test]
async fn a_later_version_of_an_application_may_have_a_column_family_more() {
    let directory = TempDir::new().unwrap();
    let mut machine = open(directory.path());
    machine.apply(words(1, &["a"])).await.unwrap();
    drop(machine);

    let application = Counter {
        families: &[WORDS, "more"],
        ..COUNTER
    };
    let machine = RocksMachine::open(directory.path(), application, &never_flushing()).unwrap();

    assert_eq!(counted(&machine.reader(), "a"), 1);
    let more = machine.reader().read(|moment| moment.get("more", b"x"));
    assert_eq!(more.unwrap(), None);
}

#[test]
fn names_that_cannot_work_are_refused_before_anything_is_written() {
    const LONG: &str = match std::str::from_utf8(&[b'x'; 256]) {
        Ok(text) => text,
        Err(_) => unreachable!(),
    };
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state");
    for (format, families) in [
        ("twice", &["a", "a"][..]),
        ("ours", &["raft"][..]),
        ("theirs", &["default"][..]),
        (LONG, &["a"][..]),
    ] {
        let application = Counter {
            format,
            families,
            ..COUNTER
        };
        let opened = RocksMachine::open(&path, application, &never_flushing());
        assert!(
            matches!(opened, Err(StorageError::Misuse { .. })),
            "{format}"
        );
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_busy_state_is_flushed_by_size() {
    let directory = TempDir::new().unwrap();
    let options = MachineOptions {
        flush_bytes: 1,
        ..never_flushing()
    };
    let mut machine = RocksMachine::open(directory.path(), COUNTER, &options).unwrap();

    machine.apply(words(1, &["a"])).await.unwrap();

    let durable = async {
        while machine.durable_applied() != LogIndex::new(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), durable)
        .await
        .unwrap();
}
