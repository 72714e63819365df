//! What a file system holds: what programs see, and what a power cut leaves of it.
//!
//! POSIX promises little, and so does this: a write is durable when its file was synced
//! since, a name when its directory was. Until then each write is lost, kept or torn on
//! its own. Changes of names keep their order, as journals keep it: a crash leaves the
//! first few of them.
//!
//! A sync that fails is worse than none. Linux marks what it could not write as clean:
//! programs go on reading it, the next sync succeeds without it, and a power cut shows that
//! it is gone.

use std::collections::BTreeMap;

use crate::protocol::random::Random;

/// A change of a file that was not synced yet.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => content.truncate(*length),
            Self::Write { offset, bytes } => put(content, *offset, bytes),
        }
    }

    /// Applies a part of it, as when power fails in the middle.
    fn tear(&self, content: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { offset, bytes } = self else {
            return;
        };
        let kept = below(random, bytes.len() + 1);
        put(content, *offset, &bytes[..kept]);
        // The length may have come through, and the bytes not.
        if random.next().is_multiple_of(2) {
            let zeros = vec![0; bytes.len() - kept];
            put(content, offset + kept, &zeros);
        }
    }
}

/// Overwrites or extends; a hole reads as zeros.
fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// The bytes of one file, under whatever name.
#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// A change of names that was not synced yet.
#[derive(Clone, Debug)]
enum Naming {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// How a crash treats what was not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    LosesAll,
    KeepsAll,
    EachItsOwn,
}

/// One directory of files.
#[derive(Debug)]
pub(super) struct Model {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<Naming>,
    next_file: u64,
    random: Random,
    crashes: u64,
    failed_syncs: u64,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            next_file: 0,
            random: Random::new(seed),
            crashes: 0,
            failed_syncs: 0,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn content(&self, name: &str) -> Option<&[u8]> {
        let file = self.files.get(self.names.get(name)?)?;
        Some(&file.content)
    }

    /// Changes a file, which is made if there is none.
    pub(super) fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.change(name, Change::Write { offset, bytes });
    }

    /// Writes the beginning of `bytes`, as a write that fails may have.
    pub(super) fn write_some(&mut self, name: &str, offset: usize, bytes: &[u8]) {
        let written = below(&mut self.random, bytes.len() + 1);
        if written > 0 {
            self.write(name, offset, &bytes[..written]);
        }
    }

    pub(super) fn truncate(&mut self, name: &str, length: usize) {
        self.change(name, Change::Truncate(length));
    }

    fn change(&mut self, name: &str, change: Change) {
        if !self.names.contains_key(name) {
            self.next_file += 1;
            self.files.insert(self.next_file, File::default());
            self.name(Naming::Create(name.to_owned(), self.next_file));
        }
        if let Some(file) = self.file(name) {
            change.apply(&mut file.content);
            file.unsynced.push(change);
        }
    }

    fn file(&mut self, name: &str) -> Option<&mut File> {
        let file = self.names.get(name)?;
        self.files.get_mut(file)
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.name(Naming::Rename(from.to_owned(), to.to_owned()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.name(Naming::Remove(name.to_owned()));
    }

    pub(super) fn sync(&mut self, name: &str) {
        if let Some(file) = self.file(name) {
            // Not the content, which has what a failed sync gave up, too.
            for change in std::mem::take(&mut file.unsynced) {
                change.apply(&mut file.durable);
            }
        }
    }

    pub(super) fn sync_directory(&mut self) {
        for naming in std::mem::take(&mut self.unsynced_names) {
            naming.apply(&mut self.durable_names);
        }
    }

    /// A sync of a file fails: no later one makes durable what this one gave up.
    pub(super) fn fail_sync(&mut self, name: &str) {
        if self.gives_up()
            && let Some(file) = self.file(name)
        {
            file.unsynced.clear();
        }
    }

    /// A sync of the directory fails: no later one makes durable what this one gave up.
    pub(super) fn fail_sync_directory(&mut self) {
        if self.gives_up() {
            self.unsynced_names.clear();
        }
    }

    /// Whether a failed sync gives up what it was to write. The first one does, so
    /// that a store which goes on shows for sure.
    fn gives_up(&mut self) -> bool {
        self.failed_syncs += 1;
        let drawn = self.random.next().is_multiple_of(2);
        self.failed_syncs == 1 || drawn
    }

    /// Damages what is stored, synced or not.
    pub(super) fn flip(&mut self, name: &str, offset: usize) -> bool {
        let byte = self.file(name).and_then(|file| {
            let durable = file.durable.get_mut(offset)?;
            let byte = file.content.get_mut(offset)?;
            Some((durable, byte))
        });
        let Some((durable, byte)) = byte else {
            return false;
        };
        *byte ^= 0x10;
        *durable = *byte;
        true
    }

    /// Leaves what a power cut may leave. The first one takes all that was not
    /// synced, so that a missing sync shows for sure.
    pub(super) fn crash(&mut self) {
        use Mood::{EachItsOwn, KeepsAll, LosesAll};
        let moods = [LosesAll, KeepsAll, EachItsOwn, EachItsOwn];
        let drawn = below(&mut self.random, moods.len());
        let mood = if self.crashes == 0 {
            LosesAll
        } else {
            moods[drawn]
        };
        self.crashes += 1;
        let namings = std::mem::take(&mut self.unsynced_names);
        let kept = match mood {
            LosesAll => 0,
            KeepsAll => namings.len(),
            EachItsOwn => below(&mut self.random, namings.len() + 1),
        };
        for naming in &namings[..kept] {
            naming.apply(&mut self.durable_names);
        }
        self.names.clone_from(&self.durable_names);
        for file in self.files.values_mut() {
            for change in std::mem::take(&mut file.unsynced) {
                match (mood, below(&mut self.random, 3)) {
                    (LosesAll, _) | (EachItsOwn, 0) => {}
                    (KeepsAll, _) | (EachItsOwn, 1) => change.apply(&mut file.durable),
                    (EachItsOwn, _) => change.tear(&mut file.durable, &mut self.random),
                }
            }
            file.content.clone_from(&file.durable);
        }
        let names = &self.names;
        self.files
            .retain(|file, _| names.values().any(|named| named == file));
    }
}

/// A number below `bound`.
fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.next() % bound as u64).expect("it is below a usize")
}
