//! Registers that are written and read all the time: is any read too old?
//!
//! Each register has one writer, so its revisions rise with its writes, whatever
//! became of those without an answer. A linearizable read must show the newest
//! revision that anybody knew of when it began: from an acknowledgement, or from
//! a read that had ended. Serializable reads may be older; that they are shows
//! that there was something to get wrong.
//!
//! Reads begin by the clock, whether or not earlier ones were answered: a member
//! that was frozen finds many of them when it goes on.
//!
//! Beside what is judged on the spot, the writes and linearizable reads can be noted
//! as a history, to be judged as a whole afterwards ([`super::history`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use raft_kv::proto::etcdserverpb::RangeRequest;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::mvccpb::KeyValue;
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};
use tonic::transport::Channel;

use super::history::Recorder;
use super::{Members, patient_channel, put};

/// How long a writer waits for an answer before it asks another member.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
const BACK_OFF: Duration = Duration::from_millis(20);
/// How often a read of each kind begins on each member.
const READ_EVERY: Duration = Duration::from_millis(50);
/// Reads of one kind that wait for one member at most. A server takes 200 a connection.
const MOST_WAITING: usize = 190;
/// A read that took so long was held up.
const LONG: Duration = Duration::from_secs(1);

/// One register and what is known of it.
struct Register {
    number: usize,
    key: String,
    /// The newest revision that anybody was told of.
    known: AtomicI64,
    /// What was found at each revision, by whoever saw it first.
    values: Mutex<BTreeMap<i64, Vec<u8>>>,
}

impl Register {
    /// Somebody was told that `value` was written at `revision`. Answers whether
    /// that agrees with what others were told.
    fn learn(&self, revision: i64, value: &[u8]) -> bool {
        self.known.fetch_max(revision, Ordering::SeqCst);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.entry(revision).or_insert_with(|| value.to_vec()) == value
    }
}

/// What the reads of one kind from one member came to.
struct Reads {
    endpoint: String,
    serializable: bool,
    answered: AtomicU64,
    failed: AtomicU64,
    /// Older than what was known when they began.
    older: AtomicU64,
    /// Another value than somebody else got at the same revision.
    other: AtomicU64,
    /// Answered, but only after long.
    long: AtomicU64,
    slowest_ms: AtomicU64,
}

impl Reads {
    fn of(endpoint: &str, serializable: bool) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            serializable,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            older: AtomicU64::new(0),
            other: AtomicU64::new(0),
            long: AtomicU64::new(0),
            slowest_ms: AtomicU64::new(0),
        }
    }

    fn note(&self, found: Option<&KeyValue>, register: &Register, known: i64, took: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.long
            .fetch_add(u64::from(took > LONG), Ordering::Relaxed);
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
        let revision = found.map_or(0, |found| found.mod_revision);
        self.older
            .fetch_add(u64::from(revision < known), Ordering::Relaxed);
        if let Some(found) = found
            && !register.learn(revision, &found.value)
        {
            self.other.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What there was since the last report.
    fn report(&self) -> String {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        format!(
            "endpoint={} linearizable={} answered={} failed={} older={} other={} long={} slowest_ms={}",
            self.endpoint,
            u8::from(!self.serializable),
            take(&self.answered),
            take(&self.failed),
            take(&self.older),
            take(&self.other),
            take(&self.long),
            take(&self.slowest_ms),
        )
    }
}

/// Writes and reads `count` registers until standard input ends.
pub(crate) async fn registers(
    members: &Members,
    count: usize,
    history: Option<Recorder>,
) -> Result<()> {
    let history = history.map(Arc::new);
    let registers: Arc<[Register]> = (0..count)
        .map(|number| Register {
            number,
            key: format!("register/{number}"),
            known: AtomicI64::new(0),
            values: Mutex::default(),
        })
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..count {
        let channels: Result<Vec<_>> = members
            .endpoints
            .iter()
            .map(|e| patient_channel(e))
            .collect();
        let clients = channels?.into_iter().map(KvClient::new).collect();
        let shared = (Arc::clone(&registers), history.clone(), Arc::clone(&over));
        let writing = write(number, clients, shared);
        tasks.push(tokio::spawn(writing));
    }
    let mut reads = Vec::new();
    for endpoint in &members.endpoints {
        for serializable in [false, true] {
            let counts = Arc::new(Reads::of(endpoint, serializable));
            reads.push(Arc::clone(&counts));
            let client = KvClient::new(patient_channel(endpoint)?);
            let shared = (Arc::clone(&registers), history.clone(), Arc::clone(&over));
            let reading = read(client, counts, shared);
            tasks.push(tokio::spawn(reading));
        }
    }
    tokio::task::spawn_blocking(move || answer_questions(&reads)).await??;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await?;
    }
    history.map_or(Ok(()), |history| history.finish())
}

