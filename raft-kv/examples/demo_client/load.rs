//! Writers with keys of their own, what they were acknowledged, and how long nothing was.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::Channel;

use super::{Members, PREFIX, channel, put};

/// How long a writer waits after an error before it asks another member.
const BACK_OFF: Duration = Duration::from_millis(20);

/// What the writers share.
struct Progress {
    out: BufWriter<File>,
    since: Instant,
    last_acknowledged: Instant,
    longest_gap: Duration,
    acknowledged: u64,
    failed: u64,
}

impl Progress {
    /// Notes an acknowledgement, with the moment of it.
    fn acknowledge(&mut self, key: &str, value: &str, revision: i64) -> Result<()> {
        let now = Instant::now();
        self.longest_gap = self.longest_gap.max(now - self.last_acknowledged);
        self.last_acknowledged = now;
        self.acknowledged += 1;
        writeln!(self.out, "acknowledged {key} {value} {revision}").context("cannot note a write")
    }

    /// Notes a write that may or may not take effect.
    fn fail(&mut self, key: &str, value: &str) -> Result<()> {
        self.failed += 1;
        writeln!(self.out, "unknown {key} {value} 0").context("cannot note a write")
    }

    fn report(&self) -> String {
        let now = Instant::now();
        let silence = now - self.last_acknowledged;
        format!(
            "gap_ms={} silence_ms={} acknowledged={} failed={} elapsed_ms={}",
            self.longest_gap.max(silence).as_millis(),
            silence.as_millis(),
            self.acknowledged,
            self.failed,
            (now - self.since).as_millis()
        )
    }

    /// Counts from now on; a silence that lasts goes on counting from its start.
    fn restart(&mut self) {
        self.since = Instant::now();
        self.longest_gap = Duration::ZERO;
        self.acknowledged = 0;
        self.failed = 0;
    }
}

type Shared = Arc<Mutex<Progress>>;

fn lock(progress: &Shared) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes until standard input ends.
pub(crate) async fn load(members: &Members, writers: usize, out: &Path) -> Result<()> {
    let file = File::create(out).with_context(|| format!("cannot write {}", out.display()))?;
    let now = Instant::now();
    let progress = Arc::new(Mutex::new(Progress {
        out: BufWriter::new(file),
        since: now,
        last_acknowledged: now,
        longest_gap: Duration::ZERO,
        acknowledged: 0,
        failed: 0,
    }));
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let channels: Result<Vec<_>> = members.endpoints.iter().map(|e| channel(e)).collect();
        let clients = channels?.into_iter().map(KvClient::new).collect();
        let progress = Arc::clone(&progress);
        tasks.push(tokio::spawn(write_keys(
            writer,
            clients,
            progress,
            stopped.clone(),
        )));
    }
    let questions = Arc::clone(&progress);
    tokio::task::spawn_blocking(move || answer_questions(&questions)).await??;
    stop.send_replace(true);
    for task in tasks {
        task.await??;
    }
    lock(&progress)
        .out
        .flush()
        .context("cannot note the last writes")
}

/// Answers `peek` and `mark` until standard input ends.
fn answer_questions(progress: &Shared) -> Result<()> {
    for line in std::io::stdin().lines() {
        let mut progress = lock(progress);
        match line?.trim() {
            "peek" => println!("{}", progress.report()),
            "mark" => {
                println!("{}", progress.report());
                progress.restart();
            }
            other => bail!("unknown question {other:?}; ask peek or mark"),
        }
    }
    Ok(())
}

/// Writes one key after the other; after an error through the next member.
async fn write_keys(
    writer: usize,
    mut clients: Vec<KvClient<Channel>>,
    progress: Shared,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let count = clients.len();
    let mut member = writer % count;
    for number in 0u64.. {
        if *stopped.borrow() {
            break;
        }
        let key = format!("{PREFIX}{writer}/{number:09}");
        let value = format!("{writer}-{number}-{}", fingerprint(&key));
        match put(&mut clients[member], &key, &value).await {
            Ok(revision) => lock(&progress).acknowledge(&key, &value, revision)?,
            Err(_) => {
                lock(&progress).fail(&key, &value)?;
                member = (member + 1) % count;
                sleep(BACK_OFF).await;
            }
        }
    }
    Ok(())
}

/// Makes a value tell its key, so that a swapped value is noticed.
fn fingerprint(key: &str) -> u32 {
    crc32fast::hash(key.as_bytes())
}
