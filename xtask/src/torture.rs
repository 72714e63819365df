//! `cargo xtask torture`: disks that lose what was not synced, fill up, and rot, under
//! real processes.
//!
//! The disks are small ext4 images, mounted through loop devices: so it needs root, and
//! says so and does nothing where it is not.

mod damage;
mod full_disk;
mod image;
mod power_cut;

use anyhow::Result;

use crate::util;

use self::image::Image;

/// What to do to the disks; without any of these, all of it
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Kill a process that writes to a store, and cut its power, again and again
    #[arg(long)]
    storage: bool,
    /// Cut the power of all three nodes at once: only what was synced is left
    #[arg(long)]
    power_cut: bool,
    /// Fill the disk of the leader, then all disks, and free them again
    #[arg(long)]
    full_disk: bool,
    /// Flip one byte in the log of a node
    #[arg(long)]
    damage: bool,
    /// How often to cut the power
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Concurrent writers
    #[arg(long, default_value_t = 16)]
    writers: usize,
}

/// Tortures the disks; fails if anything acknowledged is lost.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Err(why) = Image::can_be_mounted() {
        println!("skipped: {why:#}");
        return Ok(());
    }
    crate::cluster::prepare_and_build()?;
    let named = [arguments.power_cut, arguments.full_disk, arguments.damage];
    let all = !arguments.storage && !named.contains(&true);
    if all || arguments.storage {
        storage()?;
    }
    if all || arguments.power_cut {
        power_cut::run(arguments.rounds, arguments.writers)?;
    }
    if all || arguments.full_disk {
        full_disk::run(arguments.writers)?;
    }
    if all || arguments.damage {
        damage::run(arguments.writers)?;
    }
    Ok(())
}

/// The tests of the store that do this, more often than in the suite.
fn storage() -> Result<()> {
    println!("\na process that writes is killed 200 times, and loses its power 20 times");
    let mut tests = util::cargo(["test", "--workspace", "--test", "it", "--"]);
    tests
        .args([
            "crash::",
            "power_cut::",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env("RAFT_STORAGE_KILLS", "200")
        .env("RAFT_STORAGE_POWER_CUTS", "20");
    util::run(&mut tests)
}
