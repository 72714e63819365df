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
    /// Operations until one fails.
    left_to_failure: Option<u64>,
    has_failed: bool,
}

/// How an operation goes.
enum Course {
    Succeeds,
    /// It fails, and those after it succeed again.
    Fails,
    /// The machine stops in the middle of it.
    Stops,
    /// The machine stopped before.
    HasStopped,
}

impl RecordedDisk {
    /// An empty disk whose crashes are drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            model: Model::new(seed),
            life: 0,
            left: None,
            has_stopped: false,
            left_to_failure: None,
            has_failed: false,
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
        state.left_to_failure = None;
        state.has_failed = false;
    }

    /// After so many more operations the machine stops: each later one fails until
    /// [`RecordedDisk::crash`]. Reading is no operation.
    pub fn stop_after(&self, operations: u64) {
        self.lock().left = Some(operations);
    }

    /// The next operation fails, and those after it succeed again: [`RecordedDisk::fail_after`]
    /// none.
    pub fn fail_next(&self) {
        self.fail_after(0);
    }

    /// After so many more operations one fails, and those after it succeed again. A write
    /// that fails may have written a part, and a sync that fails may have given up for
    /// good what it was to make durable, as Linux does: it is there until the crash,
    /// and no later sync keeps it. The first failed sync of a disk gives up; the others
    /// draw.
    pub fn fail_after(&self, operations: u64) {
        let mut state = self.lock();
        state.left_to_failure = Some(operations);
        state.has_failed = false;
    }

    /// Whether an operation failed since [`RecordedDisk::fail_after`] was called; not
    /// after a crash any more.
    pub fn has_failed(&self) -> bool {
        self.lock().has_failed
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
        self.look()?.write(name, place(offset), bytes)
    }

    /// Writes behind the end of a file, which is made if there is none. Answers where.
    ///
    /// # Errors
    ///
    /// Like [`Directory::write_at`].
    pub fn append(&self, name: &str, bytes: &[u8]) -> io::Result<u64> {
        let mut state = self.look()?;
        let end = state.model.content(name).map_or(0, <[u8]>::len);
        state.write(name, end, bytes)?;
        Ok(end as u64)
    }

    /// Makes a file as short as `length`, if it is longer.
    ///
    /// # Errors
    ///
    /// Like [`Directory::write_at`], or [`io::ErrorKind::NotFound`].
    pub fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.find(name)?;
        state.change(|model| model.truncate(name, place(length)), |_| {})
    }

    /// Gives a file another name, in the place of what had it.
    ///
    /// # Errors
    ///
    /// Like [`Directory::truncate`].
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.find(from)?;
        state.change(|model| model.rename(from, to), |_| {})
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Like [`Directory::truncate`].
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.find(name)?;
        state.change(|model| model.remove(name), |_| {})
    }

    /// Makes the content of a file durable; its name is another matter.
    ///
    /// # Errors
    ///
    /// Like [`Directory::truncate`]; nothing is durable then, nor need it be after
    /// another sync that succeeds.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.find(name)?;
        state.sync(|model| model.sync(name), |model| model.fail_sync(name))
    }

    /// Makes all names durable: what was made, renamed and removed.
    ///
    /// # Errors
    ///
    /// Like [`Directory::write_at`]; nothing is durable then, nor need it be after
    /// another sync that succeeds.
    pub fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.look()?;
        state.sync(Model::sync_directory, Model::fail_sync_directory)
    }

    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        match state.life == self.life {
            true => Ok(state),
            false => Err(io::Error::other("the disk crashed since it was mounted")),
        }
    }

    /// [`Directory::look`], at a file that is there.
    fn find(&self, name: &str) -> io::Result<MutexGuard<'_, State>> {
        let state = self.look()?;
        match state.model.content(name) {
            Some(_) => Ok(state),
            None => Err(missing(name)),
        }
    }
}

impl State {
    fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.change(
            |model| model.write(name, offset, bytes),
            |model| model.write_some(name, offset, bytes),
        )
    }

    /// Changes something, or what `by_half` leaves if that fails. What the machine stops
    /// in may have happened by half, too, which the next crash decides.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Model),
        by_half: impl FnOnce(&mut Model),
    ) -> io::Result<()> {
        let course = self.step();
        match course {
            Course::Succeeds | Course::Stops => change(&mut self.model),
            Course::Fails => by_half(&mut self.model),
            Course::HasStopped => {}
        }
        course.outcome()
    }

    fn sync(
        &mut self,
        sync: impl FnOnce(&mut Model),
        fail: impl FnOnce(&mut Model),
    ) -> io::Result<()> {
        let course = self.step();
        match course {
            Course::Succeeds => sync(&mut self.model),
            Course::Fails => fail(&mut self.model),
            Course::Stops | Course::HasStopped => {}
        }
        course.outcome()
    }

    /// One more operation.
    fn step(&mut self) -> Course {
        if self.has_stopped {
            return Course::HasStopped;
        }
        if count_down(&mut self.left) {
            self.has_stopped = true;
            return Course::Stops;
        }
        if count_down(&mut self.left_to_failure) {
            self.left_to_failure = None;
            self.has_failed = true;
            return Course::Fails;
        }
        Course::Succeeds
    }
}

impl Course {
    fn outcome(&self) -> io::Result<()> {
        match self {
            Self::Succeeds => Ok(()),
            Self::Fails => Err(io::Error::other("the disk fails, as it was told to")),
            Self::Stops | Self::HasStopped => {
                Err(io::Error::other("the machine stopped, as it was told to"))
            }
        }
    }
}

/// Counts one operation. Answers whether none was left.
fn count_down(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
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
