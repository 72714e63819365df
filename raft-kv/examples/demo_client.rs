//! A client of the etcd v3 API for demonstrations and soak runs: writers that
//! note what they were acknowledged, and a check that all of it is still there.
//!
//! ```text
//! demo_client status --endpoints A,B,C             one line per member
//! demo_client put    --endpoints A KEY VALUE       through the first member
//! demo_client get    --endpoints A KEY
//! demo_client load   --endpoints A,B,C --out FILE  until standard input ends
//! demo_client verify --endpoints A,B,C FILE        every member, both kinds of reads
//! ```
//!
//! Answers are lines of `name=value`. `load` reads lines: `peek` answers what
//! happened since the last `mark`; `mark` answers the same and counts anew.
//!
//! Nothing is ever written twice: a writer that got an error goes on with the
//! next key, so that each key has one possible value and a write whose outcome
//! is unknown can be told from one that is lost.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use raft_kv::proto::etcdserverpb::{PutRequest, RangeRequest, StatusRequest};
use raft_kv::proto::mvccpb::KeyValue;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

/// How long a member may take to accept a connection, and to answer.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// How long a writer waits after an error before it asks another member.
const BACK_OFF: Duration = Duration::from_millis(20);
/// Keys read back at once.
const PAGE: i64 = 1000;
/// All keys of the writers begin so.
const PREFIX: &str = "load/";
/// The first key after them.
const PREFIX_END: &str = "load0";

/// Writes, and checks what was written
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Shows each member's leader and position
    Status {
        #[command(flatten)]
        members: Members,
    },
    /// Writes a key
    Put {
        #[command(flatten)]
        members: Members,
        key: String,
        value: String,
    },
    /// Reads a key
    Get {
        #[command(flatten)]
        members: Members,
        key: String,
    },
    /// Writes new keys until standard input ends
    Load {
        #[command(flatten)]
        members: Members,
        /// Concurrent writers
        #[arg(long, default_value_t = 16)]
        writers: usize,
        /// Where the outcome of each write is noted
        #[arg(long)]
        out: PathBuf,
    },
    /// Reads back what a load was acknowledged
    Verify {
        #[command(flatten)]
        members: Members,
        /// The file of the load
        file: PathBuf,
    },
}

/// Whom to ask
#[derive(clap::Args)]
struct Members {
    /// Where the members are, as host:port
    #[arg(long, value_delimiter = ',', required = true)]
    endpoints: Vec<String>,
}

impl Members {
    fn first(&self) -> Result<Channel> {
        let endpoint = self.endpoints.first().context("no endpoint is given")?;
        channel(endpoint)
    }
}

/// A channel that connects when it is used, and again when the connection broke.
fn channel(endpoint: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))
        .with_context(|| format!("{endpoint:?} is no endpoint; write host:port"))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT);
    Ok(endpoint.connect_lazy())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("cannot start a runtime")
        .and_then(|runtime| runtime.block_on(run(Arguments::parse().verb)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Status { members } => status(&members).await,
        Verb::Put {
            members,
            key,
            value,
        } => {
            let revision = put(&mut KvClient::new(members.first()?), &key, &value).await?;
            println!("mod_revision={revision}");
            Ok(())
        }
        Verb::Get { members, key } => get(&members, &key).await,
        Verb::Load {
            members,
            writers,
            out,
        } => load(&members, writers, &out).await,
        Verb::Verify { members, file } => verify(&members, &file).await,
    }
}

async fn status(members: &Members) -> Result<()> {
    for endpoint in &members.endpoints {
        let mut client = MaintenanceClient::new(channel(endpoint)?);
        let answer = tokio::time::timeout(CONNECT_LIMIT * 2, client.status(StatusRequest {})).await;
        let Ok(Ok(answer)) = answer else {
            println!("endpoint={endpoint} down=1");
            continue;
        };
        let status = answer.into_inner();
        let header = status.header.unwrap_or_default();
        println!(
            "endpoint={endpoint} member={} leader={} term={} index={} applied={} revision={}",
            header.member_id,
            status.leader,
            status.raft_term,
            status.raft_index,
            status.raft_applied_index,
            header.revision
        );
    }
    Ok(())
}

