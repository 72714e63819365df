//! A client of the etcd v3 API for demonstrations and soak runs: writers that
//! note what they were acknowledged, and a check that all of it is still there.
//!
//! ```text
//! demo_client status    --endpoints A,B,C             one line per member
//! demo_client put       --endpoints A KEY VALUE       through the first member
//! demo_client get       --endpoints A KEY
//! demo_client count     --endpoints A PREFIX          keys that this member holds
//! demo_client fill      --endpoints A,B,C --bytes N --keys N
//! demo_client load      --endpoints A,B,C --out FILE  until standard input ends
//! demo_client verify    --endpoints A,B,C FILE        every member, both kinds of reads
//! demo_client registers --endpoints A,B,C             until standard input ends; --history FILE
//! demo_client judge     FILE                          is the history linearizable?
//! demo_client leader    --endpoints A,B --not N       waits for another leader
//! demo_client list      --endpoints A                 its members; add, promote, remove
//! ```
//!
//! Answers are lines of `name=value`. `load` reads lines: `peek` answers what
//! happened since the last `mark`; `mark` answers the same and counts anew;
//! `members A,B,C` has the writers write through these from then on. Errors are
//! noted beside FILE, one a line: milliseconds, verdict, member, text.
//!
//! Nothing is ever written twice: a writer that got an error goes on with the
//! next key, so that each key has one possible value and a write whose outcome
//! is unknown can be told from one that is lost. Only what was certainly refused
//! is tried again.

mod fill;
mod history;
mod load;
mod members;
mod outcome;
mod registers;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::etcdserverpb::{PutRequest, RangeRequest};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use self::history::Recorder;

/// How long a member may take to accept a connection, and to answer.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// How long it may take where a frozen member is part of the plan.
const PATIENT_LIMIT: Duration = Duration::from_secs(60);
/// All keys of the writers begin so.
const PREFIX: &str = "load/";

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
    /// Counts the keys that the first member holds
    Count {
        #[command(flatten)]
        members: Members,
        prefix: String,
    },
    /// Writes keys with values that do not compress
    Fill {
        #[command(flatten)]
        members: Members,
        /// Bytes of values in all
        #[arg(long)]
        bytes: u64,
        /// How many keys
        #[arg(long)]
        keys: u64,
    },
    /// Writes and reads registers until standard input ends
    Registers {
        #[command(flatten)]
        members: Members,
        /// How many registers
        #[arg(long, default_value_t = 4)]
        count: usize,
        /// Where each write and linearizable read is noted
        #[arg(long)]
        history: Option<PathBuf>,
    },
    /// Judges a history of registers
    Judge {
        /// The file of the registers
        file: PathBuf,
    },
    /// Waits until all members that are asked name the same new leader
    Leader {
        #[command(flatten)]
        members: Members,
        /// The leader there was
        #[arg(long)]
        not: u64,
    },
    /// Shows who belongs to the cluster
    List {
        #[command(flatten)]
        members: Members,
    },
    /// Adds a member
    Add {
        #[command(flatten)]
        members: Members,
        /// Where its peers will reach it, as host:port
        peer: String,
        /// It does not vote until it is promoted
        #[arg(long)]
        learner: bool,
    },
    /// Lets a learner vote
    Promote {
        #[command(flatten)]
        members: Members,
        id: u64,
    },
    /// Removes a member
    Remove {
        #[command(flatten)]
        members: Members,
        id: u64,
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
    channel_within(endpoint, ANSWER_LIMIT)
}

/// A channel that waits for a member that was frozen.
fn patient_channel(endpoint: &str) -> Result<Channel> {
    channel_within(endpoint, PATIENT_LIMIT)
}

fn channel_within(endpoint: &str, limit: Duration) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))
        .with_context(|| format!("{endpoint:?} is no endpoint; write host:port"))?;
    let endpoint = endpoint.connect_timeout(CONNECT_LIMIT).timeout(limit);
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
        Verb::Status { members } => members::status(&members).await,
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
        } => load::load(&members, writers, &out).await,
        Verb::Verify { members, file } => verify::verify(&members, &file).await,
        Verb::Count { members, prefix } => count(&members, &prefix).await,
        Verb::Fill {
            members,
            bytes,
            keys,
        } => fill::fill(&members, bytes, keys).await,
        Verb::Registers {
            members,
            count,
            history,
        } => {
            let history = history.as_deref().map(Recorder::create).transpose()?;
            registers::registers(&members, count, history).await
        }
        Verb::Judge { file } => history::judge(&file),
        Verb::Leader { members, not } => members::await_leader(&members, not).await,
        Verb::List { members } => members::list(&members).await,
        Verb::Add {
            members,
            peer,
            learner,
        } => members::add(&members, &peer, learner).await,
        Verb::Promote { members, id } => members::promote(&members, id).await,
        Verb::Remove { members, id } => members::remove(&members, id).await,
    }
}

/// Writes one key; answers the revision of the write.
async fn put(client: &mut KvClient<Channel>, key: &str, value: &str) -> Result<i64, Status> {
    let request = PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    };
    let answer = client.put(request).await?.into_inner();
    let header = answer.header;
    let header = header.ok_or_else(|| Status::data_loss("the answer has no header"))?;
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

async fn count(members: &Members, prefix: &str) -> Result<()> {
    let mut end = prefix.as_bytes().to_vec();
    let last = end.last_mut().context("the prefix is empty")?;
    *last = last.checked_add(1).context("the prefix ends with 255")?;
    let request = RangeRequest {
        key: prefix.into(),
        range_end: end,
        count_only: true,
        serializable: true,
        ..RangeRequest::default()
    };
    let answer = KvClient::new(members.first()?).range(request).await?;
    println!("count={}", answer.into_inner().count);
    Ok(())
}
