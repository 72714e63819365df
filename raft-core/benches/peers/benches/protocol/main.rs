//! The protocol by itself, ours beside that of raft-rs: the load of raft-core's
//! benchmark of the same name, in turns.

#[path = "../../../load/group.rs"]
mod group;
#[path = "../../../load/measure.rs"]
mod measure;
#[path = "../../../load/options.rs"]
mod options;
#[path = "../../../load/our_group.rs"]
mod our_group;
mod raft_rs;
#[path = "../../../load/table.rs"]
mod table;
#[path = "../../../load/turns.rs"]
mod turns;

use self::group::{Load, Sample, Shape};
use self::our_group::OurGroup;
use self::raft_rs::{RaftRsGroup, Usage};
use self::table::{Table, count};
use self::turns::{Figures, ROUNDS, Side, shapes, take_turns};

const SIDES: [&str; 4] = [
    "raft-core",
    "raft-rs, default",
    "raft-rs, batch_append",
    "raft-rs, so and a batch in one message",
];

fn main() {
    let seconds = options::seconds(2.0);
    println!(
        "protocol: three replicas in one thread, {seconds} s each in {ROUNDS} turns, medians; \
         `ours is` is the factor by which raft-core commits more entries a second of CPU"
    );
    let mut table = Table::new([
        "payload B",
        "batch",
        "under way",
        "who",
        "entries/s",
        "µs CPU/entry",
        "allocations/entry",
        "messages/entry",
        "ours is",
    ]);
    for shape in shapes() {
        let figures = take_turns(sides(shape), shape, seconds);
        for (name, theirs) in SIDES.iter().zip(&figures) {
            table.push(row(name, shape, theirs, &figures[0]));
        }
    }
    table.print();
}

/// In the order of `SIDES`.
fn sides(shape: Shape) -> Vec<Box<dyn Side>> {
    let mut sides: Vec<Box<dyn Side>> = vec![Box::new(Load::new(OurGroup::with_leader(), shape))];
    for usage in [Usage::Default, Usage::BatchAppend, Usage::OneMessage] {
        let group = RaftRsGroup::with_leader(usage);
        sides.push(Box::new(Load::new(group, shape)));
    }
    sides
}

fn row(name: &str, shape: Shape, figures: &Figures, ours: &Figures) -> [String; 9] {
    let per_turn = |figures: &Figures| -> Vec<f64> {
        let samples = figures.samples.iter();
        samples.map(Sample::entries_per_cpu_second).collect()
    };
    let factor = peers::factor(&per_turn(ours), &per_turn(figures));
    [
        shape.payload.to_string(),
        shape.batch.to_string(),
        shape.depth.to_string(),
        name.to_owned(),
        count(figures.median(Sample::entries_per_second)),
        format!(
            "{:.3}",
            1e6 / figures.median(Sample::entries_per_cpu_second)
        ),
        format!("{:.2}", figures.allocations),
        format!("{:.2}", figures.median(Sample::messages_per_entry)),
        format!("{factor:.2}"),
    ]
}
