//! The loads, and how the answering node answers them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::message::{AppendEntries, AppendReply, AppendResult};
use raft_core::{
    Entry, Envelope, GroupId, LogId, LogIndex, LogSlice, Message, ReplicaId, RequestId, Term,
};

use crate::figures::{Figures, Meter, percentile};
use crate::snapshot::Source;
use crate::way::{Asker, Lane, Place};

/// The session of an append that is to come back as it is.
const ECHO: u64 = 1;
/// The session of one that is to be acknowledged.
const ACKNOWLEDGE: u64 = 2;
/// Most messages handed over at once.
const BATCH: u64 = 64;
pub(crate) const SMALL: usize = 256;
pub(crate) const LARGE: usize = 4096;
const SNAPSHOT: usize = 64 << 20;
/// Long enough for threads and processors to fall asleep.
const REST: Duration = Duration::from_millis(2);

/// One load: fills in figures of one way.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Place, &mut Lane, Duration, &mut Figures),
}

pub(crate) const ALL: [Load; 6] = [
    Load {
        name: "round-trip",
        run: round_trip,
    },
    Load {
        name: "rested",
        run: rested_round_trip,
    },
    Load {
        name: "small",
        run: |place, lane, turn, figures| {
            let (rate, cpu) = flood(place, lane, turn, SMALL, 1024);
            figures.note("256 B messages/s", rate);
            figures.note("256 B us CPU", cpu);
        },
    },
    Load {
        name: "large",
        run: |place, lane, turn, figures| {
            let (rate, cpu) = flood(place, lane, turn, LARGE, 256);
            figures.note("4 KiB messages/s", rate);
            figures.note("4 KiB us CPU", cpu);
        },
    },
    Load {
        name: "snapshot",
        run: snapshot,
    },
    Load {
        name: "beside",
        run: beside_a_snapshot,
    },
];

/// What the other node says to a batch.
pub(crate) fn answer(batch: Vec<Envelope>) -> Vec<Envelope> {
    let Some(last) = batch.last() else {
        return Vec::new();
    };
    let Message::AppendEntries(append) = &last.message else {
        panic!("a {} was never asked", last.message.name());
    };
    if append.session == ECHO {
        return batch.into_iter().map(turned).collect();
    }
    let received = append.entries.last().expect("it holds an entry");
    let reply = AppendReply {
        session: ACKNOWLEDGE,
        result: AppendResult::Accepted {
            received,
            durable: received,
        },
    };
    vec![turned(Envelope {
        message: Message::AppendReply(reply),
        ..last.clone()
    })]
}

fn turned(envelope: Envelope) -> Envelope {
    Envelope {
        from: envelope.to,
        to: envelope.from,
        ..envelope
    }
}

/// An append of one command.
fn append(session: u64, index: u64, data: &Bytes) -> Envelope {
    let request = RequestId {
        boot: 1,
        sequence: index,
    };
    let entry = Entry::command(LogId::new(1, index), request, data.clone());
    let append = AppendEntries {
        session,
        previous: LogId::new(1, index - 1),
        entries: LogSlice::new(vec![entry]).expect("a run"),
        commit: LogIndex::new(index - 1),
    };
    Envelope {
        group: GroupId::new(0),
        from: ReplicaId::first(1),
        to: ReplicaId::first(2),
        term: Term::new(1),
        message: Message::AppendEntries(append),
    }
}

/// Appends of commands of so many bytes.
pub(crate) fn batch(size: usize, messages: u64) -> Vec<Envelope> {
    let data = data(size);
    (1..=messages)
        .map(|index| append(ACKNOWLEDGE, index, &data))
        .collect()
}

fn data(size: usize) -> Bytes {
    (0..size).map(|at| (at * 131 / 7) as u8).collect()
}

/// Until datagrams have grown to their size and all paths are warm.
pub(crate) fn warm_up(place: &Place, lane: &mut Lane) {
    let turn = Duration::from_millis(200);
    let mut unread = Figures::default();
    for load in &ALL {
        (load.run)(place, lane, turn, &mut unread);
    }
}

