//! Nodes in network namespaces of their own, cut by routes and links of the kernel.
//!
//! Needs Linux, root and `ip`; where something is missing, says so and checks nothing.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quinn::AsyncUdpSocket;
use raft_core::NodeId;
use raft_transport_quic::{DevAuthority, QuicConfig, QuicNetwork};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::time::timeout;

use crate::support::{Node, RecordingInbox, authority, config, until};

const NODES: [u64; 3] = [1, 2, 3];
const PORT: u16 = 7400;

/// One namespace a node, all linked to a bridge in a namespace of its own. Removed when
/// it is dropped, whatever failed.
struct Lab {
    name: String,
}

impl Lab {
    /// Nothing if this machine does not let us; says why.
    fn open() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            name: format!("raft-{}-{number}", std::process::id()),
        };
        match lab.build() {
            Ok(()) => Some(lab),
            Err(why) => {
                println!("skipped: cannot make network namespaces, which takes root: {why}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let hub = self.of(0);
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for node in NODES {
            let (own, port) = (self.of(node), port_of(node));
            ip(&["netns", "add", &own])?;
            let link = ["link", "add", &port, "type", "veth", "peer", "name", "eth"];
            ip(&[&["-n", &hub][..], &link, &["netns", &own]].concat())?;
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &own, "addr", "add", &in_network(node), "dev", "eth"])?;
            ip(&["-n", &own, "link", "set", "eth", "up"])?;
        }
        Ok(())
    }

    fn of(&self, node: u64) -> String {
        format!("{}-{node}", self.name)
    }

    /// Does something in the namespace of a node; 0 is the bridge's.
    fn ip(&self, node: u64, arguments: &[&str]) {
        ip(&[&["-n", &self.of(node)][..], arguments].concat()).unwrap();
    }

    /// A socket in a node's namespace. Namespaces are those of a thread: another one goes
    /// there and opens it.
    fn socket(&self, node: u64, listen: SocketAddr) -> Arc<dyn AsyncUdpSocket> {
        let path = format!("/run/netns/{}", self.of(node));
        let opening = std::thread::spawn(move || {
            let namespace = File::open(path).unwrap();
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            UdpSocket::bind(listen).unwrap()
        });
        let runtime = quinn::default_runtime().unwrap();
        runtime.wrap_udp_socket(opening.join().unwrap()).unwrap()
    }

    fn node(&self, authority: &DevAuthority, id: u64) -> Node {
        self.node_at(address(id), config(authority, id))
    }

    fn node_at(&self, listen: SocketAddr, config: QuicConfig) -> Node {
        let id = config.node;
        let socket = self.socket(id.get(), listen);
        let network = QuicNetwork::bind_on(config, socket).unwrap();
        Node::on(id, network, RecordingInbox::default())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in [0].into_iter().chain(NODES) {
            // Those that were never made cannot be removed.
            ip(&["netns", "del", &self.of(node)]).ok();
        }
    }
}

/// A node's end of its link, at the bridge.
fn port_of(node: u64) -> String {
    format!("port{node}")
}

fn in_network(host: u64) -> String {
    format!("10.77.0.{host}/24")
}

fn address(node: u64) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, u8::try_from(node).unwrap()], PORT))
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("`ip` does not start: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "`ip {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

async fn all_reach_each_other(nodes: &[Node], round: u64) {
    for from in nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            from.reaches(to, round).await;
        }
    }
}

fn are_connected(one: &Node, other: &Node) -> bool {
    one.is_connected(other.id) && other.is_connected(one.id)
}

/// Neither thinks that it is connected with the other.
async fn are_parted(one: &Node, other: &Node) {
    until("both notice", || {
        !one.is_connected(other.id) && !other.is_connected(one.id)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_routes_and_links_part_find_each_other_again() {
    let Some(lab) = Lab::open() else { return };
    let authority = authority();
    let nodes = NODES.map(|id| lab.node(&authority, id));
    for node in &nodes {
        let others = NODES.map(|id| (NodeId::new(id), address(id)));
        node.knows(&others);
    }
    let [one, two, three] = &nodes;
    all_reach_each_other(&nodes, 1).await;

    // What the first sends the second vanishes; all else passes.
    lab.ip(1, &["route", "add", "blackhole", "10.77.0.2/32"]);
    are_parted(one, two).await;
    assert!(are_connected(one, three) && are_connected(two, three));
    lab.ip(1, &["route", "del", "blackhole", "10.77.0.2/32"]);
    all_reach_each_other(&nodes, 2).await;

    // The third is alone; its own end of the link says nothing of it.
    lab.ip(0, &["link", "set", &port_of(3), "nomaster"]);
    are_parted(one, three).await;
    are_parted(two, three).await;
    assert!(are_connected(one, two));
    lab.ip(0, &["link", "set", &port_of(3), "master", "bridge"]);
    all_reach_each_other(&nodes, 3).await;

    // The second has no link at all; its kernel refuses what it sends.
    lab.ip(2, &["link", "set", "eth", "down"]);
    are_parted(one, two).await;
    are_parted(two, three).await;
    assert!(are_connected(one, three));
    lab.ip(2, &["link", "set", "eth", "up"]);
    all_reach_each_other(&nodes, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_machine_gets_another_address_keeps_its_connection() {
    let Some(lab) = Lab::open() else { return };
    let authority = authority();
    // Too long for a silence to be noticed: only the connection itself can go on.
    let patient = |id| {
        let mut config = config(&authority, id);
        config.idle_timeout = Duration::from_secs(60);
        config
    };
    let everywhere = SocketAddr::from(([0, 0, 0, 0], PORT));
    let one = lab.node_at(everywhere, patient(1));
    let two = lab.node_at(address(2), patient(2));
    two.knows(&[(one.id, address(99))]);
    one.knows(&[(two.id, address(2))]);
    one.reaches(&two, 1).await;

    lab.ip(1, &["addr", "del", &in_network(1), "dev", "eth"]);
    lab.ip(1, &["addr", "add", &in_network(11), "dev", "eth"]);

    let go_on = async {
        one.reaches(&two, 2).await;
        two.reaches(&one, 3).await;
    };
    timeout(Duration::from_secs(20), go_on).await.unwrap();
    assert!(are_connected(&one, &two));
}
