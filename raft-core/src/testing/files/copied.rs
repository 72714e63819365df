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
    /// What each file was when a call returned last.
    returned: BTreeMap<PathBuf, Seen>,
}

/// A file as the operating system showed it.
#[derive(Debug)]
struct Seen {
    /// Tells a file that was written anew from one that took its name; unknown on systems
    /// without such a number.
    identity: Option<u64>,
    content: Vec<u8>,
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

    /// A call of the store returned, or it was opened: what it wrote must be there from
    /// now on.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn call_returned(&mut self) -> io::Result<()> {
        self.returned = seen_in(&self.path())?;
        Ok(())
    }

    /// Goes on in a copy of the directory. What was written into a file since a call
    /// returned last is there up to some point. Behind it stand the bytes that were there
    /// before, and where there were none the file ends or reads as zeros. A file
    /// that took the name of another one is there as it is: who does that has synced
    /// it. The store of the life before may go on writing; nobody will see it.
    ///
    /// # Errors
    ///
    /// When the directory cannot be copied.
    pub fn crash(&mut self) -> io::Result<()> {
        let from = self.path();
        self.lives += 1;
        let to = self.path();
        fs::create_dir_all(&to)?;
        for (name, mut seen) in seen_in(&from)? {
            let before = self.returned.remove(&name);
            tear(&mut seen, before.as_ref(), &mut self.random);
            let copy = to.join(&name);
            if let Some(parent) = copy.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(copy, seen.content)?;
        }
        self.returned = seen_in(&to)?;
        Ok(())
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

/// Tears what is new in a file.
fn tear(now: &mut Seen, before: Option<&Seen>, random: &mut Random) {
    let Some((first, old)) = unsure(now, before) else {
        return;
    };
    let mood = random.next() % 3;
    if mood == 0 {
        return;
    }
    let content = &mut now.content;
    let last = (first..content.len()).rfind(|&at| old.get(at) != content.get(at));
    let choices = last.map_or(1, |last| last - first + 2);
    let point = first + usize::try_from(random.next() % choices as u64).unwrap_or(0);
    let kept = old.len().min(content.len()).max(point);
    if point < kept {
        content[point..kept].copy_from_slice(&old[point..kept]);
    }
    match mood {
        1 => content.truncate(kept),
        _ => content[kept..].fill(0),
    }
}

/// The first byte of a file that is not certain, and what was there before.
fn unsure<'a>(now: &Seen, before: Option<&'a Seen>) -> Option<(usize, &'a [u8])> {
    let Some(before) = before else {
        return Some((0, &[]));
    };
    let old = before.content.as_slice();
    let first = match (now.identity, before.identity) {
        (Some(now), Some(before)) if now != before => return None,
        (Some(_), Some(_)) => {
            let same = now.content.iter().zip(old);
            same.take_while(|(now, old)| now == old).count()
        }
        // It may be another file: only what is longer is surely new.
        _ => old.len(),
    };
    (first < now.content.len()).then_some((first, old))
}

/// All files below `directory`, by their path in it.
fn seen_in(directory: &Path) -> io::Result<BTreeMap<PathBuf, Seen>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inside) = open.pop() {
        for entry in fs::read_dir(directory.join(&inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            let about = entry.metadata()?;
            if about.is_dir() {
                open.push(path);
                continue;
            }
            let seen = Seen {
                identity: identity(&about),
                content: fs::read(directory.join(&path))?,
            };
            found.insert(path, seen);
        }
    }
    Ok(found)
}

#[cfg(unix)]
fn identity(about: &fs::Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(about))
}

#[cfg(not(unix))]
fn identity(_about: &fs::Metadata) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"old value, old value";

    /// What crashes leave of a file that held `OLD` when a call returned last, and then
    /// was changed by `change`, which is given its path.
    fn left(change: impl Fn(&Path)) -> Vec<Vec<u8>> {
        static PLACES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let leave = |seed| {
            let place = PLACES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let name = format!("copied-{}-{place}", std::process::id());
            let base = std::env::temp_dir().join(name);
            let mut directory = CopiedDirectory::new(&base, seed).unwrap();
            fs::write(directory.path().join("file"), OLD).unwrap();
            directory.call_returned().unwrap();
            change(&directory.path().join("file"));
            directory.crash().unwrap();
            let left = fs::read(directory.path().join("file")).unwrap();
            fs::remove_dir_all(base).unwrap();
            left
        };
        (0..60).map(leave).collect()
    }

    fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
        use std::io::{Seek, Write};
        let mut file = fs::File::options().write(true).open(path).unwrap();
        file.seek(io::SeekFrom::Start(offset)).unwrap();
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn what_a_call_has_returned_for_stays() {
        let left = left(|_| {});
        assert!(left.iter().all(|left| left == OLD));
    }

    #[test]
    fn a_tail_is_kept_cut_or_zeroed() {
        let left = left(|path| write_at(path, OLD.len() as u64, b"more"));
        assert!(left.iter().all(|left| left.starts_with(OLD)));
        for tail in ["", "more", "mo", "mo\0\0"] {
            let wanted = [OLD, tail.as_bytes()].concat();
            assert!(left.contains(&wanted), "{tail:?} is not among {left:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_in_place_is_torn_and_what_lies_beside_it_is_not() {
        let left = left(|path| write_at(path, 4, b"other"));
        let tails_stay = left.iter().all(|left| left.len() == OLD.len());
        assert!(tails_stay && left.iter().all(|left| left.ends_with(b", old value")));
        assert!(left.contains(&OLD.to_vec()));
        assert!(left.contains(&b"old other, old value".to_vec()));
        assert!(left.contains(&b"old otlue, old value".to_vec()));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_took_the_name_is_there_as_it_is() {
        let new = b"a new and quite a bit longer value";
        let left = left(|path| {
            let other = path.with_extension("new");
            fs::write(&other, new).unwrap();
            fs::rename(other, path).unwrap();
        });
        assert!(left.iter().all(|left| left == new));
    }
}
