//! When RocksDB merges table files, and when it does so no more.
//!
//! A merge that meets a damaged block ends all writing, for good: RocksDB does not tell
//! damage in what it reads from damage in what it wrote. But a damaged entry is mended by
//! a copy beside it, and the node goes on. So once damage is known no files are merged
//! any more. The store grows by what is flushed and not purged then, until the node is
//! given a new directory.
//!
//! On a full disk no merge is begun either: it would write as much as it reads, and take
//! what is kept in reserve for votes and flushes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_core::StoredEntry;
use rocksdb::DB;

use crate::keys::{COLUMN_FAMILIES, META, PAYLOAD, REPAIRED, family};

/// What holds the entries. The rest is small, and merged from the start.
pub(crate) const LOG_FAMILIES: [&str; 3] = [META, PAYLOAD, REPAIRED];

/// Files are merged when there are several, and not just because a reader is done with
/// them: seconds, longer than any file lives.
const NEVER: &str = "4000000000";

/// Whether files of one store are merged.
pub(crate) struct Merging {
    db: Arc<DB>,
    is_over: AtomicBool,
    is_paused: AtomicBool,
}

impl Merging {
    /// Lets files be merged; a store is opened without.
    pub(crate) fn begin(db: Arc<DB>) -> Result<Arc<Self>, rocksdb::Error> {
        let options = [
            ("bottommost_file_compaction_delay", NEVER),
            ("disable_auto_compactions", "false"),
        ];
        for name in LOG_FAMILIES {
            db.set_options_cf(family(&db, name), &options)?;
        }
        Ok(Arc::new(Self {
            db,
            is_over: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
        }))
    }

    /// Ends it if anything of this is damaged. Blocks on the disk, once.
    pub(crate) fn look_at(&self, answers: &[StoredEntry]) {
        let is_damaged = |answer: &StoredEntry| matches!(answer, StoredEntry::Corrupt { .. });
        if answers.iter().any(is_damaged) {
            self.end();
        }
    }

    /// Damage is known.
    pub(crate) fn end(&self) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::warn!(
            "the log has damaged table files: they are merged with no others any more; \
             look at the disk, and give the node a new directory when you can"
        );
        self.set_off(true);
    }

    /// None is begun while the disk is full. Blocks on the disk when that changes.
    pub(crate) fn pause(&self, is_full: bool) {
        let was_paused = self.is_paused.swap(is_full, Ordering::AcqRel);
        if was_paused != is_full && !self.is_over.load(Ordering::Acquire) {
            self.set_off(is_full);
            // Damage may have become known meanwhile.
            if self.is_over.load(Ordering::Acquire) {
                self.set_off(true);
            }
        }
    }

    fn set_off(&self, is_off: bool) {
        let options = [(
            "disable_auto_compactions",
            if is_off { "true" } else { "false" },
        )];
        for name in COLUMN_FAMILIES {
            let set = self.db.set_options_cf(family(&self.db, name), &options);
            if let Err(error) = set {
                tracing::warn!(%error, name, is_off, "cannot say whether table files are merged");
            }
        }
    }
}
