//! Gives a cluster a state of a size: many keys with values that do not compress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use raft_kv::proto::etcdserverpb::PutRequest;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use tokio::time::sleep;

use super::{Members, channel};

const WRITERS: usize = 64;
/// How often one write is tried: an election may come between.
const TRIES: u32 = 20;
const BACK_OFF: Duration = Duration::from_millis(200);

/// Writes `keys` keys with `bytes` bytes of values in all.
pub(crate) async fn fill(members: &Members, bytes: u64, keys: u64) -> Result<()> {
    let began = Instant::now();
    let size = usize::try_from(bytes / keys.max(1)).context("the values are too large")?;
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let endpoint = &members.endpoints[writer % members.endpoints.len()];
        let mut client = KvClient::new(channel(endpoint)?);
        let next = Arc::clone(&next);
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return anyhow::Ok(());
                }
                let request = PutRequest {
                    key: format!("state/{number:09}").into(),
                    value: noise(number, size),
                    ..PutRequest::default()
                };
                let mut tries = 1;
                while let Err(status) = client.put(request.clone()).await {
                    anyhow::ensure!(tries < TRIES, "cannot write the state: {status}");
                    tries += 1;
                    sleep(BACK_OFF).await;
                }
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    println!("keys={keys} elapsed_ms={}", began.elapsed().as_millis());
    Ok(())
}

/// The bytes of one value: the same each time, and no pattern for a compressor.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
