//! Writers with keys of their own, what they were acknowledged, and how long nothing was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;
use tonic::transport::Channel;

use super::outcome::{Verdict, describe};
use super::{Members, PREFIX, channel, put};

/// How long a writer waits after an error before it asks another member.
const BACK_OFF: Duration = Duration::from_millis(20);

/// What the writers share.
struct Progress {
    out: BufWriter<File>,
    errors: BufWriter<File>,
    began: Instant,
    since: Instant,
    last_acknowledged: Instant,
    longest_gap: Duration,
    /// How long each acknowledged write took, in microseconds.
    took: Vec<u32>,
    acknowledged: u64,
    refused: u64,
    failed: u64,
}

impl Progress {
    fn begin(out: &Path) -> Result<Self> {
        let now = Instant::now();
        let create = |path: &Path| {
            let file = File::create(path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Self {
            out: BufWriter::new(create(out)?),
            errors: BufWriter::new(create(&errors_beside(out))?),
            began: now,
            since: now,
            last_acknowledged: now,
            longest_gap: Duration::ZERO,
            took: Vec::new(),
            acknowledged: 0,
            refused: 0,
            failed: 0,
        })
    }

    /// Notes an acknowledgement, with the moment of it.
    fn acknowledge(
        &mut self,
        write: &KeyValuePair<'_>,
        revision: i64,
        took: Duration,
    ) -> Result<()> {
        let now = Instant::now();
        self.longest_gap = self.longest_gap.max(now - self.last_acknowledged);
        self.took
            .push(took.as_micros().try_into().unwrap_or(u32::MAX));
        self.last_acknowledged = now;
        self.acknowledged += 1;
        let KeyValuePair { key, value } = write;
        writeln!(self.out, "acknowledged {key} {value} {revision}").context("cannot note a write")
    }

    /// Notes an error; unless it is a refusal, the write may or may not take effect.
    fn fail(
        &mut self,
        write: &KeyValuePair<'_>,
        endpoint: &str,
        status: &Status,
    ) -> Result<Verdict> {
        let verdict = Verdict::of(status);
        let at = self.began.elapsed().as_millis();
        writeln!(
            self.errors,
            "{at} {} {endpoint} {}",
            verdict.name(),
            describe(status)
        )
        .context("cannot note an error")?;
        match verdict {
            Verdict::Refused => self.refused += 1,
            Verdict::Unknown => {
                self.failed += 1;
                let KeyValuePair { key, value } = write;
                writeln!(self.out, "unknown {key} {value} 0").context("cannot note a write")?;
            }
        }
        Ok(verdict)
    }

    fn report(&mut self) -> String {
        let now = Instant::now();
        self.took.sort_unstable();
        let silence = now - self.last_acknowledged;
        format!(
            "gap_ms={} silence_ms={} slowest_us={} p99_us={} p50_us={} acknowledged={} refused={} failed={} \
             elapsed_ms={} at_ms={}",
            self.longest_gap.max(silence).as_millis(),
            silence.as_millis(),
            self.percentile(100),
            self.percentile(99),
            self.percentile(50),
            self.acknowledged,
            self.refused,
            self.failed,
            (now - self.since).as_millis(),
            (now - self.began).as_millis()
        )
    }

    /// What so many of a hundred writes did not exceed; they are sorted.
    fn percentile(&self, of_a_hundred: usize) -> u32 {
        let place = (self.took.len() * of_a_hundred).div_ceil(100);
        let place = place.saturating_sub(1);
        self.took.get(place).copied().unwrap_or_default()
    }

    /// Counts from now on; a silence that lasts goes on counting from its start.
    fn restart(&mut self) {
        self.since = Instant::now();
        self.longest_gap = Duration::ZERO;
        self.took.clear();
        self.acknowledged = 0;
        self.refused = 0;
        self.failed = 0;
    }

    fn flush(&mut self) -> Result<()> {
        self.errors.flush().context("cannot note the last errors")?;
        self.out.flush().context("cannot note the last writes")
    }
}

/// One write; each key is written once.
struct KeyValuePair<'w> {
    key: &'w str,
    value: &'w str,
}

