//! A vote store that uses `std::fs` itself, in directories that are copied.

use std::fs::{self, File};
use std::io::{self, Write};
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

/// Keeps votes one behind the other in a file; the last that is whole counts.
struct Journal {
    path: PathBuf,
    /// Takes what comes last for whole.
    believes_the_tail: bool,
}

fn with(believes_the_tail: bool) -> CopyHarness<Journal> {
    let place = PLACES.fetch_add(1, Ordering::Relaxed).to_string();
    let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("copied-votes");
    let base = base.join(place);
    drop(fs::remove_dir_all(&base));
    fs::create_dir_all(&base).unwrap();
    let directory = CopiedDirectory::new(base, 3).unwrap();
    let open = move |path: PathBuf| async move {
        let path = path.join("votes");
        Journal {
            path,
            believes_the_tail,
        }
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
        (is_whole || self.believes_the_tail).then_some(vote)
    }
}

#[async_trait]
impl StableStore for Journal {
    async fn load(&self) -> Result<StableState, StorageError> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StableState::Empty),
            read => read.map_err(|error| StorageError::io("reading votes", error))?,
        };
        let mut votes = bytes.chunks(32).filter_map(|record| self.parse(record));
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

    raft_core::stable_store_conformance!(with(false));
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_torn_tail_believed_is_caught() {
    let mut broken = with(true);
    stable_store::a_save_interrupted_by_a_crash_leaves_the_old_or_the_new_value(&mut broken).await;
}
