//! Full nodes, ours beside those of openraft: the load of raft-core's benchmark
//! of the same name, in turns.

#[path = "../../../load/clients.rs"]
mod clients;
#[path = "../../../load/histogram.rs"]
mod histogram;
#[path = "../../../load/measure.rs"]
mod measure;
mod open_raft;
mod open_raft_store;
#[path = "../../../load/options.rs"]
mod options;
#[path = "../../../load/our_nodes.rs"]
mod our_nodes;
#[path = "../../../load/table.rs"]
mod table;

use std::time::Duration;

use self::clients::{CLIENTS, Runtimes, Sample};
use self::measure::median;
use self::open_raft::OpenRaftNodes;
use self::our_nodes::OurNodes;
use self::table::{Table, count};

const TURNS: usize = 5;

fn main() {
    let seconds = options::seconds(5.0);
    println!(
        "node: three nodes in one process, {seconds} s each in {TURNS} turns, medians; `ours is` \
         is the factor by which raft-core does more ops a second, `latency` that by which its \
         mean latency is shorter"
    );
    let runtimes = Runtimes::new(options::has("--together"));
    let ours = runtimes.nodes.block_on(OurNodes::with_leader());
    let theirs = runtimes.nodes.block_on(OpenRaftNodes::with_leader());
    let time = Duration::from_secs_f64(seconds / TURNS as f64);
    let mut table = Table::new([
        "clients",
        "who",
        "ops/s",
        "mean µs",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "µs CPU/op",
        "ours is",
        "latency",
    ]);
    for clients in CLIENTS.into_iter().filter(|&size| options::is_wanted(size)) {
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            of_ours.push(clients::run(&ours, &runtimes, clients, time));
            of_theirs.push(clients::run(&theirs, &runtimes, clients, time));
        }
        table.push(row("raft-core", clients, &of_ours, &of_ours));
        table.push(row("openraft", clients, &of_theirs, &of_ours));
    }
    table.print();
    runtimes.nodes.block_on(ours.shutdown());
    runtimes.nodes.block_on(theirs.shutdown());
}

fn row(name: &str, clients: usize, samples: &[Sample], ours: &[Sample]) -> [String; 10] {
    let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
    let all = |samples: &[Sample], figure: fn(&Sample) -> f64| -> Vec<f64> {
        samples.iter().map(figure).collect()
    };
    let rate = |sample: &Sample| sample.ops_per_second;
    let latency = |sample: &Sample| sample.mean;
    [
        clients.to_string(),
        name.to_owned(),
        count(middle(rate)),
        count(middle(latency)),
        count(middle(|sample| sample.p50)),
        count(middle(|sample| sample.p99)),
        count(middle(|sample| sample.p999)),
        format!("{:.2}", middle(|sample| sample.cpu_micros_per_op)),
        format!(
            "{:.2}",
            peers::factor(&all(ours, rate), &all(samples, rate))
        ),
        format!(
            "{:.2}",
            peers::factor(&all(samples, latency), &all(ours, latency))
        ),
    ]
}
