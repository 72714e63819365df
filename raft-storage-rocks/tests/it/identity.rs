//! A store belongs to one node, and says whose it is.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use raft_core::{LogStore, StableState, StableStore};
use raft_storage_rocks::{RocksOptions, RocksStore, StoreError};
use rocksdb::{DB, Options};

use crate::support::{GROUP, Place, append, entry, identity, sealed};

/// Set for the process that holds a store until its input ends: where it is.
const PLACE: &str = "RAFT_STORAGE_IDENTITY_TEST";

fn open_as(place: &Place, cluster: u64, node: u64) -> Result<RocksStore, StoreError> {
    RocksStore::open(
        place.path(),
        &RocksOptions::default(),
        identity(cluster, node),
    )
}

fn refusal(place: &Place, cluster: u64, node: u64) -> StoreError {
    match open_as(place, cluster, node) {
        Ok(_) => panic!("it was opened"),
        Err(refusal) => refusal,
    }
}

#[test]
fn the_same_node_opens_its_store_again() {
    let place = Place::new();
    drop(open_as(&place, 1, 1).unwrap());

    assert!(open_as(&place, 1, 1).is_ok());
}

#[test]
fn the_store_of_another_node_is_refused_and_both_are_named() {
    let place = Place::new();
    drop(open_as(&place, 1, 1).unwrap());

    let text = refusal(&place, 1, 2).to_string();

    assert!(text.contains("node n1 of cluster 1"), "{text}");
    assert!(text.contains("node n2 of cluster 1"), "{text}");
    assert!(text.contains("its own data directory"), "{text}");
}

#[test]
fn the_store_of_another_cluster_is_refused() {
    let place = Place::new();
    drop(open_as(&place, 1, 1).unwrap());

    let refusal = refusal(&place, 2, 1);

    assert!(
        matches!(refusal, StoreError::AnotherNode { .. }),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn a_refused_opening_changes_nothing() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1)]).await;
    drop(log);

    refusal(&place, 2, 1);

    let store = open_as(&place, 1, 1).unwrap();
    let last = store.log_store(GROUP).unwrap().bounds().await.unwrap().last;
    assert_eq!(last, entry(1, 1).log_id);
}

#[test]
fn a_store_that_this_process_has_open_is_refused() {
    let place = Place::new();
    let _held = open_as(&place, 1, 1).unwrap();

    let refusal = refusal(&place, 1, 1);

    assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal:?}");
}

/// Does nothing but when started by the test below.
#[test]
fn child_process_that_holds_a_store() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let _held = RocksStore::open(path, &RocksOptions::default(), identity(1, 1)).unwrap();
    println!("\nheld");
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .unwrap();
}

#[test]
fn a_store_that_another_process_has_open_is_refused() {
    let place = Place::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("identity::child_process_that_holds_a_store")
        .env(PLACE, place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "held"),
        "the child failed"
    );

    let refusal = refusal(&place, 1, 1);
    drop(child.stdin.take());
    child.wait().unwrap();

    let text = refusal.to_string();
    assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal:?}");
    assert!(text.contains("another process"), "{text}");
    assert!(open_as(&place, 1, 1).is_ok());
}

#[test]
fn a_damaged_identity_is_refused() {
    let place = Place::new();
    drop(open_as(&place, 1, 1).unwrap());
    place.rewrite("identity", b"identity", |record| record[8] ^= 1);

    let refusal = refusal(&place, 1, 1);

    assert!(matches!(refusal, StoreError::Damaged { .. }), "{refusal:?}");
}

#[tokio::test]
async fn records_without_an_identity_belong_to_nobody() {
    let place = Place::new();
    let log = place.open().log_store(GROUP).unwrap();
    append(&log, None, vec![entry(1, 1)]).await;
    drop(log);
    place.remove("identity", b"identity");

    let refusal = refusal(&place, 1, 1);

    assert!(matches!(refusal, StoreError::Damaged { .. }), "{refusal:?}");
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let body_of_format_2 = [2, 1, 1, 0];
    let cases = [
        ("2", sealed(b"identity", 1, 1, &body_of_format_2)),
        ("7", sealed(b"identity", 7, 1, b"whatever it is then")),
    ];
    for (number, record) in cases {
        let place = Place::new();
        drop(open_as(&place, 1, 1).unwrap());
        place.rewrite("identity", b"identity", |stored| *stored = record);

        let refusal = refusal(&place, 1, 1);

        let text = refusal.to_string();
        assert!(
            matches!(refusal, StoreError::UnknownFormat { .. }),
            "{refusal:?}"
        );
        assert!(text.contains(&format!("has format {number}")), "{text}");
        assert!(text.contains("up to 1"), "{text}");
    }
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let place = Place::new();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    drop(DB::open_cf(&options, place.path(), ["accounts"]).unwrap());

    let refusal = refusal(&place, 1, 1);

    assert!(matches!(refusal, StoreError::Foreign { .. }), "{refusal:?}");
    let families = DB::list_cf(&Options::default(), place.path()).unwrap();
    assert_eq!(families, ["default", "accounts"]);
}

#[tokio::test]
async fn tools_learn_whose_a_store_is_without_claiming_it() {
    let place = Place::new();
    let nothing = RocksStore::identity_in(place.path());
    assert!(
        matches!(nothing, Err(StoreError::Foreign { .. })),
        "{nothing:?}"
    );
    assert!(!place.path().exists(), "looking made a directory");
    drop(open_as(&place, 5, 3).unwrap());

    let found = RocksStore::identity_in(place.path()).unwrap();

    assert_eq!(found, Some(identity(5, 3)));
    let stable = open_as(&place, 5, 3).unwrap().stable_store(GROUP);
    assert_eq!(stable.load().await.unwrap(), StableState::Empty);
}
