//! Which state is in use: the file that names it, and the handle that all share.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use raft_core::{LogIndex, StorageError};

use super::corrupt;
use super::state::{Layout, State};

const ACTIVE: &str = "ACTIVE";
const DIRECTORY_PREFIX: &str = "state-";

/// The state in use, for all handles of one machine.
pub(super) struct Active {
    root: PathBuf,
    state: RwLock<Arc<State>>,
}

impl Active {
    /// Opens the state in use under `root`, or begins an empty one.
    pub(super) fn open(root: &Path, layout: &Arc<Layout>) -> Result<Self, StorageError> {
        fs::create_dir_all(root).map_err(|e| StorageError::io("creating the data directory", e))?;
        let state = match read_active(root)? {
            Some(number) => open_existing(root, layout, number)?,
            None => begin(root, layout)?,
        };
        remove_others(root, &state)?;
        Ok(Self {
            root: root.to_owned(),
            state: RwLock::new(Arc::new(state)),
        })
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// An empty state beside the one in use, removed again when dropped unless it is
    /// put in its place.
    pub(super) fn begin_successor(&self) -> Result<State, StorageError> {
        let current = self.state();
        // Another one that is there may be named after a switch that failed half way, or
        // be on its way out. The next start removes what is not needed.
        let numbers = state_numbers(&self.root)?.into_iter();
        let number = numbers.max().unwrap_or_default().max(current.number) + 1;
        let path = directory(&self.root, number);
        let state = State::open(&current.layout, path, number, true)?;
        state.set_obsolete(true);
        Ok(state)
    }

    /// Puts `successor` in the place of the state in use, durably.
    pub(super) fn replace(&self, successor: Arc<State>) -> Result<(), StorageError> {
        if let Err(error) = activate(&self.root, &successor) {
            // Which of the two the next start opens is open: neither may change.
            self.state().close();
            return Err(error);
        }
        let mut active = self.state.write().unwrap_or_else(PoisonError::into_inner);
        active.set_obsolete(true);
        *active = successor;
        Ok(())
    }
}

fn open_existing(root: &Path, layout: &Arc<Layout>, number: u64) -> Result<State, StorageError> {
    let directory = directory(root, number);
    if !directory.is_dir() {
        let reason = format!("it names {DIRECTORY_PREFIX}{number}, which is not there");
        return Err(corrupt(root.join(ACTIVE).display().to_string(), reason));
    }
    State::open(layout, directory, number, false)
}

/// The first start, or one that follows a crash in the middle of the first start.
fn begin(root: &Path, layout: &Arc<Layout>) -> Result<State, StorageError> {
    let numbers = state_numbers(root)?;
    let state = State::open(layout, directory(root, 1), 1, true)?;
    let untouched = state.position().last_applied.index == LogIndex::ZERO;
    if !untouched || numbers.iter().any(|&number| number != 1) {
        let reason = "it is missing, yet there is data beside it";
        return Err(corrupt(root.join(ACTIVE).display().to_string(), reason));
    }
    activate(root, &state)?;
    Ok(state)
}

/// Makes this state the one that the next start opens.
fn activate(root: &Path, state: &State) -> Result<(), StorageError> {
    let text = format!("{DIRECTORY_PREFIX}{}\n", state.number);
    // Kept from now on, whatever follows: if the switch fails half way, the
    // next start may find either state named, and must find both.
    state.set_obsolete(false);
    replace_durably(root, ACTIVE, &text)
        .map_err(|e| StorageError::io("switching to the new state", e))
}

/// Removes what earlier restores left. Our database is open and locked, so no
/// other process is in the middle of one.
fn remove_others(root: &Path, state: &State) -> Result<(), StorageError> {
    for number in state_numbers(root)? {
        if number != state.number {
            match fs::remove_dir_all(directory(root, number)) {
                // A restore that was called off is still removing what it wrote.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed.map_err(|e| StorageError::io("removing an obsolete state", e))?;
                }
            }
        }
    }
    Ok(())
}

fn directory(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{DIRECTORY_PREFIX}{number}"))
}

fn parse_number(name: &str) -> Option<u64> {
    name.strip_prefix(DIRECTORY_PREFIX)?.parse().ok()
}

fn read_active(root: &Path) -> Result<Option<u64>, StorageError> {
    let path = root.join(ACTIVE);
    match fs::read_to_string(&path) {
        Ok(text) => match parse_number(text.trim_end()) {
            Some(number) => Ok(Some(number)),
            None => Err(corrupt(
                path.display().to_string(),
                format!("it holds {text:?}"),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("reading which state is in use", error)),
    }
}

fn state_numbers(root: &Path) -> Result<Vec<u64>, StorageError> {
    let failed = |e| StorageError::io("listing the data directory", e);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(parse_number));
    }
    Ok(numbers)
}

/// After a crash the file holds the old text or the new one.
fn replace_durably(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let fresh = root.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The new state's directory entry must be there before anything names it.
    sync_directory(root)?;
    fs::rename(&fresh, root.join(name))?;
    sync_directory(root)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    // Only Unix lets a directory be opened and synced as a file.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}
