//! A vote store that keeps a file, and flaws that the kit for files names.

use raft_core::testing::conformance::files::FileHarness;
use raft_core::testing::conformance::stable_store;
use raft_core::testing::files::Directory;
use raft_core::{
    HardState, Incarnation, ReplicaId, SavedVote, StableState, StableStore, StorageError, Term,
    async_trait,
};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::file_log::checksum;

/// How a store breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    /// 1: returns before the new file is durable.
    SyncsNothing,
    /// 1: forgets that a name is durable when its directory is.
    ForgetsTheDirectory,
    /// 2: writes over the old value.
    OverwritesInPlace,
    /// 2: gives the new file its name before its bytes are durable.
    RenamesFirst,
    /// 4: returns what it finds.
    BelievesDamage,
    /// 5: goes on after a failure.
    GoesOnAfterFailure,
    /// 5: goes on after a failure, but not after one of a write.
    GoesOnAfterFailedSync,
    /// 5: syncs again after a failure, and believes that.
    SyncsAgain,
}

struct FileVote {
    directory: Directory,
    flaw: Option<Flaw>,
    is_closed: AtomicBool,
}

fn with(flaw: Option<Flaw>) -> FileHarness<FileVote> {
    let open = move |directory| async move {
        FileVote {
            directory,
            flaw,
            is_closed: AtomicBool::new(false),
        }
    };
    FileHarness::new(5, open).losing(|disk| disk.flip("vote", 9))
}

impl FileVote {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// The new value in a file of its own, which then takes the old one's name.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if self.has(Flaw::OverwritesInPlace) {
            self.directory.write_at("vote", 0, &bytes[..20])?;
            self.directory.write_at("vote", 20, &bytes[20..])?;
            self.directory.sync("vote")?;
            return self.directory.sync_directory();
        }
        self.directory.write_at("vote.new", 0, bytes)?;
        if self.has(Flaw::RenamesFirst) {
            self.directory.rename("vote.new", "vote")?;
            self.directory.sync_directory()?;
            return self.directory.sync("vote");
        }
        let synced = match self.has(Flaw::SyncsNothing) {
            true => Ok(()),
            false => self.directory.sync("vote.new"),
        };
        match self.has(Flaw::SyncsAgain) {
            true => synced.or_else(|_| self.directory.sync("vote.new"))?,
            false => synced.map_err(|error| self.failed_to_sync(error))?,
        }
        self.directory.rename("vote.new", "vote")?;
        match self.has(Flaw::ForgetsTheDirectory) {
            true => Ok(()),
            false => self.directory.sync_directory(),
        }
    }

    /// The error of a sync, by which one of the flaws knows it again.
    fn failed_to_sync(&self, error: io::Error) -> io::Error {
        match self.has(Flaw::GoesOnAfterFailedSync) {
            true => io::ErrorKind::Interrupted.into(),
            false => error,
        }
    }
}

#[async_trait]
impl StableStore for FileVote {
    async fn load(&self) -> Result<StableState, StorageError> {
        let bytes = match self.directory.read("vote") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StableState::Empty),
            read => read.map_err(|error| StorageError::io("reading the vote", error))?,
        };
        let believes = self.has(Flaw::BelievesDamage);
        Ok(match decode(&bytes, believes) {
            Some(vote) => StableState::Saved(vote),
            None => StableState::Lost {
                incarnation: None,
                reason: "its checksum is wrong".into(),
            },
        })
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(StorageError::Closed);
        }
        self.write(&encode(vote)).map_err(|error| {
            let is_sync = error.kind() == io::ErrorKind::Interrupted;
            let closes = !self.has(Flaw::GoesOnAfterFailure) && !is_sync;
            self.is_closed.store(closes, Ordering::Relaxed);
            StorageError::io("saving a vote", error)
        })
    }
}

fn encode(vote: SavedVote) -> Vec<u8> {
    let voted_for = vote.hard_state.voted_for;
    let numbers = [
        vote.incarnation.get(),
        vote.hard_state.current_term.get(),
        u64::from(voted_for.is_some()),
        voted_for.map_or(0, |replica| replica.node.get()),
        voted_for.map_or(0, |replica| replica.incarnation.get()),
    ];
    let mut bytes = numbers.map(u64::to_be_bytes).concat();
    bytes.extend(checksum(&bytes).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8], believes: bool) -> Option<SavedVote> {
    let mut numbers = [0; 6];
    if bytes.len() != 48 {
        return None;
    }
    for (number, word) in numbers.iter_mut().zip(bytes.chunks(8)) {
        *number = u64::from_be_bytes(word.try_into().unwrap());
    }
    let [incarnation, term, has_voted, node, of_incarnation, sum] = numbers;
    let voted_for = ReplicaId {
        node: node.into(),
        incarnation: Incarnation::new(of_incarnation),
    };
    let vote = SavedVote {
        incarnation: Incarnation::new(incarnation),
        hard_state: HardState {
            current_term: Term::new(term),
            voted_for: (has_voted == 1).then_some(voted_for),
        },
    };
    (believes || sum == checksum(&bytes[..40])).then_some(vote)
}

mod sound {
    use super::with;

    raft_core::stable_store_conformance!(with(None));
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_save_that_syncs_nothing_is_caught() {
    stable_store::a_save_survives_a_crash(&mut with(Some(Flaw::SyncsNothing))).await;
}

#[tokio::test]
#[should_panic(expected = "duty 1, durable before return")]
async fn a_rename_without_a_sync_of_the_directory_is_caught() {
    stable_store::a_save_survives_a_crash(&mut with(Some(Flaw::ForgetsTheDirectory))).await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_value_written_over_the_old_one_is_caught() {
    let mut broken = with(Some(Flaw::OverwritesInPlace));
    stable_store::a_save_cut_off_at_any_operation_leaves_the_old_or_the_new_value(&mut broken)
        .await;
}

#[tokio::test]
#[should_panic(expected = "duty 2, atomic")]
async fn a_rename_before_the_sync_is_caught() {
    let mut broken = with(Some(Flaw::RenamesFirst));
    stable_store::a_save_cut_off_at_any_operation_leaves_the_old_or_the_new_value(&mut broken)
        .await;
}

#[tokio::test]
#[should_panic(expected = "duty 4, empty is not lost")]
async fn a_damaged_vote_believed_is_caught() {
    stable_store::a_store_that_lost_its_vote_says_so(&mut with(Some(Flaw::BelievesDamage))).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, failure is final")]
async fn a_store_that_goes_on_after_a_failure_is_caught() {
    let mut broken = with(Some(Flaw::GoesOnAfterFailure));
    stable_store::after_a_failed_save_the_store_is_closed(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, failure is final")]
async fn a_store_that_goes_on_after_a_failed_sync_is_caught() {
    let mut broken = with(Some(Flaw::GoesOnAfterFailedSync));
    stable_store::after_any_failed_operation_the_vote_is_closed(&mut broken).await;
}

#[tokio::test]
#[should_panic(expected = "duty 5, failure is final")]
async fn a_store_that_believes_a_second_sync_is_caught() {
    let mut broken = with(Some(Flaw::SyncsAgain));
    stable_store::after_any_failed_operation_the_vote_is_closed(&mut broken).await;
}

#[tokio::test]
async fn a_failed_write_does_not_give_away_what_a_failed_sync_does() {
    for flaw in [Flaw::GoesOnAfterFailedSync, Flaw::SyncsAgain] {
        stable_store::after_a_failed_save_the_store_is_closed(&mut with(Some(flaw))).await;
    }
}