/// One message at a time, there and back, and a pause in between.
async fn trips(asker: &mut dyn Asker, turn: Duration, pause: Duration) -> Vec<Duration> {
    let data = data(SMALL);
    let begun = Instant::now();
    let mut latencies = Vec::new();
    while begun.elapsed() < turn {
        let index = latencies.len() as u64 + 1;
        let sent = Instant::now();
        asker.send(vec![append(ECHO, index, &data)]).await;
        let back = asker.receive().await;
        latencies.push(sent.elapsed());
        assert_eq!(index_of(&back), index, "what came back is something else");
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    latencies
}

fn index_of(batch: &[Envelope]) -> u64 {
    match batch.last().map(|last| &last.message) {
        Some(Message::AppendEntries(append)) => {
            append.entries.last().expect("it holds one").index.get()
        }
        Some(Message::AppendReply(AppendReply {
            result: AppendResult::Accepted { received, .. },
            ..
        })) => received.index.get(),
        other => panic!("nobody asked for {other:?}"),
    }
}

fn round_trip(place: &Place, lane: &mut Lane, turn: Duration, figures: &mut Figures) {
    let meter = Meter::start();
    let mut latencies = with_asker(place, lane, move |mut asker| async move {
        let latencies = trips(asker.as_mut(), turn, Duration::ZERO).await;
        (asker, latencies)
    });
    let cpu = meter.cpu_seconds() * 1e6 / latencies.len() as f64;
    figures.note("round trip p50", percentile(&mut latencies, 0.5));
    figures.note("round trip p99", percentile(&mut latencies, 0.99));
    figures.note("round trip us CPU", cpu);
}

/// With a pause after each trip, in which both nodes fall asleep, as they do between the
/// messages of a group that is not busy.
fn rested_round_trip(place: &Place, lane: &mut Lane, turn: Duration, figures: &mut Figures) {
    let mut latencies = with_asker(place, lane, move |mut asker| async move {
        let latencies = trips(asker.as_mut(), turn, REST).await;
        (asker, latencies)
    });
    figures.note("rested trip p50", percentile(&mut latencies, 0.5));
    figures.note("rested trip p99", percentile(&mut latencies, 0.99));
}

/// Takes the asker to its own thread and brings it back.
fn with_asker<T: Send + 'static, F>(
    place: &Place,
    lane: &mut Lane,
    task: impl FnOnce(Box<dyn Asker>) -> F,
) -> T
where
    F: Future<Output = (Box<dyn Asker>, T)> + Send + 'static,
{
    let asker = lane.asker.take().expect("it is here between loads");
    let (asker, result) = place.ask(task(asker));
    lane.asker = Some(asker);
    result
}

/// Messages with so many on their way. Answers messages a second, and
/// microseconds of processor time for each.
fn flood(
    place: &Place,
    lane: &mut Lane,
    turn: Duration,
    size: usize,
    in_flight: u64,
) -> (f64, f64) {
    let data = data(size);
    let meter = Meter::start();
    let sent = with_asker(place, lane, move |mut asker| async move {
        let begun = Instant::now();
        let (mut sent, mut acknowledged) = (0, 0);
        while acknowledged < sent || begun.elapsed() < turn {
            while begun.elapsed() < turn && sent - acknowledged < in_flight {
                let room = in_flight - (sent - acknowledged);
                let upto = sent + room.min(BATCH);
                let batch = (sent + 1..=upto).map(|index| append(ACKNOWLEDGE, index, &data));
                asker.send(batch.collect()).await;
                sent = upto;
            }
            if acknowledged < sent {
                acknowledged = index_of(&asker.receive().await);
            }
        }
        (asker, sent)
    });
    let rate = sent as f64 / meter.seconds();
    (rate, meter.cpu_seconds() * 1e6 / sent as f64)
}

fn snapshot(place: &Place, lane: &mut Lane, turn: Duration, figures: &mut Figures) {
    let carrier = lane.carrier.clone();
    let meter = Meter::start();
    let bytes = place.ask(async move {
        let begun = Instant::now();
        let mut bytes = 0;
        while begun.elapsed() < turn {
            carrier.carry(Source::new(SNAPSHOT)).await;
            bytes += SNAPSHOT;
        }
        bytes
    });
    let megabytes = bytes as f64 / 1e6;
    figures.note("snapshot MB/s", megabytes / meter.seconds());
    figures.note("snapshot ms CPU", meter.cpu_seconds() * 1e3 / megabytes);
}

/// Round trips while snapshots go the same way at full speed.
fn beside_a_snapshot(place: &Place, lane: &mut Lane, turn: Duration, figures: &mut Figures) {
    let carrier = lane.carrier.clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let carrying = place.asking.spawn(async move {
        while !*stopped.borrow() {
            carrier.carry(Source::new(SNAPSHOT)).await;
        }
    });
    let mut latencies = with_asker(place, lane, move |mut asker| async move {
        let latencies = trips(asker.as_mut(), turn, Duration::ZERO).await;
        (asker, latencies)
    });
    stop.send_replace(true);
    place.asking.block_on(carrying).expect("it does not panic");
    figures.note("beside p50", percentile(&mut latencies, 0.5));
    figures.note("beside p99", percentile(&mut latencies, 0.99));
}
