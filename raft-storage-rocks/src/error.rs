//! Why a store cannot be opened.

use std::path::PathBuf;

use crate::identity::Identity;

/// Why a store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory belongs to another node, or to another life of this one.
    #[error(
        "{} holds the log of {found}, this is {expected}; \
         start the node with its own data directory, or with an empty one",
        path.display()
    )]
    AnotherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who opens it.
        expected: Identity,
    },
    /// A newer version of this crate wrote the directory.
    #[error(
        "{} has format {found}, this version reads up to {supported}; use the version that wrote it",
        path.display()
    )]
    UnknownFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The newest format known here.
        supported: u16,
    },
    /// Another process has the directory open.
    #[error("{} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds no store of this crate, but perhaps something else.
    #[error("{} is no Raft log: {reason}; name another directory", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The store is damaged where it says what it is.
    #[error(
        "{} cannot be used: {reason}; \
         restore it, or let the node join again with an empty directory",
        path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// There is no space left to open the store with.
    #[error("the disk of {} is full; free some space, then start again", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
        /// The failure.
        #[source]
        source: rocksdb::Error,
    },
    /// RocksDB failed.
    #[error("cannot open {}", path.display())]
    Engine {
        /// The directory.
        path: PathBuf,
        /// The failure.
        #[source]
        source: rocksdb::Error,
    },
    /// The file that says how far the store has acknowledged cannot be used.
    #[error("cannot open the watermark in {}", path.display())]
    Watermark {
        /// The directory.
        path: PathBuf,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
    /// The system starts no more threads.
    #[error("cannot start the writer thread")]
    Thread {
        /// The failure.
        #[source]
        source: std::io::Error,
    },
}
