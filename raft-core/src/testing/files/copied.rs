//! A real directory, copied when it crashes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::protocol::random::Random;

/// The directory of a store that uses the file system itself.
///
/// See [the module](super) for what it cannot show.
#[derive(Debug)]
pub struct CopiedDirectory {
    base: PathBuf,
    lives: u64,
    random: Random,
    /// How long each file was when a call returned last.
    returned: BTreeMap<PathBuf, u64>,
}

impl CopiedDirectory {
    /// An empty directory below `base`, which exists and holds nothing else.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new(base: impl Into<PathBuf>, seed: u64) -> io::Result<Self> {
        let directory = Self {
            base: base.into(),
            lives: 0,
            random: Random::new(seed),
            returned: BTreeMap::new(),
        };
        fs::create_dir_all(directory.path())?;
        Ok(directory)
    }

    /// Where the store keeps its files in this life.
    pub fn path(&self) -> PathBuf {
        self.base.join(format!("life-{}", self.lives))
    }

    /// A call of the store returned: what it wrote must be there from now on.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn call_returned(&mut self) -> io::Result<()> {
        self.returned = lengths(&self.path())?;
        Ok(())
    }

    /// Goes on in a copy of the directory. What lies behind the end that a file had
    /// when a call returned last stays, is cut, or reads as zeros from some point on.
    /// The store of the life before may go on writing; nobody will see it.
    ///
    /// # Errors
    ///
    /// When the directory cannot be copied.
    pub fn crash(&mut self) -> io::Result<()> {
        let from = self.path();
        self.lives += 1;
        let to = self.path();
        fs::create_dir_all(&to)?;
        for name in lengths(&from)?.into_keys() {
            let mut content = fs::read(from.join(&name))?;
            let kept = self.returned.get(&name).copied().unwrap_or(0);
            self.tear(&mut content, kept);
            let copy = to.join(&name);
            if let Some(parent) = copy.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(copy, content)?;
        }
        self.returned = lengths(&to)?;
        Ok(())
    }

    fn tear(&mut self, content: &mut Vec<u8>, kept: u64) {
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        let Some(unsure) = content.len().checked_sub(kept).filter(|more| *more > 0) else {
            return;
        };
        let unsure = unsure as u64 + 1;
        let whole = kept + usize::try_from(self.random.next() % unsure).unwrap_or(0);
        match self.random.next() % 3 {
            0 => {}
            1 => content.truncate(whole),
            _ => content[whole..].fill(0),
        }
    }

    /// Flips a bit of a file. Answers whether there is such a byte.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn flip(&self, name: impl AsRef<Path>, offset: u64) -> io::Result<bool> {
        let path = self.path().join(name);
        let mut content = fs::read(&path)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(byte) = content.get_mut(offset) else {
            return Ok(false);
        };
        *byte ^= 0x10;
        fs::write(path, content)?;
        Ok(true)
    }
}

/// All files below `directory`, by their path in it, with their lengths.
fn lengths(directory: &Path) -> io::Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inside) = open.pop() {
        for entry in fs::read_dir(directory.join(&inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            let about = entry.metadata()?;
            match about.is_dir() {
                true => open.push(path),
                false => drop(found.insert(path, about.len())),
            }
        }
    }
    Ok(found)
}
