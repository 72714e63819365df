//! How fast the protocol is by itself: three replicas in one thread, in memory.
//!
//! ```text
//! cargo bench -p raft-core --bench protocol -- [--quick | --seconds S] [--only N]
//! ```
//!
//! An entry counts when all three replicas have applied it. The loads are in
//! `load/group.rs`; the package `peers` beside this file puts them on others.

#[path = "load/group.rs"]
mod group;
#[path = "load/measure.rs"]
mod measure;
#[path = "load/options.rs"]
mod options;
#[path = "load/our_group.rs"]
mod our_group;
#[path = "load/table.rs"]
mod table;
#[path = "load/turns.rs"]
mod turns;

use self::group::{Load, Sample, Shape};
use self::our_group::OurGroup;
use self::table::{Table, count};
use self::turns::{Figures, ROUNDS, shapes, take_turns};

fn main() {
    let seconds = options::seconds(2.0);
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
    for shape in shapes() {
        let ours = Load::new(OurGroup::with_leader(), shape);
        for figures in take_turns(vec![Box::new(ours)], shape, seconds) {
            table.push(row(shape, &figures));
        }
    }
    table.print();
}

fn row(shape: Shape, figures: &Figures) -> [String; 8] {
    let per_cpu_second = figures.median(Sample::entries_per_cpu_second);
    [
        shape.payload.to_string(),
        shape.batch.to_string(),
        shape.depth.to_string(),
        count(figures.median(Sample::entries_per_second)),
        count(per_cpu_second),
        format!("{:.3}", 1e6 / per_cpu_second),
        format!("{:.2}", figures.allocations),
        format!("{:.2}", figures.median(Sample::messages_per_entry)),
    ]
}
