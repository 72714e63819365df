//! How the database is set up, with reasons.
//!
//! Not here, because they would only cost: bloom filters, as no key is looked for that
//! is not there but in `repaired`, which is empty; pipelined or concurrent writes, as
//! one writes at a time; blob files, as payloads are mostly purged before a flush.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Options,
    WriteOptions,
};

use crate::keys::{COLUMN_FAMILIES, DEFAULT, PAYLOAD};
use crate::merging::LOG_FAMILIES;

/// Unused files of the write-ahead log that are kept: one is needed whenever a
/// memtable is full, a second when that happens again before a flush is done.
const RECYCLED_FILES: usize = 2;

/// Old entries are read once, in order; recent ones come from memory.
const BLOCK_CACHE_BYTES: usize = 4 << 20;

/// What a user may choose. The defaults suit a log that is purged now and then.
///
/// On the disk the store takes, beside what the log holds, at most about five times
/// `write_buffer_bytes` and a quarter: files of the write-ahead log, in use or kept
/// to be used again, and 16 MiB of RocksDB's own notes.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Bytes of memtable for payloads; metadata takes a small part of it beside. Large,
    /// so that entries are mostly purged before they reach a table file. A second one
    /// is in memory while the first is flushed. Default 64 MiB.
    pub write_buffer_bytes: usize,
    /// Bytes of the entries appended last that stay in memory, shared evenly by the
    /// groups of the store. Reads of these do not touch the database: followers that
    /// lag a little, and the state machine, read nothing else. Default 8 MiB.
    pub recent_bytes: usize,
    /// Free bytes of the disk below which it counts as full: a leader hands over, or takes
    /// no more proposals. Below half of it appends wait for space: what is left is for
    /// votes, purges, and the database's own flushes. Two flushes may be due, each writes
    /// up to `write_buffer_bytes`, and a file of the write-ahead log that is begun with
    /// one takes a tenth more than that at once: nine times `write_buffer_bytes` are
    /// enough. Of a small disk at most an eighth. Default 576 MiB.
    pub reserve_bytes: u64,
    /// Whether whoever hands in a write makes it in its own thread when no other write is
    /// under way. That saves two changes of thread, which take about as long as a small
    /// sync, for a thread outside of any tokio runtime, or for a task of a multi-threaded
    /// one that appends over and over. Such a task hands the runtime's other tasks over
    /// first ([`tokio::task::block_in_place`]), which for a task that waits between its
    /// writes, as a node's does, costs as much as it saves; what else the same task does
    /// waits for the sync; and a task of a [`LocalSet`](tokio::task::LocalSet) panics. In
    /// a current-thread runtime it changes nothing. Default false: a thread of the store
    /// writes.
    pub writes_in_place: bool,
    /// Whether a write is synced before it returns. Default true; anything else
    /// loses acknowledged writes in a power cut and is for measuring alone.
    pub sync: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            write_buffer_bytes: 64 << 20,
            recent_bytes: 8 << 20,
            reserve_bytes: 576 << 20,
            writes_in_place: false,
            sync: true,
        }
    }
}

impl RocksOptions {
    pub(crate) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // A recycled file needs no new blocks, so a sync writes data alone: on the
        // disk we measured, a third less time per small append.
        options.set_recycle_log_file_num(RECYCLED_FILES);
        // A kill or a power cut may tear the last record, which then was never
        // acknowledged, and a recycled file ends in records of its earlier use.
        // Both are where recovery has to end. Absolute consistency would refuse
        // to open after each such crash, and RocksDB turns recycling off with it.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // Votes change seldom, so their memtable is seldom full: by itself it would
        // keep every file of the write-ahead log alive. All are flushed together.
        options.set_atomic_flush(true);
        // One writes at a time; room for several would cost each insertion.
        options.set_allow_concurrent_memtable_write(false);
        // A flush goes to the disk piece by piece: in one piece at its end it would
        // stand in the way of an append's sync.
        options.set_bytes_per_sync(1 << 20);
        options.set_wal_bytes_per_sync(0);
        // Files are removed by threads in the background, and not by whoever writes.
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_max_background_jobs(2);
        // An opening looks at no more than it needs.
        options.set_skip_stats_update_on_db_open(true);
        // What RocksDB notes for itself stays small, however long it runs.
        options.set_max_manifest_file_size(4 << 20);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(2 << 20);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// The column families with their options. They share one cache.
    pub(crate) fn column_families(&self) -> impl Iterator<Item = ColumnFamilyDescriptor> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        // RocksDB's own is never written, and counts all the same: after a full disk,
        // RocksDB goes on when there is space for the largest write buffer of all.
        let names = COLUMN_FAMILIES.into_iter().chain([DEFAULT]);
        names.map(move |name| ColumnFamilyDescriptor::new(name, self.column_family(name, &cache)))
    }

    fn column_family(&self, name: &str, cache: &Cache) -> Options {
        let mut options = Options::default();
        // The same for all, although payloads fill theirs first: RocksDB reserves
        // space for the write-ahead log in pieces of about the size of any of them,
        // and each piece makes the next sync write the file system's journal, too. A
        // memtable takes memory as it is filled and no sooner.
        options.set_write_buffer_size(self.write_buffer_bytes);
        // What lives long enough to be flushed was written once and is read little.
        options.set_compression_type(match name {
            PAYLOAD => DBCompressionType::Lz4,
            _ => DBCompressionType::None,
        });
        // Not before what is there was looked at; see `Merging`.
        options.set_disable_auto_compactions(LOG_FAMILIES.contains(&name));
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        options.set_block_based_table_factory(&blocks);
        options
    }

    pub(crate) fn writes(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        options
    }

    /// A write that would have to wait for a flush is refused instead.
    pub(crate) fn impatient_writes(sync: bool) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        options.set_no_slowdown(true);
        options
    }
}
