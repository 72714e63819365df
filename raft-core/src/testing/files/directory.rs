//! The directory that a store writes through, and the disk below it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::model::Model;

/// A disk with one directory, for as many lives of a store as a test likes.
///
/// A test mounts it, gives the [`Directory`] to the store, and crashes it. The same
/// seed always leaves the same.
#[derive(Clone, Debug)]
pub struct RecordedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    model: Model,
    /// Counts crashes: what holds a directory of an earlier life changes nothing.
    life: u64,
    /// Operations until the machine stops.
    left: Option<u64>,
    has_stopped: bool,
    fails_next: bool,
}

impl RecordedDisk {
    /// An empty disk whose crashes are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            model: Model::new(seed),
            life: 0,
            left: None,
            has_stopped: false,
            fails_next: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The directory, until the next crash.
    pub fn mount(&self) -> Directory {
        Directory {
            life: self.lock().life,
            disk: self.clone(),
        }
    }

    /// Power fails: what was not synced is lost, kept or torn. The first crash of a
    /// disk takes all of it; the others draw. Directories handed out before fail from
    /// now on.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.model.crash();
        state.life += 1;
        state.left = None;
        state.has_stopped = false;
        state.fails_next = false;
    }

    /// After so many more operations the machine stops: each later one fails until
    /// [`RecordedDisk::crash`]. Reading is no operation.
    pub fn stop_after(&self, operations: u64) {
        self.lock().left = Some(operations);
    }

    /// The next operation fails, and those after it succeed again.
    pub fn fail_next(&self) {
        self.lock().fails_next = true;
    }

    /// Flips a bit of what is stored. Answers whether there is such a byte.
    pub fn flip(&self, name: &str, offset: u64) -> bool {
        self.lock().model.flip(name, place(offset))
    }

    /// All files, as a program would read them now.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let names = state.model.names().into_iter();
        let content = |name: &str| state.model.content(name).unwrap_or_default().to_vec();
        names.map(|name| (name.clone(), content(&name))).collect()
    }

    /// Writes all files into a directory that exists, to look at them or to open
    /// them by other means.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    pub fn save_to(&self, directory: &Path) -> io::Result<()> {
        for (name, bytes) in self.files() {
            std::fs::write(directory.join(name), bytes)?;
        }
        Ok(())
    }
}

/// A directory of files that records what was synced. Names are flat.
///
/// Each method is what the system call of this name does, no more: a file written and
/// synced may still be gone after a crash if its directory was not synced.
#[derive(Clone, Debug)]
pub struct Directory {
    life: u64,
    disk: RecordedDisk,
}

impl Directory {
    /// The names of all files, in order.
    ///
    /// # Errors
    ///
    /// After a crash of the disk.
    pub fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.look()?.model.names())
    }

    /// The whole content of a file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`], and after a crash of the disk.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.look()?;
        let content = state.model.content(name);
        content.map(<[u8]>::to_vec).ok_or_else(|| missing(name))
    }

    /// Writes into a file, which is made if there is none. A hole reads as zeros.
    ///
    /// # Errors
    ///
    /// When the disk was told to fail or stop, and after a crash of it; the bytes may
    /// have been written all the same.
    pub fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|model| model.write(name, place(offset), bytes))
    }

    /// Writes behind the end of a file, which is made if there is none. Answers where.
    ///
    /// # Errors
    ///
    /// Like [`Directory::write_at`].
    pub fn append(&self, name: &str, bytes: &[u8]) -> io::Result<u64> {
        let end = self.look()?.model.content(name).map_or(0, <[u8]>::len) as u64;
        self.write_at(name, end, bytes)?;
        Ok(end)
    }

    /// Makes a file as short as `length`, if it is longer.
    ///
    /// # Errors
    ///
    /// Like [`Directory::write_at`], or [`io::ErrorKind::NotFound`].
    pub fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.find(name)?;
        self.change(|model| model.truncate(name, place(length)))
    }

    /// Gives a file another name, in the place of what had it.
    ///
    /// # Errors
    ///
    /// Like [`Directory::truncate`].
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.find(from)?;
        self.change(|model| model.rename(from, to))
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Like [`Directory::truncate`].
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.change(|model| model.remove(name))
    }

    /// Makes the content of a file durable; its name is another matter.
    ///
    /// # Errors
    ///
    /// Like [`Directory::truncate`]; nothing is durable then.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.sync_by(|model| model.sync(name))
    }

    /// Makes all names durable: what was made, renamed and removed.
    ///
    /// # Errors
    ///
    /// Like [`Directory::write_at`]; nothing is durable then.
    pub fn sync_directory(&self) -> io::Result<()> {
        self.sync_by(Model::sync_directory)
    }

    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        match state.life == self.life {
            true => Ok(state),
            false => Err(io::Error::other("the disk crashed since it was mounted")),
        }
    }

    fn find(&self, name: &str) -> io::Result<()> {
        let state = self.look()?;
        let found = state.model.content(name).map(|_| ());
        found.ok_or_else(|| missing(name))
    }

    /// Changes something; what fails may have happened by half, which the next crash
    /// decides.
    fn change(&self, change: impl FnOnce(&mut Model)) -> io::Result<()> {
        let mut state = self.look()?;
        let was_running = !state.has_stopped;
        let allowed = state.step();
        if allowed.is_ok() || (was_running && state.has_stopped) {
            change(&mut state.model);
        }
        allowed
    }

    fn sync_by(&self, sync: impl FnOnce(&mut Model)) -> io::Result<()> {
        let mut state = self.look()?;
        state.step()?;
        sync(&mut state.model);
        Ok(())
    }
}

