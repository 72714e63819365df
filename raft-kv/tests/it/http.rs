//! HTTP/1.1 on the port that also speaks gRPC.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{TestCluster, put};

/// The whole answer to a GET of `path`, head and body.
pub(crate) async fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_grpc_and_http() {
    let cluster = TestCluster::start(1).await;
    cluster.kv(0).await.put(put("key", "value")).await.unwrap();

    let health = fetch(cluster.address(0), "/health").await;
    let local = fetch(cluster.address(0), "/health?serializable=true").await;
    let version = fetch(cluster.address(0), "/version").await;
    let metrics = fetch(cluster.address(0), "/metrics").await;
    let nothing = fetch(cluster.address(0), "/nothing").await;

    for health in [health, local] {
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        assert!(
            health.ends_with(r#"{"health":"true","reason":""}"#),
            "{health}"
        );
    }
    let versions = r#"{"etcdserver":"3.5.16","etcdcluster":"3.5.0"}"#;
    assert!(version.ends_with(versions), "{version}");
    assert!(metrics.contains("raft_kv_build_info"), "{metrics}");
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
}
