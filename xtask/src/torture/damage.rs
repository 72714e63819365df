//! One byte in the log of a node that does not run is flipped. `raft-kv log verify`
//! names what is damaged; the node fetches it from the others when it starts, says so,
//! and is whole afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::image::Image;
use crate::cluster::{Cluster, NODES};
use crate::load::{self, Load};
use crate::util;

const DISK_BYTES: u64 = 1 << 30;
const STRETCH: Duration = Duration::from_secs(3);
const REPAIR_LIMIT: Duration = Duration::from_secs(60);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// Fails if the damage is not named, not repaired, or anything is lost.
pub(super) fn run(writers: usize) -> Result<()> {
    println!("\nthree nodes; one byte in the log of one of them is flipped");
    let mut disks = Vec::new();
    let mut cluster = Cluster::fresh_on("xtask-torture-damage", |_, place| {
        disks.push(Image::new(
            &place.with_extension("image"),
            place,
            DISK_BYTES,
        )?);
        Ok(())
    })?;
    let file = cluster.dir().join("writes");
    let load = Load::start(&cluster.client(), &file, writers)?;
    sleep(STRETCH);
    load.stop()?;
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    let leader = cluster.wait_for_leader()?;
    let node = NODES.into_iter().find(|node| *node != leader);
    let node = node.context("there is one node alone")?;
    cluster.terminate(node)?;
    let data = disks[cluster.place(node)?].place().to_path_buf();

    verify(&cluster, &data, true)?;
    let table = largest_table(&data.join("raft"))?;
    flip(&table)?;
    println!("  a byte of {} is flipped", table.display());
    let words = verify(&cluster, &data, false)?;
    let first = words.lines().next().unwrap_or_default();
    println!("  log verify: {first}");
    let name = table.file_name().unwrap_or_default().to_string_lossy();
    ensure!(
        first.contains("entry i") && first.contains("of term") && first.contains(name.as_ref()),
        "it does not name entry, term and file"
    );

    cluster.start(node)?;
    let log = cluster.dir().join(format!("node-{node}/log"));
    let says = util::wait_for("the node to say that it is repaired", REPAIR_LIMIT, || {
        let text = fs::read_to_string(&log)?;
        let line = text.lines().find(|line| line.contains("mends entry"));
        Ok(line.map(str::to_owned))
    })?;
    println!("  the node says: {says}");
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    let verified = load::verify(&cluster.client(), &file)?;
    println!("\n{}", util::table(&load::verified_rows(&verified)));
    ensure!(
        load::lost(&verified) == 0,
        "acknowledged writes are missing or different"
    );

    util::wait_for("the log to be whole", REPAIR_LIMIT, || {
        cluster.terminate(node)?;
        let is_whole = verify(&cluster, &data, true).is_ok();
        cluster.start(node)?;
        sleep(STRETCH);
        Ok(is_whole.then_some(()))
    })?;
    println!("  log verify finds nothing any more");
    cluster.end()?;
    drop(disks);
    cluster.discard()
}

/// Runs `raft-kv log verify`; answers what it prints.
fn verify(cluster: &Cluster, data: &Path, is_whole: bool) -> Result<String> {
    let mut command = Command::new(cluster.server());
    let output = command.args(["log", "verify"]).arg(data).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() == is_whole,
        "log verify ended with {}: {text}{errors}",
        output.status
    );
    Ok(text)
}

/// Payloads fill the largest table file.
fn largest_table(folder: &Path) -> Result<PathBuf> {
    let mut tables = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "sst") {
            tables.push((fs::metadata(&path)?.len(), path));
        }
    }
    let largest = tables.into_iter().max();
    Ok(largest.context("there is no table file")?.1)
}

/// One byte, in the middle of the data.
fn flip(file: &Path) -> Result<()> {
    let mut bytes = fs::read(file)?;
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x20;
    fs::write(file, bytes).context("cannot write the damaged file")
}
