//! What Raft's messages cost over QUIC beside TCP, TLS on TCP, and quinn by itself.
//!
//! ```text
//! cargo bench -p raft-transport-quic -- [--quick] [--seconds S] [--threads N]
//!                                       [--way NAME] [--load NAME]
//! ```
//!
//! All ways carry the same envelopes, encoded by the same code into the same
//! frames, the same number in a batch, read through the same buffers. Ours goes
//! through `Network` and `Inbox`, with their queues and tasks; each other way is
//! the least that could stand in its place: the task that has something to say
//! writes to its one stream and reads its answers there.

mod codec;
mod figures;
mod load;
mod ours;
mod quinn_alone;
mod snapshot;
mod streams;
mod table;
mod tcp;
mod way;

use std::time::Duration;

use self::figures::Figures;
use self::way::{Path, Place, Way};

/// What the command line says.
pub(crate) struct Settings {
    rounds: usize,
    /// How long one load runs in one round.
    turn: Duration,
    /// Of each node's runtime.
    pub(crate) threads: usize,
    /// For a profiler: one way alone, one load alone.
    only_way: Option<String>,
    only_load: Option<String>,
}

impl Settings {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let is_quick = arguments.iter().any(|argument| argument == "--quick");
        let after = |word: &str| {
            let place = arguments.iter().position(|argument| argument == word)?;
            arguments.get(place + 1).cloned()
        };
        let seconds = after("--seconds").and_then(|number| number.parse().ok());
        let turn = if is_quick { 0.1 } else { 0.3 };
        Self {
            rounds: if is_quick { 3 } else { 7 },
            turn: Duration::from_secs_f64(seconds.unwrap_or(turn)),
            threads: after("--threads")
                .and_then(|number| number.parse().ok())
                .unwrap_or(1),
            only_way: after("--way"),
            only_load: after("--load"),
        }
    }

    fn wants(&self, load: &str) -> bool {
        self.only_load.as_ref().is_none_or(|only| only == load)
    }
}

/// The ways compared.
fn ways() -> Vec<Box<dyn Way>> {
    vec![
        Box::new(tcp::Tcp::plain()),
        Box::new(tcp::Tcp::with_tls()),
        Box::new(quinn_alone::Quinn(Path::Wide)),
        Box::new(ours::Ours(Path::Wide)),
        Box::new(quinn_alone::Quinn(Path::Ethernet)),
        Box::new(ours::Ours(Path::Ethernet)),
    ]
}

fn main() {
    let settings = Settings::from_arguments();
    let place = Place::new(settings.threads);
    let mut ways = ways();
    if let Some(only) = &settings.only_way {
        ways.retain(|way| way.name() == only);
    }
    let mut lanes: Vec<_> = ways.iter().map(|way| way.open(&place)).collect();
    for lane in &mut lanes {
        load::warm_up(&place, lane);
    }
    let mut figures: Vec<Figures> = lanes.iter().map(|_| Figures::default()).collect();
    for round in 0..settings.rounds {
        // Each load meets all ways at nearly the same time, whatever else the machine does,
        // and none of them always comes first after what the load before left behind.
        for load in load::ALL.iter().filter(|load| settings.wants(load.name)) {
            for turn in 0..lanes.len() {
                let way = (round + turn) % lanes.len();
                (load.run)(&place, &mut lanes[way], settings.turn, &mut figures[way]);
            }
        }
    }
    for lane in lanes {
        lane.close(&place);
    }
    table::print(&settings, &ways, &figures);
    if settings.only_load.is_none() {
        let cost = |size| codec::cost(size, settings.turn);
        let (small, large) = (cost(load::SMALL), cost(load::LARGE));
        println!("\nencoding and decoding alone: {small:.2} µs for 256 B, {large:.2} for 4 KiB");
    }
}
