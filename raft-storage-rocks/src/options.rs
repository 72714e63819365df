//! How the database is set up, with reasons.

use rocksdb::{DBCompressionType, DBRecoveryMode, Options, WriteOptions};

use crate::keys::{META, PAYLOAD};

/// What a user may choose. The defaults suit a log that is purged now and then.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Bytes of memtable for payloads, and a quarter of it for metadata. Large, so
    /// that entries are mostly purged before they reach a table file. Default 64 MiB.
    pub write_buffer_bytes: usize,
    /// Bytes of the entries appended last that stay in memory, shared evenly by the
    /// groups of the store. Reads of these do not touch the database: followers that
    /// lag a little, and the state machine, read nothing else. Default 8 MiB.
    pub recent_bytes: usize,
    /// Free bytes of the disk below which it counts as full: a leader hands over, or takes
    /// no more proposals. Below half of it appends wait for space: what is left is for
    /// votes, purges, and the database's own flushes, each of which writes up to
    /// `write_buffer_bytes`. Of a small disk at most an eighth. Default 128 MiB.
    pub reserve_bytes: u64,
    /// Whether a write is synced before it returns. Default true; anything else
    /// loses acknowledged writes in a power cut and is for measuring alone.
    pub sync: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            write_buffer_bytes: 64 << 20,
            recent_bytes: 8 << 20,
            reserve_bytes: 128 << 20,
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
        options.set_recycle_log_file_num(4);
        // A kill or a power cut may tear the last record, which then was never
        // acknowledged, and a recycled file ends in records of its earlier use.
        // Both are where recovery has to end. Absolute consistency would refuse
        // to open after each such crash, and RocksDB turns recycling off with it.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // Votes change seldom, so their memtable is seldom full: without a bound
        // it would keep every file of the write-ahead log alive.
        options.set_max_total_wal_size(self.wal_bytes());
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(4 << 20);
        options
    }

    pub(crate) fn column_family(&self, name: &str) -> Options {
        let mut options = Options::default();
        options.set_write_buffer_size(match name {
            PAYLOAD => self.write_buffer_bytes,
            META => self.write_buffer_bytes / 4,
            _ => 1 << 20,
        });
        // What lives long enough to be flushed was written once and is read little.
        options.set_compression_type(match name {
            PAYLOAD => DBCompressionType::Lz4,
            _ => DBCompressionType::None,
        });
        options
    }

    pub(crate) fn writes(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        options
    }

    const fn wal_bytes(&self) -> u64 {
        4 * self.write_buffer_bytes as u64
    }
}
