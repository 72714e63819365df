//! The tables: what was measured, and how ours stands to the goals.

use crate::Settings;
use crate::figures::Figures;
use crate::way::Way;

/// Head, figure, decimals.
const COLUMNS: [(&str, &str, usize); 13] = [
    ("trip p50", "round trip p50", 1),
    ("p99 µs", "round trip p99", 1),
    ("µs CPU", "round trip us CPU", 1),
    ("rested p50", "rested trip p50", 1),
    ("p99 µs", "rested trip p99", 1),
    ("256 B/s", "256 B messages/s", 0),
    ("µs CPU", "256 B us CPU", 2),
    ("4 KiB/s", "4 KiB messages/s", 0),
    ("µs CPU", "4 KiB us CPU", 2),
    ("MB/s", "snapshot MB/s", 0),
    ("ms CPU/MB", "snapshot ms CPU", 3),
    ("beside p50", "beside p50", 0),
    ("p99 µs", "beside p99", 0),
];

/// Of which way, which figure, to which way, the bound, and whether it is an upper one.
const GOALS: [(&str, &str, &str, f64, Bound); 18] = [
    ("ours 6500", "round trip p50", "TCP + TLS", 1.3, Bound::Most),
    (
        "ours 6500",
        "rested trip p50",
        "TCP + TLS",
        1.3,
        Bound::Most,
    ),
    (
        "ours 6500",
        "256 B messages/s",
        "TCP + TLS",
        1.0,
        Bound::Least,
    ),
    (
        "ours 6500",
        "4 KiB messages/s",
        "TCP + TLS",
        1.0,
        Bound::Least,
    ),
    ("ours 6500", "snapshot MB/s", "TCP + TLS", 1.0, Bound::Least),
    (
        "ours 6500",
        "round trip us CPU",
        "quinn 6500",
        1.1,
        Bound::Most,
    ),
    ("ours 6500", "256 B us CPU", "quinn 6500", 1.1, Bound::Most),
    ("ours 6500", "4 KiB us CPU", "quinn 6500", 1.1, Bound::Most),
    (
        "ours 6500",
        "snapshot ms CPU",
        "quinn 6500",
        1.1,
        Bound::Most,
    ),
    ("ours 1452", "round trip p50", "TCP + TLS", 1.3, Bound::Most),
    (
        "ours 1452",
        "rested trip p50",
        "TCP + TLS",
        1.3,
        Bound::Most,
    ),
    (
        "ours 1452",
        "256 B messages/s",
        "TCP + TLS",
        0.6,
        Bound::Least,
    ),
    (
        "ours 1452",
        "4 KiB messages/s",
        "TCP + TLS",
        0.6,
        Bound::Least,
    ),
    ("ours 1452", "snapshot MB/s", "TCP + TLS", 0.6, Bound::Least),
    (
        "ours 1452",
        "round trip us CPU",
        "quinn 1452",
        1.1,
        Bound::Most,
    ),
    ("ours 1452", "256 B us CPU", "quinn 1452", 1.1, Bound::Most),
    ("ours 1452", "4 KiB us CPU", "quinn 1452", 1.1, Bound::Most),
    (
        "ours 1452",
        "snapshot ms CPU",
        "quinn 1452",
        1.1,
        Bound::Most,
    ),
];

#[derive(Clone, Copy)]
enum Bound {
    Least,
    Most,
}

pub(crate) fn print(settings: &Settings, ways: &[Box<dyn Way>], figures: &[Figures]) {
    println!("{}", EXPLANATION.trim());
    println!(
        "Medians of {} rounds, {:?} a load; the ways take turns.\n",
        settings.rounds, settings.turn
    );
    print!("{:<11}", "");
    for (head, ..) in COLUMNS {
        print!(" {head:>10}");
    }
    println!();
    for (way, figures) in ways.iter().zip(figures) {
        print!("{:<11}", way.name());
        for (_, name, decimals) in COLUMNS {
            match figures.median(name) {
                Some(figure) => print!(" {figure:>10.decimals$}"),
                None => print!(" {:>10}", ""),
            }
        }
        println!();
    }
    println!();
    let of = |name: &str| {
        let place = ways.iter().position(|way| way.name() == name)?;
        figures.get(place)
    };
    for (way, figure, other, bound, kind) in GOALS {
        let ratio = of(way).zip(of(other)).and_then(|(a, b)| a.ratio(figure, b));
        let Some(ratio) = ratio else { continue };
        let (word, is_met) = match kind {
            Bound::Least => ("at least", ratio >= bound),
            Bound::Most => ("at most", ratio <= bound),
        };
        let verdict = if is_met { "met" } else { "MISSED" };
        println!("{way}, {figure}: {ratio:.2} of {other}, goal {word} {bound}: {verdict}");
    }
}

const EXPLANATION: &str = "
speed: loopback; each node has a runtime of one thread; µs of CPU are both nodes' together.
Same envelopes, encoding, frames and batches (at most 64) in all ways; messages are appends
of one command. trip: one message there and back, the next one at once; rested: the next
one after 2 ms, in which both nodes fall asleep. 256 B/s: 1024 in flight, 4 KiB/s: 256,
an acknowledgement for each batch. MB/s: a snapshot of 64 MiB in chunks of 64 KiB; only ours
puts checksums on chunks and acknowledges them. beside: a round trip while snapshots go
the same way. TCP and TLS have a second connection for snapshots, quinn a second stream.
TLS 1.3 with the same library and ciphers in all ways. Quinn is set up as ours sets it up.
";
