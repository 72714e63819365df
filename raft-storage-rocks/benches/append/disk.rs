//! What the disk asks for, without any store.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Turn;
use crate::process::cpu;

const LENGTH: usize = 128 << 20;

/// A file that has its blocks, so that a sync writes data and nothing else.
pub(crate) struct Floor {
    file: File,
    at: usize,
}

impl Floor {
    pub(crate) fn new(path: &Path) -> Self {
        let options = OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = options.expect("the file is new");
        for _ in 0..LENGTH >> 20 {
            file.write_all(&[0; 1 << 20]).expect("there is room");
        }
        file.sync_all().expect("it can be synced");
        Self { file, at: LENGTH }
    }

    /// Writes so many bytes and syncs them, over and over.
    pub(crate) fn turn(&mut self, bytes: usize, time: Duration) -> Turn {
        let data = vec![0x5a; bytes];
        let (begun, before) = (Instant::now(), cpu());
        let mut latencies = Vec::new();
        while begun.elapsed() < time {
            if self.at + bytes > LENGTH {
                self.file.seek(SeekFrom::Start(0)).expect("a file");
                self.at = 0;
            }
            let start = Instant::now();
            self.file.write_all(&data).expect("there is room");
            self.file.sync_data().expect("it can be synced");
            latencies.push(start.elapsed());
            self.at += bytes;
        }
        Turn::of(latencies, cpu() - before)
    }
}
