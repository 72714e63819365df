//! The files of a live store as a crash at one moment would leave them.
//!
//! They are copied one after the other while the store goes on. So a copy during which
//! any came, went or changed is no moment, and made anew; but for files that only grow at
//! their end, which a crash tears anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

/// Longer than any store is busy without a pause.
const PATIENCE: Duration = Duration::from_secs(60);

/// It must not be newer in the copy than the write-ahead log: no crash leaves that.
const FIRST: &str = "WATERMARK";

/// What is below a directory: for each file what must not change during a copy.
type Files = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

/// Copies `from` to `to`, which need not exist.
///
/// # Panics
///
/// When it cannot be read for another reason than that something was removed, and when it
/// rests at no moment.
pub(crate) fn copy_moment(from: &Path, to: &Path) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match is_moment_copied(from, to) {
            Ok(true) => return,
            Ok(false) => {}
            // Something was there a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound && from.is_dir() => {}
            Err(error) => panic!("{} cannot be copied: {error}", from.display()),
        }
        fs::remove_dir_all(to).expect("what was copied can be removed");
    }
    panic!("{} rests at no moment", from.display());
}

fn is_moment_copied(from: &Path, to: &Path) -> io::Result<bool> {
    fs::create_dir_all(to)?;
    let before = files_below(from)?;
    let first = |file: &&PathBuf| file.ends_with(FIRST);
    let others = before.keys().filter(|file| !first(file));
    for file in before.keys().filter(first).chain(others) {
        let copy = to.join(file);
        fs::create_dir_all(copy.parent().expect("it lies in the copy"))?;
        fs::copy(from.join(file), copy)?;
    }
    Ok(files_below(from)? == before)
}

/// The files below a directory, named from there.
fn files_below(directory: &Path) -> io::Result<Files> {
    let mut found = Files::new();
    for entry in fs::read_dir(directory)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            let below = files_below(&path)?.into_iter();
            let named = below.map(|(file, state)| (Path::new(&name).join(file), state));
            found.extend(named);
        } else {
            let fixed = !grows(&name.to_string_lossy());
            let state = fixed.then(|| Ok::<_, io::Error>((metadata.len(), metadata.modified()?)));
            found.insert(name.into(), state.transpose()?);
        }
    }
    Ok(found)
}

/// Write-ahead logs, RocksDB's notes for people, and the watermark.
fn grows(name: &str) -> bool {
    name.ends_with(".log") || name.starts_with("LOG") || name == FIRST
}

#[test]
fn files_that_come_and_go_while_they_are_copied_do_not_matter() {
    let (live, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let live_state = live.path().join("state-1");
    fs::create_dir(&live_state).unwrap();
    fs::write(live_state.join("0.sst"), "0").unwrap();
    let busy = std::thread::spawn(move || {
        for next in 1..2000 {
            fs::write(live_state.join(format!("{next}.sst")), next.to_string()).unwrap();
            fs::remove_file(live_state.join(format!("{}.sst", next - 1))).unwrap();
        }
    });

    let mut copied = 0;
    while copied == 0 || !busy.is_finished() {
        let to = copies.path().join(copied.to_string());
        copy_moment(live.path(), &to);
        let found = files_below(&to).unwrap().into_keys();
        let contents: Vec<_> = found
            .map(|file| (fs::read(to.join(&file)).unwrap(), file))
            .collect();
        assert!((1..=2).contains(&contents.len()), "{contents:?}");
        for (content, file) in contents {
            let number = file.file_stem().unwrap().to_str().unwrap();
            // It may have been made a moment ago, and not written yet.
            let is_whole = content.is_empty() || content == number.as_bytes();
            assert!(is_whole, "{number} holds {content:?}");
        }
        copied += 1;
    }
    busy.join().unwrap();
}