/// Writes one key; answers the revision of the write.
async fn put(client: &mut KvClient<Channel>, key: &str, value: &str) -> Result<i64> {
    let request = PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    };
    let answer = client.put(request).await?.into_inner();
    let header = answer.header.context("the answer has no header")?;
    Ok(header.revision)
}

async fn get(members: &Members, key: &str) -> Result<()> {
    let request = RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    };
    let answer = KvClient::new(members.first()?).range(request).await?;
    for found in answer.into_inner().kvs {
        println!("{}", String::from_utf8_lossy(&found.value));
    }
    Ok(())
}

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

fn lock(progress: &Shared) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn load(members: &Members, writers: usize, out: &Path) -> Result<()> {
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

/// What a load noted of one key.
struct Noted {
    value: String,
    /// The revision it was acknowledged with; nothing if it was not.
    revision: Option<i64>,
}

type Notes = BTreeMap<String, Noted>;

/// What the check of one member found.
#[derive(Debug, Default)]
struct Verified {
    found: u64,
    lost: u64,
    foreign: u64,
}

async fn verify(members: &Members, file: &Path) -> Result<()> {
    let notes = read_notes(file)?;
    for endpoint in &members.endpoints {
        for serializable in [false, true] {
            let verified = verify_member(endpoint, serializable, &notes)
                .await
                .with_context(|| format!("cannot read back from {endpoint}"))?;
            println!(
                "endpoint={endpoint} reads={} found={} lost={} foreign={}",
                if serializable {
                    "serializable"
                } else {
                    "linearizable"
                },
                verified.found,
                verified.lost,
                verified.foreign
            );
        }
    }
    Ok(())
}

fn read_notes(file: &Path) -> Result<Notes> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut notes = Notes::new();
    for (at, line) in BufReader::new(opened).lines().enumerate() {
        let line = line?;
        let words: Vec<_> = line.split(' ').collect();
        let [outcome, key, value, revision] = words[..] else {
            bail!("{}:{}: no note of a write", file.display(), at + 1);
        };
        let revision = (outcome == "acknowledged")
            .then(|| revision.parse())
            .transpose()?;
        let value = value.to_owned();
        notes.insert(key.to_owned(), Noted { value, revision });
    }
    Ok(notes)
}

/// Compares all keys of one member with the notes.
async fn verify_member(endpoint: &str, serializable: bool, notes: &Notes) -> Result<Verified> {
    let mut client = KvClient::new(channel(endpoint)?);
    let mut verified = Verified::default();
    let mut expected = notes.iter().peekable();
    let mut from = PREFIX.as_bytes().to_vec();
    loop {
        let request = RangeRequest {
            key: from,
            range_end: PREFIX_END.into(),
            limit: PAGE,
            serializable,
            ..RangeRequest::default()
        };
        let answer = client.range(request).await?.into_inner();
        for stored in &answer.kvs {
            let key = String::from_utf8_lossy(&stored.key);
            while let Some((_, noted)) = expected.next_if(|(noted, _)| noted.as_str() < &*key) {
                verified.lost += u64::from(noted.revision.is_some());
            }
            let noted = expected.next_if(|(noted, _)| noted.as_str() == key);
            verified.compare(stored, noted.map(|(_, noted)| noted));
        }
        let Some(last) = answer.kvs.last().filter(|_| answer.more) else {
            break;
        };
        // The smallest key after the last one.
        from = [last.key.as_slice(), &[0]].concat();
    }
    let rest = expected.filter(|(_, noted)| noted.revision.is_some());
    verified.lost += rest.count() as u64;
    Ok(verified)
}

impl Verified {
    fn compare(&mut self, stored: &KeyValue, noted: Option<&Noted>) {
        let Some(noted) = noted else {
            self.foreign += 1;
            return;
        };
        let same_value = stored.value == noted.value.as_bytes();
        match noted.revision {
            Some(revision) if same_value && stored.mod_revision == revision => self.found += 1,
            Some(_) => self.lost += 1,
            // It took effect although nobody heard so; that is allowed, another value is not.
            None => self.foreign += u64::from(!same_value),
        }
    }
}
