//! The power is cut: what was written and not synced is gone, for real.
//!
//! The store lies on a small ext4 disk, an image mounted through a loop device. While the
//! process that writes is frozen, the image is copied: it holds what was written to the
//! disk, and not what the kernel keeps in memory. The copy is mounted in its place, and
//! the store opened from it. Only root may mount; otherwise the tests say that they are
//! skipped. `cargo xtask torture --storage` runs more of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use raft_storage_rocks::RocksStore;
use tempfile::TempDir;

use crate::crash::{Content, check, run_and_kill};
use crate::support::open;

/// How often the power is cut. `RAFT_STORAGE_POWER_CUTS` says otherwise.
fn rounds() -> usize {
    let asked = std::env::var("RAFT_STORAGE_POWER_CUTS");
    asked.map_or(4, |asked| asked.parse().expect("it is a number"))
}

/// An image, mounted until it is dropped.
struct Disk {
    directory: TempDir,
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

impl Disk {
    fn new() -> Option<Self> {
        let disk = Self {
            directory: TempDir::new().unwrap(),
        };
        std::fs::create_dir(disk.place()).unwrap();
        let file = std::fs::File::create(disk.image()).unwrap();
        file.set_len(192 << 20).unwrap();
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
        if runs(make.arg(disk.image())) && disk.mount() {
            return Some(disk);
        }
        println!("skipped: only root may mount an image, with mkfs.ext4 and a loop device");
        None
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn store(&self) -> PathBuf {
        self.place().join("raft")
    }

    fn mount(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]);
        runs(mount.arg(self.image()).arg(self.place()))
    }

    fn unmount(&self) -> bool {
        runs(Command::new("umount").arg(self.place()))
    }

    /// Freezes the process, copies what the disk holds, and kills the process.
    fn cut(&self, child: &mut Child, copy: &Path) {
        let id = child.id().to_string();
        assert!(runs(Command::new("kill").args(["-STOP", &id])));
        let mut copying = Command::new("cp");
        copying.arg("--sparse=always");
        assert!(runs(copying.arg(self.image()).arg(copy)));
        child.kill().unwrap();
    }

    fn replace_by(&self, copy: &Path) {
        assert!(self.unmount(), "nobody has files of the disk open");
        std::fs::rename(copy, self.image()).unwrap();
        assert!(self.mount(), "the copy can be mounted");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Runs a child on the disk and cuts its power. Answers what it said it wrote, and what
/// was under way.
fn run_and_cut(
    disk: &Disk,
    is_synced: bool,
    round: usize,
    content: &mut Content,
) -> Option<crate::crash::Write> {
    let copy = disk.directory.path().join("copy");
    let lines = 40 + round * 53 % 200;
    let under_way = run_and_kill(&disk.store(), is_synced, lines, content, |child| {
        disk.cut(child, &copy);
    });
    disk.replace_by(&copy);
    under_way
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    let Some(disk) = Disk::new() else { return };
    // The first opening is not what is cut.
    drop(open(&disk.store()));
    let mut content = Content::default();
    for round in 0..rounds() {
        let under_way = run_and_cut(&disk, true, round, &mut content);
        let store: RocksStore = open(&disk.store());
        content = check(&store, content, under_way).await;
    }
    assert!(
        content.term as usize >= rounds(),
        "the children wrote little"
    );
}

/// The same with a store that does not sync: if this lost nothing, the test above would
/// show nothing.
#[tokio::test]
async fn a_store_that_does_not_sync_does_lose_what_it_acknowledged() {
    let Some(disk) = Disk::new() else { return };
    drop(open(&disk.store()));
    let mut content = Content::default();
    run_and_cut(&disk, false, 0, &mut content);
    let found = Content::of(&open(&disk.store())).await;
    assert!(found.term < content.term, "found {found:?}");
}
