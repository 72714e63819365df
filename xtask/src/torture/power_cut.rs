//! The power of all three nodes is cut at once, again and again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::image::Image;
use crate::cluster::{Cluster, NODES};
use crate::load::{self, Load};
use crate::util;

const DISK_BYTES: u64 = 2 << 30;
const STRETCH: Duration = Duration::from_secs(4);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// Fails if a write that was acknowledged is missing on any node.
pub(super) fn run(rounds: u64, writers: usize) -> Result<()> {
    println!("\nthree nodes, each on a disk of its own; all lose their power at once");
    let mut disks = Vec::new();
    let mut cluster = Cluster::fresh_on("xtask-torture-power", |node, place| {
        let file = place.with_extension("image");
        disks.push(Image::new(&file, place, DISK_BYTES)?);
        println!("  node {node} on {}", place.display());
        Ok(())
    })?;
    let file = cluster.dir().join("writes");
    let mut load = Load::start(&cluster.client(), &file, writers)?;
    let mut rows = vec![head()];
    for round in 1..=rounds {
        load.mark()?;
        sleep(STRETCH);
        let mark = load.mark()?;
        cut(&mut cluster, &mut disks)?;
        let back = Instant::now();
        for node in NODES {
            cluster.start(node)?;
        }
        cluster.wait_for_leader()?;
        load.wait_for_writes()?;
        let back = format!("{} ms", back.elapsed().as_millis());
        println!("  cut {round}: writes again after {back}");
        rows.push(vec![round.to_string(), mark.acknowledged.to_string(), back]);
    }
    sleep(STRETCH);
    load.stop()?;
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    let verified = load::verify(&cluster.client(), &file)?;
    println!("\n{}", util::table(&rows));
    println!("{}", util::table(&load::verified_rows(&verified)));
    let lost = load::lost(&verified);
    ensure!(
        lost == 0,
        "{lost} acknowledged writes are missing or different"
    );
    println!("nothing that was acknowledged is lost");
    cluster.end()?;
    drop(disks);
    cluster.discard()
}

fn head() -> Vec<String> {
    let head = ["cut", "acknowledged in 4 s before", "writes again after"];
    head.map(str::to_owned).to_vec()
}

/// Freezes all nodes, copies what their disks hold, and puts that in the disks' place.
fn cut(cluster: &mut Cluster, disks: &mut [Image]) -> Result<()> {
    for node in NODES {
        cluster.freeze(node)?;
    }
    let copies: Result<Vec<_>> = disks.iter().map(Image::copy).collect();
    for node in NODES {
        cluster.kill(node)?;
    }
    for (disk, copy) in disks.iter_mut().zip(copies?) {
        disk.replace_by(&copy)?;
    }
    Ok(())
}
