//! What a durable append costs beside what the disk itself asks for.
//!
//! ```text
//! cargo bench -p raft-storage-rocks -- [--quick] [--only N] [--directory D]
//! ```
//!
//! The floor and the store take turns on one disk: a turn of the floor writes as many
//! bytes as the entries hold into a file that was filled with zeros, and syncs its
//! data. Ratios are between neighbouring turns, and the median of them counts. The goals
//! are for a task that writes its appends in place, one after the other; what the default
//! takes, a thread that writes, stands beside.

mod disk;
mod process;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use self::disk::Floor;
use self::process::written_bytes;
use self::store::Appender;

/// Bytes of a command.
pub(crate) const COMMAND: usize = 256;

/// Entries in an append, and the goal: at most so many times the floor.
const SIZES: [(usize, f64); 4] = [(1, 1.1), (16, 1.3), (256, 1.3), (4096, 1.5)];

struct Settings {
    rounds: usize,
    turn: Duration,
    reopened_entries: u64,
    directory: PathBuf,
    /// The one size of appends to measure, and nothing else: for a profiler.
    only: Option<usize>,
}

impl Settings {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let is_quick = arguments.iter().any(|argument| argument == "--quick");
        let after = |word: &str| {
            let place = arguments.iter().position(|argument| argument == word)?;
            arguments.get(place + 1)
        };
        Self {
            rounds: if is_quick { 5 } else { 15 },
            turn: Duration::from_millis(if is_quick { 150 } else { 400 }),
            reopened_entries: 1_000_000,
            directory: after("--directory").map_or_else(std::env::temp_dir, PathBuf::from),
            only: after("--only").and_then(|number| number.parse().ok()),
        }
    }
}

/// Latencies of one turn.
pub(crate) struct Turn {
    latencies: Vec<Duration>,
    cpu: Duration,
}

impl Turn {
    pub(crate) fn of(latencies: Vec<Duration>, cpu: Duration) -> Self {
        Self { latencies, cpu }
    }

    fn mean(&self) -> f64 {
        let total: Duration = self.latencies.iter().sum();
        total.as_secs_f64() / self.latencies.len() as f64
    }

    fn median(&self) -> f64 {
        let mut all = self.latencies.clone();
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64()
    }
}

fn main() {
    let settings = Settings::from_arguments();
    let place = tempfile::tempdir_in(&settings.directory).expect("a directory can be made");
    println!(
        "append: commands of {COMMAND} bytes, {} rounds of {:?} a turn, in {}",
        settings.rounds,
        settings.turn,
        settings.directory.display()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");

    let mut floor = Floor::new(&place.path().join("floor"));
    let path = |name| place.path().join(name);
    let mut stores = Stores {
        in_place: Appender::in_place(&runtime, path("in-place")),
        by_thread: Appender::new(&runtime, path("by-thread"), true),
        unsynced: Appender::new(&runtime, path("unsynced"), false),
    };
    stores.warm_up();
    print_block_floor(&mut floor, &settings);
    println!(
        "\n{:>7} {:>9} {:>8} {:>9} {:>8} {:>7} {:>7} {:>5} {:>9} {:>12} {:>11} {:>10}",
        "entries",
        "floor/s",
        "p50 µs",
        "synced/s",
        "p50 µs",
        "ratio",
        "of p50",
        "goal",
        "by thread",
        "µs CPU/entry",
        "unsynced/s",
        "µs/entry"
    );
    let is_wanted = |count| settings.only.is_none_or(|only| only == count);
    for (count, goal) in SIZES.into_iter().filter(|(count, _)| is_wanted(*count)) {
        compare(&mut floor, &mut stores, count, goal, &settings);
    }
    drop(stores);
    if settings.only.is_some() {
        return;
    }
    print_write_amplification(&runtime, place.path().join("amplification"));
    print_reopen(
        &runtime,
        place.path().join("reopen"),
        settings.reopened_entries,
    );
}

fn print_block_floor(floor: &mut Floor, settings: &Settings) {
    let turn = floor.turn(4096, settings.turn);
    println!(
        "floor of a 4 KiB write: {:.0} syncs/s, p50 {:.0} µs",
        1.0 / turn.mean(),
        turn.median() * 1e6
    );
}

/// What is compared with the floor, and with each other.
struct Stores<'a> {
    /// Whoever appends writes: what the goals are for.
    in_place: Appender<'a>,
    /// A thread of the store writes, which is the default.
    by_thread: Appender<'a>,
    unsynced: Appender<'a>,
}

impl Stores<'_> {
    fn warm_up(&mut self) {
        self.in_place.warm_up();
        self.by_thread.warm_up();
        self.unsynced.warm_up();
    }
}

fn compare(
    floor: &mut Floor,
    stores: &mut Stores<'_>,
    count: usize,
    goal: f64,
    settings: &Settings,
) {
    let mut rows: [Vec<f64>; 10] = Default::default();
    for _ in 0..settings.rounds {
        let below = floor.turn(count * COMMAND, settings.turn);
        let ours = stores.in_place.turn(count, settings.turn);
        let by_thread = stores.by_thread.turn(count, settings.turn / 2);
        let without = stores.unsynced.turn(count, settings.turn / 4);
        let entries = (ours.latencies.len() * count) as f64;
        let figures = [
            1.0 / below.mean(),
            below.median() * 1e6,
            1.0 / ours.mean(),
            ours.median() * 1e6,
            ours.mean() / below.mean(),
            ours.median() / below.median(),
            by_thread.mean() / below.mean(),
            ours.cpu.as_secs_f64() * 1e6 / entries,
            1.0 / without.mean(),
            without.mean() * 1e6 / count as f64,
        ];
        for (row, figure) in rows.iter_mut().zip(figures) {
            row.push(figure);
        }
    }
    let [
        floor_rate,
        floor_p50,
        rate,
        p50,
        ratio,
        of_p50,
        by_thread,
        cpu,
        free_rate,
        free,
    ] = rows.map(middle);
    println!(
        "{count:>7} {floor_rate:>9.0} {floor_p50:>8.0} {rate:>9.0} {p50:>8.0} {ratio:>7.2} \
         {of_p50:>7.2} {goal:>5.1} {by_thread:>9.2} {cpu:>12.2} {free_rate:>11.0} {free:>10.2}"
    );
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What the process wrote to the disk per byte of commands, with purges as a node
/// makes them and without.
fn print_write_amplification(runtime: &tokio::runtime::Runtime, path: PathBuf) {
    for (name, is_purged) in [("with purges", true), ("without", false)] {
        let mut store = Appender::new(runtime, path.join(name), true);
        store.is_purged = is_purged;
        let before = written_bytes();
        let bytes = 512 << 20;
        let mut appended = 0;
        while appended < bytes {
            store.append_some(256, 64);
            appended += 256 * 64 * COMMAND;
        }
        drop(store);
        let factor = (written_bytes() - before) as f64 / appended as f64;
        println!("write amplification {name}: {factor:.2}");
    }
}

fn print_reopen(runtime: &tokio::runtime::Runtime, path: PathBuf, entries: u64) {
    let mut store = Appender::new(runtime, path.clone(), false);
    store.is_purged = false;
    for _ in 0..entries.div_ceil(1000 * 20) {
        store.append_some(1000, 20);
    }
    drop(store);
    let begun = std::time::Instant::now();
    let last = store::open_and_look(runtime, path);
    println!(
        "reopening {last} entries: {:.2} s",
        begun.elapsed().as_secs_f64()
    );
}
