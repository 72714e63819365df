//! Prints what lies in a store that no process has open.
//!
//! `cargo run -p raft-storage-rocks --example inspect_log DIRECTORY CLUSTER NODE`

use raft_core::{GroupId, Incarnation, LogStore, NodeId, StableStore, StoredEntry};
use raft_storage_rocks::{Identity, RocksOptions, RocksStore};

type AnyError = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, cluster, node] = arguments.as_slice() else {
        return Err(
            "usage: inspect_log DIRECTORY CLUSTER NODE (both numbers, cluster in hex)".into(),
        );
    };
    let identity = Identity {
        cluster: u64::from_str_radix(cluster, 16)?,
        node: NodeId::new(node.parse()?),
        incarnation: Incarnation::new(0),
    };
    let store = RocksStore::open(path, &RocksOptions::default(), identity)?;
    let (group, log) = (GroupId::new(0), store.log_store(GroupId::new(0))?);
    println!("vote    {:?}", store.stable_store(group).load().await?);
    let bounds = log.bounds().await?;
    println!("purged  {}\nlast    {}", bounds.purged, bounds.last);
    let mut index = bounds.purged.index.next();
    while index <= bounds.last.index {
        for stored in log.read(index, bounds.last.index, 1 << 20).await? {
            match stored {
                StoredEntry::Entry(entry) => {
                    println!(
                        "{}  {:?}, {} bytes",
                        entry.log_id,
                        entry.kind(),
                        entry.size()
                    );
                }
                other => println!("{other:?}"),
            }
            index = index.next();
        }
    }
    Ok(())
}
