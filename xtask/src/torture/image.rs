//! A small disk: an ext4 file system in a file, mounted through a loop device.
//!
//! What the file holds is what was written to the disk; what the kernel still keeps in
//! memory is not in it. So a copy of the file, made while nobody writes, is what a power
//! cut leaves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::util;

/// How long those who have files of a disk open may take to let go.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(30);

/// An image, mounted until it is dropped.
pub(super) struct Image {
    file: PathBuf,
    place: PathBuf,
    is_mounted: bool,
}

impl Image {
    /// Whether this machine lets us mount images, or why not.
    pub(super) fn can_be_mounted() -> Result<()> {
        let user = util::output_of(Command::new("id").arg("-u"))?;
        ensure!(user.trim() == "0", "needs root to mount an image");
        let folder = util::target_dir()?.join("xtask-torture-try");
        fs::create_dir_all(&folder)?;
        let tried = Self::new(&folder.join("image"), &folder.join("mounted"), 16 << 20);
        let outcome = tried
            .map(drop)
            .context("needs a loop device to mount an image");
        fs::remove_dir_all(&folder)?;
        outcome
    }

    /// A new disk of so many bytes, at `place`.
    pub(super) fn new(file: &Path, place: &Path, bytes: u64) -> Result<Self> {
        File::create(file)
            .and_then(|image| image.set_len(bytes))
            .with_context(|| format!("cannot make {}", file.display()))?;
        // No reserved blocks: full is full. Everything at once: nothing is written later.
        let mut make = Command::new("mkfs.ext4");
        make.args([
            "-q",
            "-F",
            "-m",
            "0",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
        ]);
        util::output_of(make.arg(file))?;
        fs::create_dir_all(place)?;
        let mut image = Self {
            file: file.into(),
            place: place.into(),
            is_mounted: false,
        };
        image.mount()?;
        Ok(image)
    }

    /// Where it is mounted.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    fn mount(&mut self) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]);
        util::output_of(mount.arg(&self.file).arg(&self.place))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_mounted) {
            util::output_of(Command::new("umount").arg(&self.place))?;
        }
        Ok(())
    }

    /// Copies what the disk holds at this moment. Whoever writes to it is frozen.
    pub(super) fn copy(&self) -> Result<PathBuf> {
        let copy = self.file.with_extension("copy");
        let mut copying = Command::new("cp");
        copying.args(["--sparse=always", "--"]);
        util::output_of(copying.arg(&self.file).arg(&copy))?;
        Ok(copy)
    }

    /// Puts a copy in the place of the disk. Nobody has files of it open any more.
    pub(super) fn replace_by(&mut self, copy: &Path) -> Result<()> {
        self.unmount()?;
        fs::rename(copy, &self.file)?;
        self.mount()
    }

    /// Free bytes.
    pub(super) fn free(&self) -> Result<u64> {
        let mut command = Command::new("df");
        command.args(["--output=avail", "-B1"]);
        let text = util::output_of(command.arg(&self.place))?;
        let number = text.lines().nth(1).map(str::trim);
        let number = number.and_then(|number| number.parse().ok());
        number.with_context(|| format!("df answered {text:?}"))
    }

    /// Writes until so many bytes are free.
    pub(super) fn fill(&self, leave: u64) -> Result<()> {
        let bytes = self.free()?.saturating_sub(leave);
        let mut command = Command::new("fallocate");
        command.args(["-l", &bytes.to_string()]);
        util::output_of(command.arg(self.ballast())).map(drop)
    }

    /// Removes what [`Image::fill`] wrote.
    pub(super) fn empty(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("cannot remove the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if !self.is_mounted {
            return;
        }
        // After a failure the nodes may just be ending.
        let place = self.place.clone();
        let unmounted = util::wait_for("the disk to be let go", UNMOUNT_LIMIT, || {
            Ok(util::succeeds(Command::new("umount").arg(&place)).then_some(()))
        });
        if unmounted.is_err() {
            eprintln!("{} stays mounted", self.place.display());
        }
    }
}
