//! Certificate files replaced while the cluster serves.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raft_core::NodeId;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_transport_quic::{DevAuthority, NodeCertificates, QuicNetwork};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::support::{CLUSTER, TestCluster, cluster_settings, put};

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// As operators do: written beside, then moved into place.
fn replace(home: &Path, name: &str, text: &str) {
    let beside = home.join(format!("{name}.new"));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, home.join(name)).unwrap();
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes at one member, one after the other, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: JoinHandle<Vec<String>>,
}

impl Load {
    fn begin(mut client: KvClient<Channel>, place: usize) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let key = format!("load-{place}");
                if let Err(error) = client.put(put(&key, &number.to_string())).await {
                    failures.push(format!("write {number} at {place}: {error}"));
                }
            }
            failures
        });
        Self { stop, done, task }
    }

    async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await.unwrap();
        (self.done.load(Ordering::Relaxed), failures)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_and_all_certificates_are_replaced_under_load_without_a_failed_request() {
    let cluster = TestCluster::start(3).await;
    cluster.leader().await;
    let (old, new) = (cluster.authority(), DevAuthority::new(CLUSTER).unwrap());
    let both = format!("{}{}", new.ca_pem(), old.ca_pem());
    let mut load = Vec::new();
    for place in 0..3 {
        load.push(Load::begin(cluster.kv(place).await, place));
    }
    let all = |holds: &dyn Fn(&QuicNetwork, usize) -> bool| {
        (0..3).all(|place| holds(cluster.network(place), place))
    };

    for place in 0..3 {
        replace(cluster.home(place), "ca.pem", &both);
    }
    until("all trust both authorities", || {
        all(&|network, _| network.certificates().authority_count() == 2)
    })
    .await;

    let mut serials = Vec::new();
    for place in 0..3 {
        let node = NodeId::new(u64::try_from(place).unwrap() + 1);
        let pem = new.node(node).unwrap();
        serials.push(pem.certificates().unwrap().serial());
        replace(cluster.home(place), "node.pem", &pem.certificate);
        replace(cluster.home(place), "node.key", &pem.key);
    }
    until("all connections are made with new certificates", || {
        all(&|network, place| {
            let renewed = (1..=3).filter(|&id| id != place as u64 + 1).all(|id| {
                let status = network.peer_status(NodeId::new(id));
                status.and_then(|status| status.renewals) == Some(2)
            });
            let shows = network.certificates().serial() == serials[place];
            renewed && shows && network.open_connections() == 2
        })
    })
    .await;

    for place in 0..3 {
        replace(cluster.home(place), "ca.pem", new.ca_pem());
    }
    until("all trust the new authority only", || {
        all(&|network, _| network.certificates().authority_count() == 1)
    })
    .await;

    for load in load {
        let (written, failures) = load.end().await;
        println!("{written} writes, {} failed", failures.len());
        assert_eq!(failures, Vec::<String>::new());
        assert!(written > 10, "only {written} writes: there was no load");
    }
    for place in 0..3 {
        assert_eq!(cluster.network(place).refusals(), []);
        let mut client = cluster.kv(place).await;
        client.put(put("after", "all")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_leave_the_node_as_it_was() {
    let cluster = TestCluster::start(1).await;
    let home = cluster.home(0);
    let before = cluster.network(0).certificates().serial();
    let pem = cluster.authority().node(NodeId::new(1)).unwrap();

    // The key stays the old one for now.
    replace(home, "node.pem", &pem.certificate);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(cluster.network(0).certificates().serial(), before);
    cluster.kv(0).await.put(put("key", "value")).await.unwrap();

    replace(home, "node.key", &pem.key);
    let loaded = NodeCertificates::load(home).unwrap().serial();
    until("the new certificate is in use", || {
        cluster.network(0).certificates().serial() == loaded
    })
    .await;
}

/// As an operator who does not want to wait for the next look.
#[cfg(unix)]
#[test]
fn a_hangup_has_the_files_read_at_once_and_does_not_end_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let settings = cluster_settings(directory.path(), 1).remove(0);
    let path = directory.path().join("node.toml");
    std::fs::write(&path, crate::config::file(&settings)).unwrap();
    let log = directory.path().join("log");
    let mut server = Command::new(env!("CARGO_BIN_EXE_raft-kv"))
        .args(["server", "--config"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let says = |what: &str, times: usize| {
        let began = Instant::now();
        while std::fs::read_to_string(&log).unwrap().matches(what).count() < times {
            assert!(began.elapsed() < PATIENCE, "never said: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };

    says("serving", 1);
    for times in 1..=2 {
        let id = server.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status().unwrap();
        assert!(sent.success());
        says("certificates reloaded", times);
    }

    assert!(server.try_wait().unwrap().is_none(), "the server ended");
    server.kill().unwrap();
    server.wait().unwrap();
}

/// The commands as the book gives them.
#[test]
fn certificates_are_made_renewed_and_revoked_by_the_command_line() {
    let home = tempfile::tempdir().unwrap();
    let cert = |arguments: &[&str]| {
        let place = ["--out", "certificates", "--cluster", "example"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
        command.current_dir(home.path()).arg("cert");
        let output = command.arg(arguments[0]).args(place).args(&arguments[1..]);
        let output = output.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
    };
    let read = |name: &str| std::fs::read(home.path().join("certificates").join(name)).unwrap();

    cert(&["node", "--nodes", "1,2,3"]);
    let first = read("node-2.pem");
    cert(&["node", "--nodes", "2", "--renew"]);
    assert_ne!(read("node-2.pem"), first);
    cert(&["authority", "--successor"]);
    cert(&["node", "--nodes", "1,2,3", "--renew"]);
    cert(&["authority", "--retire"]);
    cert(&["revoke", "certificates/node-2.pem"]);

    assert!(!read("revoked.pem").is_empty());
    let bare = Command::new(env!("CARGO_BIN_EXE_raft-kv"))
        .arg("cert")
        .output()
        .unwrap();
    assert_eq!(bare.status.code(), Some(2), "it says how it is used");
}
