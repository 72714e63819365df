//! How fast full nodes are: three in one process, with the driver, on memory backends.
//!
//! ```text
//! cargo bench -p raft-core --bench node -- [--quick | --seconds S] [--only N] [--together]
//! ```
//!
//! The load is in `load/clients.rs`; the package `peers` beside this file puts it
//! on others. `--together` runs the clients on the threads of the nodes.

#[path = "load/clients.rs"]
mod clients;
#[path = "load/histogram.rs"]
mod histogram;
#[path = "load/measure.rs"]
mod measure;
#[path = "load/options.rs"]
mod options;
#[path = "load/our_nodes.rs"]
mod our_nodes;
#[path = "load/table.rs"]
mod table;

use std::time::Duration;

use self::clients::{CLIENTS, Runtimes, Sample};
use self::measure::median;
use self::our_nodes::OurNodes;
use self::table::{Table, count};

const ROUNDS: usize = 3;

fn main() {
    let seconds = options::seconds(4.0);
    let time = Duration::from_secs_f64(seconds / ROUNDS as f64);
    println!("node: three nodes in one process, {seconds} s a row, medians of {ROUNDS}");
    let runtimes = Runtimes::new(options::has("--together"));
    let nodes = runtimes.nodes.block_on(OurNodes::with_leader());
    let mut table = Table::new([
        "clients",
        "ops/s",
        "mean µs",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "µs CPU/op",
    ]);
    for clients in CLIENTS.into_iter().filter(|&size| options::is_wanted(size)) {
        let run = |_| clients::run(&nodes, &runtimes, clients, time);
        table.push(row(clients, &(0..ROUNDS).map(run).collect::<Vec<_>>()));
    }
    table.print();
    runtimes.nodes.block_on(nodes.shutdown());
}

fn row(clients: usize, samples: &[Sample]) -> [String; 7] {
    let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
    [
        clients.to_string(),
        count(middle(|sample| sample.ops_per_second)),
        count(middle(|sample| sample.mean)),
        count(middle(|sample| sample.p50)),
        count(middle(|sample| sample.p99)),
        count(middle(|sample| sample.p999)),
        format!("{:.2}", middle(|sample| sample.cpu_micros_per_op)),
    ]
}
