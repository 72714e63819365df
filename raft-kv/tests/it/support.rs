//! Nodes on free ports, with certificates and directories of their own.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_core::NodeId;
use raft_core::node::Node;
use raft_kv::config::{ClusterState, Config, InitialMember, Settings, TlsSettings};
use raft_kv::proto::etcdserverpb as pb;
use raft_kv::proto::etcdserverpb::cluster_client::ClusterClient;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use raft_kv::server::{Server, ServerError};
use raft_transport_quic::{DevAuthority, QuicNetwork};
use rocksdb::{DB, Options};
use tempfile::TempDir;
use tonic::transport::Channel;

pub(crate) const CLUSTER: &str = "42";
/// Between two tries to have a port back.
const PORT_PAUSE: Duration = Duration::from_millis(50);

/// A cluster whose nodes live in this process.
pub(crate) struct TestCluster {
    nodes: Vec<TestNode>,
    authority: DevAuthority,
    directory: TempDir,
}

struct TestNode {
    settings: Settings,
    server: Option<Server>,
}

impl TestCluster {
    /// `size` nodes, up and running.
    pub(crate) async fn start(size: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = DevAuthority::new(CLUSTER).unwrap();
        let settings = settings_of(&authority, directory.path(), size);
        let mut cluster = Self {
            nodes: settings
                .into_iter()
                .map(|settings| TestNode {
                    settings,
                    server: None,
                })
                .collect(),
            authority,
            directory,
        };
        for node in 0..size {
            cluster.restart(node).await;
        }
        cluster
    }

    /// Starts the node at `place`, which does not run.
    pub(crate) async fn restart(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        assert!(node.server.is_none(), "the node runs already");
        while node.server.is_none() {
            let config = Config::from_settings(node.settings.clone()).unwrap();
            match Server::start(config).await {
                Ok(server) => node.server = Some(server),
                // A peer that does not answer the farewell keeps the port open for a moment.
                Err(ServerError::Peers(why)) if why.to_string().contains("cannot listen") => {
                    tokio::time::sleep(PORT_PAUSE).await;
                }
                Err(error) => panic!("the node does not start: {error:?}"),
            }
        }
    }

    /// A URL at which a node that joins can be reached by its peers.
    pub(crate) fn free_peer_url() -> String {
        format!("https://{}", free_udp())
    }

    /// Starts the node with number `id`, which the cluster has added under
    /// `peer_url`. Answers its place.
    pub(crate) async fn join(&mut self, id: u64, peer_url: &str) -> usize {
        let mut settings = self.nodes[0].settings.clone();
        let own = InitialMember {
            id,
            name: format!("node-{id}"),
            peer: peer_url.trim_start_matches("https://").to_owned(),
            client: format!("http://{}", free_tcp()),
        };
        let home = self.directory.path().join(&own.name);
        settings.node_id = Some(id);
        settings.name = Some(own.name.clone());
        settings.data_dir = Some(home.join("data"));
        settings.listen_client = Some(own.client.trim_start_matches("http://").parse().unwrap());
        settings.listen_peer = Some(own.peer.parse().unwrap());
        settings.tls = certificates(&self.authority, id, &home);
        settings.initial_cluster.push(own);
        settings.initial_cluster_state = Some(ClusterState::Existing);
        self.nodes.push(TestNode {
            settings,
            server: None,
        });
        let place = self.nodes.len() - 1;
        self.restart(place).await;
        place
    }

    /// Returns when the server at `place` ends of itself; answers why.
    pub(crate) async fn failure(&mut self, place: usize) -> String {
        let server = self.nodes[place].server.as_mut().expect("the node runs");
        server.failure().await.to_string()
    }

    /// Stops the node at `place`.
    pub(crate) async fn stop(&mut self, place: usize) {
        let server = self.nodes[place].server.take().expect("the node runs");
        server.stop().await;
    }

    /// The authority that signed the nodes' certificates.
    pub(crate) const fn authority(&self) -> &DevAuthority {
        &self.authority
    }

    /// The directory with the certificate files of the node at `place`.
    pub(crate) fn home(&self, place: usize) -> &Path {
        let ca = self.nodes[place].settings.tls.ca.as_deref();
        ca.and_then(Path::parent).expect("every node has one")
    }

    /// The connections of the server at `place`.
    pub(crate) fn network(&self, place: usize) -> &QuicNetwork {
        let server = self.nodes[place].server.as_ref();
        server.expect("the node runs").network()
    }

    /// The Raft node of the server at `place`.
    pub(crate) fn node(&self, place: usize) -> &Node {
        let server = self.nodes[place].server.as_ref();
        server.expect("the node runs").node()
    }

    /// Takes the vote from the disk of the node at `place`, which does not run.
    pub(crate) fn lose_vote(&self, place: usize) {
        let data = self.nodes[place].settings.data_dir.as_ref();
        let path = data.expect("every node has one").join("raft");
        let families = DB::list_cf(&Options::default(), &path).unwrap();
        let db = DB::open_cf(&Options::default(), &path, families).unwrap();
        let vote = [&0_u64.to_be_bytes()[..], b"v"].concat();
        let family = db.cf_handle("state").unwrap();
        assert!(db.get_cf(family, &vote).unwrap().is_some(), "no vote there");
        db.delete_cf(family, &vote).unwrap();
    }

