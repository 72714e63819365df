//! The disk of the leader fills up under load, then all disks; and they are freed again.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::image::Image;
use crate::cluster::{Cluster, NODES};
use crate::load::{self, Load, Mark};
use crate::util;

const DISK_BYTES: u64 = 512 << 20;
/// So much is left on a disk that is filled: less than the log keeps in reserve.
const LEFT: u64 = 40 << 20;
const STRETCH: Duration = Duration::from_secs(5);
/// Within this, others must lead when only the leader's disk is full.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(20);
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// Fails if a write is lost, a node dies, a full leader stays, or writes do not resume.
pub(super) fn run(writers: usize) -> Result<()> {
    println!("\nthree nodes, each on a disk of 512 MiB that fills up under load");
    let mut disks = Vec::new();
    let mut cluster = Cluster::fresh_on("xtask-torture-full", |_, place| {
        disks.push(Image::new(
            &place.with_extension("image"),
            place,
            DISK_BYTES,
        )?);
        Ok(())
    })?;
    let file = cluster.dir().join("writes");
    let mut load = Load::start(&cluster.client(), &file, writers)?;
    let mut rows = vec![head()];
    sleep(STRETCH);
    note(&mut rows, "space everywhere", load.mark()?);

    let full = cluster.wait_for_leader()?;
    let place = cluster.place(full)?;
    disks[place].fill(LEFT)?;
    println!("  the disk of node {full}, which leads, is full");
    let next = another_leads(&mut cluster, full)?;
    println!("  node {next} leads");
    load.wait_for_writes()?;
    sleep(STRETCH);
    note(&mut rows, "one disk full", load.mark()?);

    for (disk, _) in disks.iter().zip(NODES).filter(|(_, node)| *node != full) {
        disk.fill(LEFT)?;
    }
    println!("  all disks are full");
    sleep(STRETCH);
    load.mark()?;
    sleep(STRETCH);
    let mark = load.mark()?;
    note(&mut rows, "all disks full", mark);
    ensure!(
        mark.acknowledged == 0,
        "{} writes were acknowledged",
        mark.acknowledged
    );
    refuses_in_words(&cluster)?;

    for disk in &disks {
        disk.empty()?;
    }
    println!("  there is space again");
    util::wait_for("writes to be acknowledged", RECOVERY_LIMIT, || {
        Ok((load.mark()?.acknowledged > 0).then_some(()))
    })?;
    sleep(STRETCH);
    note(&mut rows, "space everywhere", load.mark()?);
    load.stop()?;

    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    println!("{}", cluster.status_table()?);
    let verified = load::verify(&cluster.client(), &file)?;
    println!("{}", util::table(&rows));
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

fn another_leads(cluster: &mut Cluster, full: u64) -> Result<u64> {
    util::wait_for("another node to lead", HAND_OVER_LIMIT, || {
        let leader = cluster.wait_for_leader()?;
        Ok((leader != full).then_some(leader))
    })
}

/// A write is refused and says why; a read is answered, by every node.
fn refuses_in_words(cluster: &Cluster) -> Result<()> {
    let mut put = cluster.client().command("put");
    let refusal = put.args(["full/write", "x"]).output()?;
    ensure!(
        !refusal.status.success(),
        "a write was acknowledged with all disks full"
    );
    let text = String::from_utf8_lossy(&refusal.stderr);
    println!("  a write is answered: {}", text.trim());
    ensure!(
        text.contains("database space exceeded"),
        "the refusal does not say why: {text}"
    );
    for place in 0..NODES.len() {
        cluster.client().only(place).count("load/")?;
    }
    println!("  reads are answered by every node");
    Ok(())
}

fn head() -> Vec<String> {
    let head = [
        "stretch",
        "acknowledged",
        "refused",
        "unknown",
        "longest pause",
    ];
    head.map(str::to_owned).to_vec()
}

fn note(rows: &mut Vec<Vec<String>>, what: &str, mark: Mark) {
    let numbers = [mark.acknowledged, mark.refused, mark.failed].map(|n| n.to_string());
    let mut row = vec![what.to_owned()];
    row.extend(numbers);
    row.push(format!("{} ms", mark.gap.as_millis()));
    rows.push(row);
}
