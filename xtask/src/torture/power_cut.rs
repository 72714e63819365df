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
    let mut rows = vec![
        ["round", "acknowledged", "lost", "first write after"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for round in 1..=rounds {
        let file = cluster.dir().join(format!("writes-{round}"));
        let mut load = Load::start(&cluster.client(), &file, writers)?;
        sleep(STRETCH);
        let mark = load.mark()?;
        cut(&mut cluster, &mut disks)?;
        // What the writers hear now is that nobody answers.
        load.stop()?;
        let back = Instant::now();
        for node in NODES {
            cluster.start(node)?;
        }
        cluster.wait_for_leader()?;
        cluster.client().put(&format!("after/{round}"), "power")?;
        let back = back.elapsed();
        cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
        let verified = load::verify(&cluster.client(), &file)?;
        let lost = load::lost(&verified);
        rows.push(vec![
            round.to_string(),
            mark.acknowledged.to_string(),
            lost.to_string(),
            format!("{} ms", back.as_millis()),
        ]);
        println!(
            "  round {round}: {} acknowledged and more, {lost} lost",
            mark.acknowledged
        );
        ensure!(
            lost == 0,
            "{lost} acknowledged writes are missing or different"
        );
    }
    println!("\n{}", util::table(&rows));
    println!("nothing that was acknowledged is lost");
    cluster.end()?;
    drop(disks);
    cluster.discard()
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
