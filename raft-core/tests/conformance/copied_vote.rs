//! A vote store that uses `std::fs` itself, in directories that are copied.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::testing::conformance::files::CopyHarness;
use raft_core::testing::conformance::stable_store;
use raft_core::testing::files::CopiedDirectory;
use raft_core::{
    HardState, Incarnation, SavedVote, StableState, StableStore, StorageError, Term, async_trait,
};
use tokio::task::yield_now;

use crate::file_log::checksum;

static PLACES: AtomicU64 = AtomicU64::new(0);

/// How a store breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    /// 2: takes what comes last for whole.
    BelievesTheTail,
    /// 2: writes each vote over the one before.
    OverwritesInPlace,
}

/// What opening writes at the beginning of a new file, and asks for in an old one.
const MAGIC: [u8; 32] = *b"votes, one behind the other ....";

/// Keeps votes one behind the other in a file; the last that is whole counts.
struct Journal {
    path: PathBuf,
    flaw: Option<Flaw>,
}

fn with(flaw: Option<Flaw>) -> CopyHarness<Journal> {
    with_seed(3, flaw)
}

fn with_seed(seed: u64, flaw: Option<Flaw>) -> CopyHarness<Journal> {
    let place = PLACES.fetch_add(1, Ordering::Relaxed).to_string();
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("copied-votes");
    let base = base.join(place);
    drop(fs::remove_dir_all(&base));
    fs::create_dir_all(&base).unwrap();
    let directory = CopiedDirectory::new(base, seed).unwrap();
    let open = move |path: PathBuf| async move {
        let path = path.join("votes");
        let journal = Journal { path, flaw };
        if !fs::exists(&journal.path).unwrap() {
            journal.append(&MAGIC).unwrap();
        }
        journal
    };
    CopyHarness::new(directory, open)
}

impl Journal {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(&self.path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    async fn overwrite(&self, record: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        file.write_all(record)?;
        yield_now().await;
        file.sync_all()
    }

    fn parse(&self, record: &[u8]) -> Option<SavedVote> {
        let mut padded = record.to_vec();
        padded.resize(32, 0);
        let (fields, sum) = padded.split_at(24);
        let is_whole = *sum == checksum(fields).to_be_bytes();
        let number = |at: usize| u64::from_be_bytes(fields[at..at + 8].try_into().unwrap());
        let vote = SavedVote {
            incarnation: Incarnation::new(number(0)),
            hard_state: HardState {
                current_term: Term::new(number(8)),
                voted_for: Some(raft_core::ReplicaId::first(number(16))),
            },
        };
        (is_whole || self.flaw == Some(Flaw::BelievesTheTail)).then_some(vote)
    }
}

#[async_trait]
impl StableStore for Journal {
    async fn load(&self) -> Result<StableState, StorageError> {
        let read = fs::read(&self.path);
        let bytes = read.map_err(|error| StorageError::io("reading votes", error))?;
        let Some(records) = bytes.strip_prefix(&MAGIC) else {
            return Ok(StableState::Lost {
                incarnation: None,
                reason: "the file does not begin as opening left it".into(),
            });
        };
        let mut votes = records.chunks(32).filter_map(|record| self.parse(record));
        Ok(votes
            .next_back()
            .map_or(StableState::Empty, StableState::Saved))
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        let node = vote
            .hard_state
            .voted_for
            .map_or(0, |voted| voted.node.get());
        let term = vote.hard_state.current_term.get();
        let mut record = [vote.incarnation.get(), term, node]
            .map(u64::to_be_bytes)
            .concat();
        record.extend(checksum(&record).to_be_bytes());
        let failed = |error| StorageError::io("saving a vote", error);
        if self.flaw == Some(Flaw::OverwritesInPlace) {
            return self.overwrite(&record).await.map_err(failed);
        }
        // A torn record at the end would shift those behind it.
        let length = fs::metadata(&self.path).map_or(0, |about| about.len());
        let padding = vec![0; usize::try_from(length.wrapping_neg() % 32).unwrap()];
        self.append(&padding).map_err(failed)?;
        for piece in record.chunks(7) {
            self.append(piece).map_err(failed)?;
            yield_now().await;
        }
        Ok(())
    }
}

mod sound {
    use super::with;

    raft_core::stable_store_conformance!(with(None));
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_torn_tail_believed_is_caught() {
    let mut broken = with(Some(Flaw::BelievesTheTail));
    stable_store::a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value(&mut broken).await;
}

#[cfg(unix)]
#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_vote_written_over_the_one_before_is_caught() {
    for seed in 0..10 {
        let mut broken = with_seed(seed, Some(Flaw::OverwritesInPlace));
        let check = stable_store::a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value;
        check(&mut broken).await;
    }
}

#[tokio::test]
async fn what_opening_wrote_is_not_torn() {
    for seed in 0..20 {
        stable_store::a_new_store_is_empty(&mut with_seed(seed, None)).await;
    }
}