    /// Where the leader is, as soon as all running nodes agree on one.
    pub(crate) async fn leader(&self) -> usize {
        let mut agreed = None;
        let running: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|n| n.server.as_ref())
            .collect();
        while agreed.is_none() {
            let mut leaders = Vec::new();
            for server in &running {
                let mut status = server.node().watch();
                let status = status
                    .wait_for(|status| status.raft.leader.is_some())
                    .await
                    .unwrap();
                leaders.push(status.raft.leader);
            }
            if leaders.windows(2).all(|pair| pair[0] == pair[1]) {
                agreed = leaders[0];
            }
            tokio::task::yield_now().await;
        }
        let number = agreed.expect("the loop ends with one").get();
        usize::try_from(number - 1).unwrap()
    }

    /// Where the leader is, which is not `spared`: there it is moved on.
    pub(crate) async fn leader_other_than(&self, spared: usize) -> usize {
        loop {
            let leader = self.leader().await;
            if leader != spared {
                return leader;
            }
            let node = self.nodes[leader].server.as_ref().unwrap().node();
            // It may fail, and leadership may be elsewhere already: look again.
            let _ = node.transfer_leadership(None).await;
        }
    }

    /// Where clients reach the node at `place`.
    pub(crate) fn address(&self, place: usize) -> SocketAddr {
        self.nodes[place].settings.listen_client.unwrap()
    }

    pub(crate) async fn kv(&self, place: usize) -> KvClient<Channel> {
        let channel = self.channel(place).await;
        // Refusals of the server are tested, not those of the client.
        KvClient::new(channel).max_encoding_message_size(usize::MAX)
    }

    pub(crate) async fn members(&self, place: usize) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel(place).await)
    }

    pub(crate) async fn maintenance(&self, place: usize) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel(place).await)
    }

    pub(crate) async fn channel(&self, place: usize) -> Channel {
        let url = format!("http://{}", self.address(place));
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }
}

/// Settings of a cluster of `size` nodes in `directory`, with certificates.
pub(crate) fn cluster_settings(directory: &Path, size: usize) -> Vec<Settings> {
    settings_of(&DevAuthority::new(CLUSTER).unwrap(), directory, size)
}

fn settings_of(authority: &DevAuthority, directory: &Path, size: usize) -> Vec<Settings> {
    let numbers = 1..=u64::try_from(size).unwrap();
    let members: Vec<_> = numbers
        .map(|id| InitialMember {
            id,
            name: format!("node-{id}"),
            peer: free_udp().to_string(),
            client: format!("http://{}", free_tcp()),
        })
        .collect();
    let settings = members.iter().map(|member| {
        let home = directory.join(&member.name);
        Settings {
            node_id: Some(member.id),
            name: Some(member.name.clone()),
            cluster: Some(CLUSTER.parse().unwrap()),
            data_dir: Some(home.join("data")),
            listen_client: Some(member.client.trim_start_matches("http://").parse().unwrap()),
            listen_peer: Some(member.peer.parse().unwrap()),
            initial_cluster: members.clone(),
            tls: certificates(authority, member.id, &home),
            // Machines that run tests are busy, and two seconds are a long time in one.
            heartbeat_interval: Some("100ms".parse().unwrap()),
            election_timeout_min: Some("500ms".parse().unwrap()),
            election_timeout_max: Some("1s".parse().unwrap()),
            ..Settings::default()
        }
    });
    settings.collect()
}

/// Certificates of `node`, in the directory `home`.
pub(crate) fn certificates(authority: &DevAuthority, node: u64, home: &Path) -> TlsSettings {
    std::fs::create_dir_all(home).unwrap();
    authority
        .node(NodeId::new(node))
        .unwrap()
        .write_to(home)
        .unwrap();
    let file = |name: &str| -> Option<PathBuf> { Some(home.join(name)) };
    TlsSettings {
        ca: file("ca.pem"),
        certificate: file("node.pem"),
        key: file("node.key"),
        revoked: None,
    }
}

fn free_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn free_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

pub(crate) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..pb::PutRequest::default()
    }
}

pub(crate) fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        ..pb::RangeRequest::default()
    }
}

/// All keys that begin with `prefix`, which ends below the highest byte.
pub(crate) fn get_prefix(prefix: &str) -> pb::RangeRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix has bytes") += 1;
    pb::RangeRequest {
        range_end: end,
        ..get(prefix)
    }
}

/// The keys of an answer.
pub(crate) fn keys(response: &pb::RangeResponse) -> Vec<&str> {
    let kvs = response.kvs.iter();
    kvs.map(|kv| std::str::from_utf8(&kv.key).unwrap())
        .collect()
}

/// The values of an answer.
pub(crate) fn values(response: &pb::RangeResponse) -> Vec<&str> {
    let kvs = response.kvs.iter();
    kvs.map(|kv| std::str::from_utf8(&kv.value).unwrap())
        .collect()
}
