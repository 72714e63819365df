//! What a recorded disk leaves, crash by crash and failure by failure.

use super::{Directory, RecordedDisk};

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

/// Where a write and two syncs lead, if `operations` go well and then one fails:
/// how they went, and what is left after a crash.
fn left_by_failure(seed: u64, operations: u64) -> ([bool; 3], Vec<u8>) {
    let disk = RecordedDisk::new(seed);
    let directory = disk.mount();
    directory.append("log", b"durable,").unwrap();
    directory.sync("log").unwrap();
    directory.sync_directory().unwrap();
    disk.fail_after(operations);
    let went = [
        directory.append("log", b"more").is_ok(),
        directory.sync("log").is_ok(),
        directory.sync("log").is_ok(),
    ];
    assert_eq!(disk.has_failed(), operations < 3);
    disk.crash();
    assert!(!disk.has_failed());
    (went, disk.mount().read("log").unwrap())
}

#[test]
fn what_a_failed_sync_gives_up_no_later_one_makes_durable() {
    let (went, left) = left_by_failure(1, 1);
    assert_eq!(went, [true, false, true]);
    assert_eq!(left, b"durable,");
}

#[test]
fn what_a_failed_sync_gives_up_is_read_until_the_crash() {
    let disk = RecordedDisk::new(1);
    let directory = disk.mount();
    directory.append("log", b"one,").unwrap();
    disk.fail_next();
    assert!(directory.sync("log").is_err());
    directory.append("log", b"two").unwrap();
    assert_eq!(directory.read("log").unwrap(), b"one,two");
    directory.sync("log").unwrap();
    directory.sync_directory().unwrap();
    disk.crash();
    // What was written later is where it was written.
    assert_eq!(disk.mount().read("log").unwrap(), b"\0\0\0\0two");
}

#[test]
fn a_name_that_a_failed_sync_gives_up_is_lost() {
    let disk = RecordedDisk::new(1);
    let directory = disk.mount();
    directory.append("log", b"durable").unwrap();
    directory.sync("log").unwrap();
    disk.fail_next();
    assert!(directory.sync_directory().is_err());
    directory.sync_directory().unwrap();
    disk.crash();
    assert_eq!(disk.mount().names().unwrap(), Vec::<String>::new());
}

#[test]
fn a_write_that_fails_may_have_written_a_part() {
    let left: Vec<_> = (0..50).map(|seed| left_by_failure(seed, 0).1).collect();
    assert!(left.contains(&b"durable,".to_vec()) && left.contains(&b"durable,mo".to_vec()));
    let (went, whole) = left_by_failure(1, 3);
    assert_eq!((went, &*whole), ([true; 3], &b"durable,more"[..]));
}

#[test]
fn appends_of_two_threads_do_not_meet() {
    const THREADS: u8 = 2;
    const EACH: usize = 50_000;
    let disk = RecordedDisk::new(1);
    let start = std::sync::Barrier::new(THREADS.into());
    std::thread::scope(|threads| {
        for byte in 1..=THREADS {
            let (directory, start) = (disk.mount(), &start);
            threads.spawn(move || {
                start.wait();
                for _ in 0..EACH {
                    directory.append("log", &[byte]).unwrap();
                }
            });
        }
    });
    let content = disk.mount().read("log").unwrap();
    assert_eq!(content.len(), usize::from(THREADS) * EACH);
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
