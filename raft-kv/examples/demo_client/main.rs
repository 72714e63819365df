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

mod load;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use raft_kv::proto::etcdserverpb::{PutRequest, RangeRequest, StatusRequest};
use tonic::transport::{Channel, Endpoint};

/// How long a member may take to accept a connection, and to answer.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
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
        } => load::load(&members, writers, &out).await,
        Verb::Verify { members, file } => verify::verify(&members, &file).await,
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
