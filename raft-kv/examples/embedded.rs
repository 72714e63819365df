//! A node inside a program: a cluster of one, written to and read through its client API.
//!
//! ```sh
//! cargo run -p raft-kv --example embedded
//! ```

use std::error::Error;

use raft_core::NodeId;
use raft_kv::config::{Config, Settings, TlsSettings};
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::etcdserverpb::{PutRequest, RangeRequest};
use raft_kv::server::Server;
use raft_transport_quic::DevAuthority;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let server = Server::start(config(directory.path())?).await?;

    let url = format!("http://{}", server.client_address());
    let mut client = KvClient::connect(url).await?;
    client
        .put(PutRequest {
            key: b"hello".to_vec(),
            value: b"world".to_vec(),
            ..PutRequest::default()
        })
        .await?;
    let request = RangeRequest {
        key: b"hello".to_vec(),
        ..RangeRequest::default()
    };
    let answer = client.range(request).await?.into_inner();
    for kv in answer.kvs {
        let (key, value) = (String::from_utf8(kv.key)?, String::from_utf8(kv.value)?);
        println!("{key} = {value}, written at revision {}", kv.mod_revision);
    }

    server.stop().await;
    Ok(())
}

/// A cluster of one on ports that are free, with a certificate made on the spot.
fn config(directory: &std::path::Path) -> Result<Config, Box<dyn Error>> {
    let authority = DevAuthority::new("embedded")?;
    authority.node(NodeId::new(1))?.write_to(directory)?;
    let settings = Settings {
        node_id: Some(1),
        cluster: Some("embedded".parse()?),
        data_dir: Some(directory.join("data")),
        listen_client: Some("127.0.0.1:0".parse()?),
        listen_peer: Some("127.0.0.1:0".parse()?),
        // Nobody else has to find this node.
        advertise_client: Some("http://localhost".to_owned()),
        advertise_peer: Some("localhost:1".to_owned()),
        tls: TlsSettings {
            ca: Some(directory.join("ca.pem")),
            certificate: Some(directory.join("node.pem")),
            key: Some(directory.join("node.key")),
            revoked: None,
        },
        ..Settings::default()
    };
    Ok(Config::from_settings(settings)?)
}
