//! A state machine on RocksDB: what every application of that kind needs, but for
//! what its commands mean.
//!
//! An [`Application`] says which column families it has and what a command changes in
//! them. [`RocksMachine`] is the [`StateMachine`](raft_core::StateMachine) that the log
//! drives then, and [`StateReader`] a cheap handle for queries.
//!
//! # What it does
//!
//! - **One write per batch.** What the entries of a batch change is one write, and the
//!   position it reaches is in it. Nothing goes to RocksDB's own log: the Raft log is
//!   that log, so a commit costs the one sync that the Raft log makes.
//! - **Honest durability.** Flushes run in the background, all column families as
//!   one, so a crash leaves data and position of the same moment. `durable_applied`
//!   is learned from flushes, and the Raft log is purged only below it. What was
//!   applied after the last flush is applied again.
//! - **Snapshots are a moment** and are read while applies go on. A restore writes a
//!   second database beside the first, checks all of it, and then replaces the first
//!   by the rename of a file: a crash leaves the one or the other, whole.
//! - **A full disk is waited for**, and nothing is lost or applied twice by that.
//!
//! # On disk
//!
//! ```text
//! <directory>/
//!   ACTIVE            names the state in use, replaced by an atomic rename
//!   state-<n>/        one RocksDB; a restore writes state-<n+1> beside it
//!
//! column family   key              record
//! raft            "applied"        the last entry whose effect the state holds
//! raft            "membership"     the membership in force there
//! …               the application's
//! ```
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use raft_core::StorageError;
//! use raft_storage_rocks::machine::{Application, Changes, MachineOptions, Moment, RocksMachine};
//!
//! /// Remembers the last command under its first byte.
//! struct Words;
//!
//! impl Application for Words {
//!     fn format(&self) -> &'static str {
//!         "words 1"
//!     }
//!
//!     fn families(&self) -> &'static [&'static str] {
//!         &["words"]
//!     }
//!
//!     fn apply(
//!         &self,
//!         _before: &Moment<'_>,
//!         commands: &[Bytes],
//!         changes: &mut Changes<'_>,
//!     ) -> Result<Vec<Bytes>, StorageError> {
//!         let mut answer = |command: &Bytes| {
//!             let key = &command[..command.len().min(1)];
//!             let answer = match changes.put("words", key, command) {
//!                 Ok(()) => "kept",
//!                 Err(_) => "too long",
//!             };
//!             Bytes::from_static(answer.as_bytes())
//!         };
//!         Ok(commands.iter().map(&mut answer).collect())
//!     }
//! }
//!
//! # fn main() -> Result<(), StorageError> {
//! # let directory = tempfile::tempdir().expect("a directory");
//! # let directory = directory.path();
//! let machine = RocksMachine::open(directory, Words, &MachineOptions::default())?;
//! let reader = machine.reader();
//! // `machine` goes to the node; queries go on here.
//! assert_eq!(reader.read(|moment| moment.get("words", b"a"))?, None);
//! # Ok(())
//! # }
//! ```

mod active;
mod aside;
mod flusher;
mod moment;
mod options;
mod position;
mod reader;
mod restore;
mod rocks_machine;
mod snapshot;
mod state;
pub(crate) mod stream;

use bytes::Bytes;
use raft_core::StorageError;

pub use moment::{Changes, MAX_RECORD_BYTES, Moment, RecordTooLong};
pub use options::MachineOptions;
pub use reader::StateReader;
pub use rocks_machine::RocksMachine;
/// The crate whose types appear here, in the version that they are of.
pub use rocksdb;

use crate::refused::says_full;

/// What a replicated application keeps, and what its commands do to it.
pub trait Application: Send + Sync + 'static {
    /// Name and version of what the column families hold. It stands at the beginning of
    /// each snapshot, and a snapshot of another format is refused. At most 255 bytes.
    fn format(&self) -> &'static str;

    /// The column families. A snapshot tells them by their place here, so a new one goes
    /// to the end. `raft` and `default` are taken.
    fn families(&self) -> &'static [&'static str];

    /// Sets options of a column family, beyond those of [`MachineOptions`]. Default: none.
    fn tune(&self, family: &str, options: &mut rocksdb::Options) {
        let _ = (family, options);
    }

    /// Looks whether this version of the application knows what a command says, as by a
    /// number of its format at its beginning. Cheap: it is asked for each command again
    /// before [`apply`](Self::apply). Default: it knows all.
    ///
    /// The other replicas may run a newer version, which does more with such a command than
    /// refuse it. So none of the batch is applied and the node stops, with an error that
    /// names the entry; started with a version that knows it, it goes on there. Only what
    /// *every* version refuses alike may be left to `apply` to refuse.
    ///
    /// # Errors
    ///
    /// Which version it is, which are known, and what to do.
    fn check_version(&self, command: &[u8]) -> Result<(), String> {
        let _ = command;
        Ok(())
    }

    /// Works out what committed commands change, one after the other. `before` is the
    /// state before the first; what a command changes, the next ones see only if the
    /// application shows it to them. One response per command.
    ///
    /// Called where blocking is allowed. It has to be deterministic: equal states and
    /// commands give equal changes and responses on every replica. It may be called
    /// again with the same commands, if the disk was full.
    ///
    /// # Errors
    ///
    /// When the state cannot be read: the node stops. A command that makes no sense to any
    /// version is answered with a response that says so.
    fn apply(
        &self,
        before: &Moment<'_>,
        commands: &[Bytes],
        changes: &mut Changes<'_>,
    ) -> Result<Vec<Bytes>, StorageError>;
}

/// Sorts an error of RocksDB into the kinds of the storage contract; for `map_err`.
/// `doing` says what was tried.
pub fn storage_error(doing: &'static str) -> impl Fn(rocksdb::Error) -> StorageError {
    move |error| match error.kind() {
        rocksdb::ErrorKind::Corruption => corrupt(format!("the database, while {doing}"), error),
        _ if says_full(error.as_ref()) => StorageError::Full {
            doing,
            source: Box::new(error),
        },
        _ => StorageError::io(doing, error),
    }
}

/// An error that says what is damaged and how that shows.
fn corrupt(what: impl Into<String>, reason: impl ToString) -> StorageError {
    StorageError::Corrupt {
        what: what.into(),
        reason: reason.to_string(),
    }
}
