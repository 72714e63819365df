//! What a crash leaves, and what damage looks like.
//!
//! A crash is a copy of the files at a moment: what sits in memory is not in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;
use std::{fs, io};

use super::*;
use raft_core::{LogIndex, StorageError};

/// The store as a crash at this moment would leave it. The store goes on in the
/// background, so a copy during which any file came, went or changed is no moment and
/// made anew.
pub(super) fn crashed_copy(from: &Path) -> TempDir {
    loop {
        let copy = TempDir::new().unwrap();
        match copy_of_a_moment(from, copy.path()) {
            Ok(true) => return copy,
            Ok(false) => {}
            // It was there a moment ago: a file that is made and removed again between
            // the two looks is in neither of them.
            Err(error) if error.kind() == io::ErrorKind::NotFound && from.is_dir() => {}
            Err(error) => panic!("{} cannot be copied: {error}", from.display()),
        }
    }
}

/// Copies a directory; answers whether nothing changed meanwhile.
fn copy_of_a_moment(from: &Path, to: &Path) -> io::Result<bool> {
    let before = files(from)?;
    copy_directory(from, to)?;
    Ok(files(from)? == before)
}

/// Names, lengths and times of all files below a directory.
fn files(directory: &Path) -> io::Result<BTreeMap<PathBuf, (u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.insert(path, (metadata.len(), metadata.modified()?));
        }
    }
    Ok(found)
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A history that overwrites, deletes, re-creates and moves several keys at once.
fn history() -> Vec<Command> {
    (0..60_u8)
        .map(|n| {
            let key = format!("k{}", n % 7);
            match n % 5 {
                0 => Command::DeleteRange(delete(&key, "k5")),
                1 => Command::Txn(Txn {
                    success: vec![Op::Put(put(&key, "t")), Op::Put(put("other", "t"))],
                    ..Txn::default()
                }),
                _ => Command::Put(put(&key, &n.to_string())),
            }
        })
        .collect()
}

#[tokio::test]
async fn re_applying_from_the_durable_position_gives_the_same_state() {
    let commands = history();
    let mut whole = Replica::new();
    whole.apply_all(&commands).await;
    let expected = whole.store.hash().unwrap();

    for flushed in [0, 1, 17, 60] {
        let mut replica = Replica::new();
        replica.apply_all(&commands[..flushed]).await;
        replica.machine.flush().await.unwrap();
        for command in &commands[flushed..] {
            replica.apply(command.clone()).await;
        }

        let mut survivor = Replica::open(crashed_copy(replica.path()));
        let durable = usize::try_from(survivor.machine.durable_applied().get()).unwrap();
        assert_eq!(durable, flushed);
        assert_eq!(
            survivor.store.last_applied().index,
            survivor.machine.durable_applied()
        );
        survivor.apply_all(&commands[durable..]).await;

        assert_eq!(
            survivor.store.hash().unwrap(),
            expected,
            "{flushed} flushed"
        );
        assert_eq!(replica.store.hash().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_crash_after_any_flush_finds_data_and_position_of_the_same_moment() {
    let mut replica = Replica::new();
    for n in 1..=8 {
        replica.put("counter", &n.to_string()).await;
        replica.machine.flush().await.unwrap();
        replica.put("counter", "lost").await;

        let survivor = Replica::open(crashed_copy(replica.path()));

        let found = survivor.get("counter").unwrap();
        assert_eq!(found.value, n.to_string().into_bytes());
        assert_eq!(found.mod_revision, survivor.store.revision().unwrap());
        assert_eq!(
            survivor.store.last_applied().index,
            LogIndex::new(2 * n - 1)
        );
    }
}

#[tokio::test]
async fn a_store_that_was_closed_in_peace_has_lost_nothing() {
    let mut replica = Replica::new();
    replica
        .machine
        .apply(membership_entry(1, Membership::of_ids([1])))
        .await
        .unwrap();
    replica.put("a", "1").await;
    let hash = replica.store.hash().unwrap();
    let Replica {
        store,
        machine,
        directory,
    } = replica;
    drop((store, machine));

    let reopened = Replica::open(directory);

    assert_eq!(reopened.store.hash().unwrap(), hash);
    assert_eq!(reopened.store.last_applied(), LogId::new(1, 2));
    assert_eq!(reopened.store.membership(), Some(Membership::of_ids([1])));
    assert_eq!(reopened.machine.durable_applied(), LogIndex::new(2));
}

#[tokio::test]
async fn a_missing_or_senseless_pointer_to_the_state_is_an_error() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    replica.machine.flush().await.unwrap();

    for text in [None, Some("nonsense"), Some("state-7\n")] {
        let copy = crashed_copy(replica.path());
        let pointer = copy.path().join("ACTIVE");
        match text {
            None => fs::remove_file(pointer).unwrap(),
            Some(text) => fs::write(pointer, text).unwrap(),
        }
        let Err(error) = MvccStore::open(copy.path()) else {
            panic!("opened with {text:?}");
        };
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_flipped_byte_on_disk_is_an_error_and_never_data() {
    let mut replica = Replica::new();
    replica.put("a", &"precious ".repeat(50)).await;
    replica.machine.flush().await.unwrap();
    let copy = crashed_copy(replica.path());
    let mut damaged = 0;
    for file in fs::read_dir(copy.path().join("state-1")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[20] ^= 1;
            fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "the flush left no table to damage");

    let answer = MvccStore::open(copy.path())
        .map_err(QueryError::from)
        .and_then(|(store, _machine)| store.range(&range("a", "")));

    let corrupt =
        |error: &QueryError| matches!(error, QueryError::Storage(StorageError::Corrupt { .. }));
    assert!(answer.as_ref().is_err_and(corrupt), "{answer:?}");
}
