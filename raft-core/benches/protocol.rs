//! How fast the protocol is by itself: three replicas in one thread, in memory.
//!
//! ```text
//! cargo bench -p raft-core --bench protocol -- [--quick | --seconds S]
//! ```
//!
//! An entry counts when all three replicas have applied it. The loads are in
//! `load::group`; the package `peers` beside this file puts them on others.

mod load {
    pub(crate) mod group;
    pub(crate) mod measure;
    pub(crate) mod options;
    pub(crate) mod our_group;
    pub(crate) mod table;
}

use std::time::Duration;

use self::load::group::{Load, Sample, Shape};
use self::load::measure::median;
use self::load::options;
use self::load::our_group::OurGroup;
use self::load::table::{Table, count};

const PAYLOADS: [usize; 2] = [16, 256];
const BATCHES: [usize; 3] = [1, 16, 256];
const DEPTHS: [usize; 2] = [1, 8];
const ROUNDS: usize = 5;
/// Commands whose allocations are counted, at least.
const COUNTED: usize = 65_536;

fn main() {
    let seconds = options::seconds(2.0);
    let time = Duration::from_secs_f64(seconds / ROUNDS as f64);
    println!("protocol: three replicas in one thread, {seconds} s a row, medians of {ROUNDS}");
    let mut table = Table::new([
        "payload B",
        "batch",
        "under way",
        "entries/s",
        "entries/s of CPU",
        "µs CPU/entry",
        "allocations/entry",
        "messages/entry",
    ]);
    for payload in PAYLOADS {
        for batch in BATCHES {
            for depth in DEPTHS {
                let shape = Shape {
                    payload,
                    batch,
                    depth,
                };
                table.push(row(shape, time));
            }
        }
    }
    table.print();
}

fn row(shape: Shape, time: Duration) -> [String; 8] {
    let mut load = Load::new(OurGroup::with_leader(), shape);
    // Past the first checkpoints, so that the log is as long as it stays.
    load.run_for(time / 2);
    let samples: Vec<Sample> = (0..ROUNDS)
        .map(|_| uncounted(|| load.run_for(time)))
        .collect();
    let batches = COUNTED.div_ceil(shape.batch);
    let counted = allocation_counter::measure(|| load.run(batches));
    load.finish();

    let wall = median(samples.iter().map(Sample::entries_per_second));
    let cpu = median(samples.iter().map(Sample::entries_per_cpu_second));
    let messages = median(samples.iter().map(Sample::messages_per_entry));
    let allocations = counted.count_total as f64 / (batches * shape.batch) as f64;
    [
        shape.payload.to_string(),
        shape.batch.to_string(),
        shape.depth.to_string(),
        count(wall),
        count(cpu),
        format!("{:.3}", 1e6 / cpu),
        format!("{allocations:.2}"),
        format!("{messages:.2}"),
    ]
}

/// Runs `work` without counting its allocations, which takes time.
fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let mut outcome = None;
    allocation_counter::opt_out(|| outcome = Some(work()));
    outcome.expect("the work was run")
}
