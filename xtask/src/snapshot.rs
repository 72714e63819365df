//! `cargo xtask snapshot`: the transport's test of a snapshot through loss and breaks, with
//! a large one.

use anyhow::Result;

use crate::util;

const TEST: &str = "a_snapshot_under_loss_and_three_breaks_arrives_once_while_heartbeats_keep_time";

/// How large, and by which clock
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Size of the snapshot in MiB
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Let time pass: minutes instead of seconds, and the machine counts, too
    #[arg(long)]
    real_time: bool,
}

/// Runs it; fails if it does not arrive once and whole, or heartbeats come late.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut test = util::cargo(["test", "-p", "raft-transport-quic", "--test", "it", "--"]);
    test.args([TEST, "--nocapture"])
        .env("RAFT_TRANSPORT_SNAPSHOT_MIB", arguments.mib.to_string());
    if arguments.real_time {
        test.env("RAFT_TRANSPORT_REAL_TIME", "1");
    }
    util::run(&mut test)
}
