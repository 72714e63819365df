//! A store belongs to one node, and says whose it is.

use raft_storage_rocks::{RocksOptions, RocksStore, StoreError};

use crate::support::{Place, identity};

fn open_as(place: &Place, cluster: u64, node: u64) -> Result<RocksStore, StoreError> {
    RocksStore::open(
        place.path(),
        &RocksOptions::default(),
        identity(cluster, node),
    )
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

    let Err(error) = open_as(&place, 1, 2) else {
        panic!("it was opened")
    };
    let text = error.to_string();

    assert!(
        text.contains("node n1 of cluster 1") && text.contains("node n2"),
        "{text}"
    );
    assert!(text.contains("its own data directory"), "{text}");
}

#[test]
fn the_store_of_another_cluster_is_refused() {
    let place = Place::new();
    drop(open_as(&place, 1, 1).unwrap());

    assert!(matches!(
        open_as(&place, 2, 1),
        Err(StoreError::AnotherNode { .. })
    ));
}

#[test]
fn a_store_in_use_is_refused() {
    let place = Place::new();
    let _held = open_as(&place, 1, 1).unwrap();

    assert!(matches!(
        open_as(&place, 1, 1),
        Err(StoreError::InUse { .. })
    ));
}

#[test]
fn a_damaged_identity_is_refused() {
    let place = Place::new();
    drop(open_as(&place, 1, 1).unwrap());
    place.rewrite("identity", b"identity", |record| record[8] ^= 1);

    assert!(matches!(
        open_as(&place, 1, 1),
        Err(StoreError::Damaged { .. })
    ));
}
