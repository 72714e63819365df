//! When RocksDB merges table files, and when it does so no more.
//!
//! A merge that meets a damaged block ends all writing, for good: RocksDB does not tell
//! damage in what it reads from damage in what it wrote. But a damaged entry is mended by
//! a copy beside it, and the node goes on. So once a damaged block is known, no files are
//! merged until the files that it may lie in are gone, which a purge removes whole when
//! all that they hold is purged. RocksDB does that only with files that were merged
//! before. If it is another file, the store grows by what is flushed until the node is
//! given a new directory. Damage that RocksDB reads without a word is no matter to it.
//!
//! On a full disk no merge is begun either: it would write as much as it reads, and take
//! what is kept in reserve for votes and flushes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::DB;

use crate::keys::{COLUMN_FAMILIES, META, PAYLOAD, REPAIRED, family};
use crate::unreadable::Unreadable;

/// What holds the entries. The rest is small, and merged from the start.
pub(crate) const LOG_FAMILIES: [&str; 3] = [META, PAYLOAD, REPAIRED];

/// Files are merged when there are several, and not just because a reader is done with
/// them: seconds, longer than any file lives.
const NEVER: &str = "4000000000";

/// Whether files of one store are merged.
pub(crate) struct Merging {
    db: Arc<DB>,
    brake: Mutex<Brake>,
}

/// What stands in the way of merges.
#[derive(Default)]
struct Brake {
    /// Table files that may be damaged, and are there.
    damaged: BTreeSet<String>,
    is_damaged_for_good: bool,
    is_full: bool,
    /// What RocksDB was told last.
    is_on: bool,
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
            brake: Mutex::default(),
        }))
    }

    /// Ends it for as long as there are the files that a reader could not read. Blocks on
    /// the disk when that is new.
    pub(crate) fn look_at(&self, unreadable: &Unreadable) {
        if unreadable.is_empty() {
            return;
        }
        let mut brake = self.brake();
        let Ok(files) = self.db.live_files() else {
            return self.end_for_good(&mut brake);
        };
        let known = brake.damaged.len();
        let suspects = files.into_iter().filter(|file| unreadable.may_be(file));
        brake.damaged.extend(suspects.map(|file| file.name));
        // None is left if they went since.
        if known < brake.damaged.len() {
            tracing::warn!(
                files = ?brake.damaged,
                "the log has damaged table files: none are merged until all that these hold is \
                 purged; look at the disk"
            );
            self.apply(&mut brake);
        }
    }

    /// Something is damaged of which nobody knows when it is gone.
    pub(crate) fn end(&self) {
        self.end_for_good(&mut self.brake());
    }

    fn end_for_good(&self, brake: &mut Brake) {
        if !brake.is_damaged_for_good {
            tracing::warn!(
                "the log is damaged: its table files are merged no more; look at the disk, and \
                 give the node a new directory when you can"
            );
            brake.is_damaged_for_good = true;
            self.apply(brake);
        }
    }

    /// None is begun while the disk is full. Asked about once a second, so damaged files
    /// are looked after, too. Blocks on the disk when anything changes.
    pub(crate) fn pause(&self, is_full: bool) {
        let mut brake = self.brake();
        brake.is_full = is_full;
        if !brake.damaged.is_empty()
            && let Ok(files) = self.db.live_files()
        {
            let live: BTreeSet<String> = files.into_iter().map(|file| file.name).collect();
            brake.damaged.retain(|file| live.contains(file));
            if brake.damaged.is_empty() {
                tracing::info!("the damaged table files of the log are gone");
            }
        }
        self.apply(&mut brake);
    }

    fn brake(&self) -> MutexGuard<'_, Brake> {
        self.brake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells RocksDB, if it is new.
    fn apply(&self, brake: &mut Brake) {
        let is_on = brake.is_full || brake.is_damaged_for_good || !brake.damaged.is_empty();
        if brake.is_on == is_on {
            return;
        }
        brake.is_on = is_on;
        let options = [(
            "disable_auto_compactions",
            if is_on { "true" } else { "false" },
        )];
        for name in COLUMN_FAMILIES {
            let set = self.db.set_options_cf(family(&self.db, name), &options);
            if let Err(error) = set {
                tracing::warn!(%error, name, is_on, "cannot say whether table files are merged");
            }
        }
    }
}