impl State {
    /// One operation: an error if it is to fail.
    fn step(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.fails_next) {
            return Err(io::Error::other("the disk fails, as it was told to"));
        }
        match &mut self.left {
            None => Ok(()),
            Some(0) => {
                self.has_stopped = true;
                Err(io::Error::other("the machine stopped, as it was told to"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("there is no file {name:?}"),
    )
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a file in memory is shorter than memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a crash leaves of a file under this name, over many seeds.
    fn left(name: &str, write: impl Fn(&Directory)) -> Vec<Option<Vec<u8>>> {
        let leave = |seed| {
            let disk = RecordedDisk::new(seed);
            // Only the first crash of a disk is drawn in advance.
            disk.crash();
            write(&disk.mount());
            disk.crash();
            disk.mount().read(name).ok()
        };
        (0..200).map(leave).collect()
    }

    #[test]
    fn what_is_synced_stays() {
        let found = left("log", |directory| {
            directory.append("log", b"durable").unwrap();
            directory.sync("log").unwrap();
            directory.sync_directory().unwrap();
        });
        assert!(found.iter().all(|left| left.as_deref() == Some(b"durable")));
    }

    #[test]
    fn what_is_not_synced_is_lost_kept_or_torn() {
        let found = left("log", |directory| {
            directory.append("log", b"durable,").unwrap();
            directory.sync("log").unwrap();
            directory.sync_directory().unwrap();
            directory.append("log", b"volatile").unwrap();
        });
        let has = |content: &[u8]| found.iter().any(|left| left.as_deref() == Some(content));
        assert!(has(b"durable,") && has(b"durable,volatile"));
        assert!(has(b"durable,vol") && has(b"durable,vol\0\0\0\0\0"));
    }

    #[test]
    fn the_name_of_a_synced_file_may_be_lost() {
        let found = left("log", |directory| {
            directory.append("log", b"durable").unwrap();
            directory.sync("log").unwrap();
        });
        assert!(found.contains(&None));
        assert!(found.contains(&Some(b"durable".to_vec())));
    }

    #[test]
    fn a_rename_is_not_half_done() {
        let found = left("vote", |directory| {
            for (name, content) in [("vote", b"old"), ("vote.new", b"new")] {
                directory.append(name, content).unwrap();
                directory.sync(name).unwrap();
            }
            directory.sync_directory().unwrap();
            directory.rename("vote.new", "vote").unwrap();
        });
        let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
        assert!(found.contains(&old) && found.contains(&new));
        assert!(found.iter().all(|left| *left == old || *left == new));
    }

    #[test]
    fn a_machine_that_stopped_does_nothing_more_until_the_crash() {
        let disk = RecordedDisk::new(1);
        let directory = disk.mount();
        disk.stop_after(1);
        directory.append("log", b"one").unwrap();
        assert!(directory.sync("log").is_err() && directory.sync_directory().is_err());
        disk.crash();
        assert!(directory.append("log", b"two").is_err(), "of another life");
        assert_eq!(disk.mount().names().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_flipped_byte_stays_flipped() {
        let disk = RecordedDisk::new(1);
        let directory = disk.mount();
        directory.append("log", &[0, 0]).unwrap();
        directory.sync("log").unwrap();
        directory.sync_directory().unwrap();
        assert!(disk.flip("log", 1) && !disk.flip("log", 2) && !disk.flip("vote", 0));
        disk.crash();
        assert_ne!(disk.mount().read("log").unwrap(), [0, 0]);
    }
}
