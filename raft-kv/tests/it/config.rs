//! What a wrongly configured server says before it ends.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use raft_kv::config::{Config, Settings};
use raft_kv::server::Server;
use raft_transport_quic::DevAuthority;

use crate::support::{CLUSTER, certificates, cluster_settings};

/// How long a server may take to find out that it cannot run.
const PATIENCE: Duration = Duration::from_secs(60);

fn server(directory: &Path, file: &str) -> Output {
    let path = directory.join("node.toml");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
    command
        .args(["server", "--config"])
        .arg(path)
        .env("RAFT_KV_LOG_LEVEL", "error");
    run(command)
}

/// Runs to the end; a server that does not end is killed, and that shows in its status.
fn run(mut command: Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// A file that is right, made from settings that are.
pub(crate) fn file(settings: &Settings) -> String {
    format!(
        "node_id = {}\ncluster = {CLUSTER:?}\ndata_dir = {:?}\nlisten_client = \"{}\"\n\
         listen_peer = \"{}\"\n[tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n",
        settings.node_id.unwrap(),
        settings.data_dir.as_ref().unwrap(),
        settings.listen_client.unwrap(),
        settings.listen_peer.unwrap(),
        settings.tls.ca.as_ref().unwrap(),
        settings.tls.certificate.as_ref().unwrap(),
        settings.tls.key.as_ref().unwrap(),
    )
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_wrong_key_is_named_with_its_line_and_the_right_one() {
    let directory = tempfile::tempdir().unwrap();

    let text = refusal(&server(
        directory.path(),
        "node_id = 1\nlisten_cleint = \"x\"\n",
    ));

    assert!(
        text.contains("node.toml:2: unknown key `listen_cleint`; did you mean `listen_client`?"),
        "{text}"
    );
}

#[test]
fn a_port_in_use_is_named_with_the_setting_that_chooses_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = cluster_settings(directory.path(), 1).remove(0);
    let taken = TcpListener::bind(settings.listen_client.unwrap()).unwrap();

    let text = refusal(&server(directory.path(), &file(&settings)));

    let address = taken.local_addr().unwrap();
    assert!(
        text.contains(&format!("cannot listen for clients on {address}")),
        "{text}"
    );
    assert!(text.contains("listen_client"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_another_node_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let settings = cluster_settings(directory.path(), 1).remove(0);
    let config = Config::from_settings(settings.clone()).unwrap();
    Server::start(config).await.unwrap().stop().await;

    let authority = DevAuthority::new(CLUSTER).unwrap();
    let other = Settings {
        node_id: Some(2),
        tls: certificates(&authority, 2, &directory.path().join("other")),
        ..settings
    };
    let text = refusal(&server(directory.path(), &file(&other)));

    assert!(text.contains("cannot open the log in data_dir"), "{text}");
    assert!(text.contains('1') && text.contains('2'), "{text}");
}

#[test]
fn a_certificate_of_another_node_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let settings = cluster_settings(directory.path(), 2);
    let impostor = Settings {
        tls: settings[1].tls.clone(),
        ..settings[0].clone()
    };

    let text = refusal(&server(directory.path(), &file(&impostor)));

    assert!(text.contains("raft://42/2"), "{text}");
    assert!(text.contains("raft://42/1"), "{text}");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(
        &path,
        "max_txn_ops = 1\nmax_request_bytes = 1\nnode_id = 1\n",
    )
    .unwrap();
    let says = |variable: &str, flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
        command
            .args(["server", "--config"])
            .arg(&path)
            .args(flags)
            .env("RAFT_KV_LISTEN_CLIENT", variable)
            .env("RAFT_KV_LISTEN_PEER", "127.0.0.1:1");
        refusal(&run(command))
    };

    let environment = says("0.0.0.0:7", &[]);
    let flag = says("0.0.0.0:7", &["--listen-client", "0.0.0.0:8"]);

    assert!(
        environment.contains("listen_client = 0.0.0.0:7"),
        "{environment}"
    );
    assert!(flag.contains("listen_client = 0.0.0.0:8"), "{flag}");
}

/// Else one node would have another idea of a majority than its peers have.
#[tokio::test(flavor = "multi_thread")]
async fn other_founding_members_than_at_the_first_start_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let settings = cluster_settings(directory.path(), 3).remove(0);
    let config = Config::from_settings(settings.clone()).unwrap();
    Server::start(config).await.unwrap().stop().await;

    let alone = Settings {
        initial_cluster: settings.initial_cluster[..1].to_vec(),
        ..settings
    };
    let text = refusal(&server(directory.path(), &file(&alone)));

    assert!(text.contains("began with 1, 2, 3"), "{text}");
    assert!(text.contains("the configuration says 1;"), "{text}");
}