/// What writers and readers share.
type Shared = (Arc<[Register]>, Option<Arc<Recorder>>, Arc<AtomicBool>);

/// Answers `mark`, one line per member and kind of reads, until standard input ends.
fn answer_questions(reads: &[Arc<Reads>]) -> Result<()> {
    for line in std::io::stdin().lines() {
        match line?.trim() {
            "mark" => {
                reads
                    .iter()
                    .for_each(|reads| println!("{}", reads.report()));
                println!("end");
            }
            other => bail!("unknown question {other:?}; ask mark"),
        }
    }
    Ok(())
}

/// Writes one register; after an error through the next member.
async fn write(
    number: usize,
    mut clients: Vec<KvClient<Channel>>,
    (registers, history, over): Shared,
) {
    let register = &registers[number];
    let mut member = number % clients.len();
    for written in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let value = format!("{number}-{written}");
        let invoked = history.as_ref().map(|history| history.now());
        let writing = put(&mut clients[member], &register.key, &value);
        let answer = timeout(WRITE_LIMIT, writing).await;
        if let (Some(history), Some(invoked)) = (&history, invoked) {
            history.wrote(number, written, invoked, matches!(answer, Ok(Ok(_))));
        }
        if let Ok(Ok(revision)) = answer {
            // One that disagrees is counted by whoever reads it.
            register.learn(revision, value.as_bytes());
        } else {
            member = (member + 1) % clients.len();
            sleep(BACK_OFF).await;
        }
    }
}

/// Begins one read after the other, in step with the clock.
async fn read(client: KvClient<Channel>, counts: Arc<Reads>, (registers, history, over): Shared) {
    let waiting = Arc::new(Semaphore::new(MOST_WAITING));
    let mut clock = interval(READ_EVERY);
    for number in 0_usize.. {
        clock.tick().await;
        if over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(place) = Arc::clone(&waiting).try_acquire_owned() else {
            continue;
        };
        let (mut client, counts) = (client.clone(), Arc::clone(&counts));
        let registers = Arc::clone(&registers);
        // Serializable reads may be old: they belong in no history.
        let history = history.clone().filter(|_| !counts.serializable);
        tokio::spawn(async move {
            let register = &registers[number % registers.len()];
            let invoked = history.as_ref().map(|history| history.now());
            let (known, began) = (register.known.load(Ordering::SeqCst), Instant::now());
            let request = RangeRequest {
                key: register.key.clone().into(),
                serializable: counts.serializable,
                ..RangeRequest::default()
            };
            match client.range(request).await {
                Ok(answer) => {
                    let kvs = answer.into_inner().kvs;
                    if let (Some(history), Some(invoked)) = (&history, invoked) {
                        history.read(register.number, written(kvs.first()), invoked);
                    }
                    counts.note(kvs.first(), register, known, began.elapsed());
                }
                Err(_) => {
                    counts.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(place);
        });
    }
}

/// Which of its writer's writes a value is, or one that nobody wrote.
fn written(found: Option<&KeyValue>) -> Option<u64> {
    let text = std::str::from_utf8(&found?.value).ok();
    let number = text.and_then(|text| text.split_once('-')?.1.parse().ok());
    Some(number.unwrap_or(u64::MAX))
}
