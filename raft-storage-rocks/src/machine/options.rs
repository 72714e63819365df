//! How a state machine's database is set up, with reasons.

use std::time::Duration;

use rocksdb::{DBCompressionType, LogLevel, Options};

/// What a user may choose. The defaults suit states from a megabyte to a terabyte.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Bytes of memtable per column family. Default 32 MiB.
    pub write_buffer_bytes: usize,
    /// An idle state is durable after this long. Default 5 s.
    pub flush_interval: Duration,
    /// A busy one is flushed each time this much was written: what a restart applies
    /// again, at most, beside what comes during a flush. Default 16 MiB.
    pub flush_bytes: u64,
    /// Files that are kept open; the rest is reopened on demand, so that a large state
    /// does not exhaust file handles. Default 512.
    pub open_files: i32,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            write_buffer_bytes: 32 << 20,
            flush_interval: Duration::from_secs(5),
            flush_bytes: 16 << 20,
            open_files: 512,
        }
    }
}

impl MachineOptions {
    pub(super) fn database(&self, create: bool) -> Options {
        let mut options = Options::default();
        options.create_if_missing(create);
        // A later version of the application may have a column family more.
        options.create_missing_column_families(true);
        // Data and position live in different families: a crash must not part them.
        options.set_atomic_flush(true);
        options.set_max_open_files(self.open_files);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(2);
        options
    }

    pub(super) fn family(&self) -> Options {
        let mut options = Options::default();
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_compression_type(DBCompressionType::Lz4);
        options
    }
}
