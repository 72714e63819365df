//! A disk of its own that a test can fill up.
//!
//! It is in memory, and only root may mount it. Otherwise the tests say that they are
//! skipped.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A disk of 160 MiB, gone when dropped.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(crate) fn new() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=160m", "none"]);
        let mounted = mount.arg(directory.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        println!("skipped: only root may mount a small disk");
        None
    }

    /// Where on it a store may lie.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("raft")
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Leaves so much free, at most.
    pub(crate) fn leave_free(&self, bytes: u64) {
        let free = fs4::available_space(self.0.path()).unwrap();
        let ballast = vec![1; usize::try_from(free.saturating_sub(bytes)).unwrap()];
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(self.ballast());
        file.unwrap().write_all(&ballast).unwrap();
    }

    pub(crate) fn free_space(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: after a failure the store may still be open.
        let mut unmount = Command::new("umount");
        let unmounted = unmount.arg("--lazy").arg(self.0.path()).status();
        let is_gone = unmounted.is_ok_and(|status| status.success());
        assert!(is_gone || std::thread::panicking(), "it stays mounted");
    }
}

/// Bytes that look random: nothing that could be compressed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(bytes);
    while data.len() < bytes {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        data.extend_from_slice(&word.to_le_bytes());
    }
    data
}