type Shared = Arc<Mutex<Progress>>;

fn lock(progress: &Shared) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the errors of the load that writes to `out` are noted.
fn errors_beside(out: &Path) -> PathBuf {
    out.with_extension("errors")
}

/// What the writers are told.
#[derive(Clone)]
struct Orders {
    stop: bool,
    endpoints: Arc<[String]>,
}

/// Writes until standard input ends.
pub(crate) async fn load(members: &Members, writers: usize, out: &Path) -> Result<()> {
    let progress = Arc::new(Mutex::new(Progress::begin(out)?));
    let (orders, ordered) = watch::channel(Orders {
        stop: false,
        endpoints: members.endpoints.clone().into(),
    });
    let mut tasks = Vec::new();
    for number in 0..writers {
        let writer = Writer {
            number,
            channels: BTreeMap::new(),
            progress: Arc::clone(&progress),
            orders: ordered.clone(),
        };
        tasks.push(tokio::spawn(writer.write_keys()));
    }
    let questions = Arc::clone(&progress);
    tokio::task::spawn_blocking(move || {
        let answered = answer_questions(&questions, &orders);
        orders.send_modify(|orders| orders.stop = true);
        answered
    })
    .await??;
    for task in tasks {
        task.await??;
    }
    lock(&progress).flush()
}

/// Answers `peek`, `mark` and `members` until standard input ends.
fn answer_questions(progress: &Shared, orders: &watch::Sender<Orders>) -> Result<()> {
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut progress = lock(progress);
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("peek", "") => println!("{}", progress.report()),
            ("mark", "") => {
                println!("{}", progress.report());
                progress.restart();
                progress.flush()?;
            }
            ("members", endpoints) if !endpoints.is_empty() => {
                let endpoints = endpoints.split(',').map(str::to_owned).collect();
                orders.send_modify(|orders| orders.endpoints = endpoints);
            }
            _ => bail!("unknown question {line:?}; ask peek, mark or members A,B,C"),
        }
    }
    Ok(())
}

struct Writer {
    number: usize,
    channels: BTreeMap<String, KvClient<Channel>>,
    progress: Shared,
    orders: watch::Receiver<Orders>,
}

impl Writer {
    /// Writes one key after the other; after an error through the next member.
    async fn write_keys(mut self) -> Result<()> {
        let (mut hops, mut keys) = (0, 0_u64);
        let (mut key, mut value) = self.write_number(keys);
        loop {
            let orders = self.orders.borrow().clone();
            if orders.stop {
                return Ok(());
            }
            let endpoint = &orders.endpoints[(self.number + hops) % orders.endpoints.len()];
            let write = KeyValuePair {
                key: &key,
                value: &value,
            };
            let began = Instant::now();
            let verdict = match put(self.client(endpoint)?, write.key, write.value).await {
                Ok(revision) => {
                    lock(&self.progress).acknowledge(&write, revision, began.elapsed())?;
                    None
                }
                Err(status) => Some(lock(&self.progress).fail(&write, endpoint, &status)?),
            };
            if verdict.is_some() {
                hops += 1;
                sleep(BACK_OFF).await;
            }
            // What was refused is written again; what may have happened never is.
            if verdict != Some(Verdict::Refused) {
                keys += 1;
                (key, value) = self.write_number(keys);
            }
        }
    }

    fn write_number(&self, number: u64) -> (String, String) {
        let writer = self.number;
        let key = format!("{PREFIX}{writer}/{number:09}");
        let value = format!("{writer}-{number}-{}", fingerprint(&key));
        (key, value)
    }

    fn client(&mut self, endpoint: &str) -> Result<&mut KvClient<Channel>> {
        if !self.channels.contains_key(endpoint) {
            let client = KvClient::new(channel(endpoint)?);
            self.channels.insert(endpoint.to_owned(), client);
        }
        let client = self.channels.get_mut(endpoint);
        client.context("a channel that was just made is there")
    }
}

/// Makes a value tell its key, so that a swapped value is noticed.
fn fingerprint(key: &str) -> u32 {
    crc32fast::hash(key.as_bytes())
}
