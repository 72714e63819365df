//! What the nodes of a local cluster are started with: ports and configuration files.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Context, Result};

use super::NODES;

/// The cluster's name, in its certificates.
pub(super) const NAME: &str = "xtask";
/// Where clients reach the nodes of `cluster up`, if those ports are free.
const USUAL_PORTS: [u16; 3] = [2379, 22379, 32379];

/// Where a node is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ports {
    pub(crate) client: u16,
    pub(crate) peer: u16,
}

/// The configuration file of a node of a cluster with `members`, itself among
/// them. One that `joins` does not begin the cluster with them.
pub(super) fn configuration(
    dir: &Path,
    node: u64,
    own: Ports,
    members: &[(u64, Ports)],
    joins: bool,
) -> String {
    let certificates = dir.join("certificates");
    let state = if joins { "existing" } else { "new" };
    let mut text = format!(
        "node_id = {node}\nname = \"node-{node}\"\ncluster = {NAME:?}\ndata_dir = {:?}\n\
         listen_client = \"127.0.0.1:{}\"\nlisten_peer = \"127.0.0.1:{}\"\n\
         initial_cluster_state = {state:?}\n\n\
         [tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n",
        dir.join(format!("node-{node}/data")),
        own.client,
        own.peer,
        certificates.join("ca.pem"),
        certificates.join(format!("node-{node}.pem")),
        certificates.join(format!("node-{node}.key")),
    );
    for (member, ports) in members {
        text.push_str(&format!(
            "\n[[initial_cluster]]\nid = {member}\nname = \"node-{member}\"\n\
             peer = \"127.0.0.1:{}\"\nclient = \"http://127.0.0.1:{}\"\n",
            ports.peer, ports.client
        ));
    }
    text
}

/// The ports of the cluster: those it had before, or free ones.
pub(super) fn load_or_choose_ports(file: &Path, usual: bool) -> Result<Vec<Ports>> {
    if let Ok(text) = fs::read_to_string(file) {
        let ports: Option<Vec<_>> = text.lines().map(Ports::parse).collect();
        return ports
            .filter(|ports| ports.len() == NODES.len())
            .with_context(|| format!("{} is damaged; remove it", file.display()));
    }
    let ports = choose_ports(if usual { &USUAL_PORTS } else { &[0; 3] })?;
    let lines: Vec<_> = ports
        .iter()
        .map(|ports| format!("{} {}\n", ports.client, ports.peer))
        .collect();
    fs::write(file, lines.concat())?;
    Ok(ports)
}

/// Free ports, at `wished` if those are free. Held together while choosing, so
/// that they differ.
pub(super) fn choose_ports(wished: &[u16]) -> Result<Vec<Ports>> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for &wish in wished {
        let listener = TcpListener::bind(("127.0.0.1", wish))
            .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
            .context("no free port")?;
        let socket = UdpSocket::bind(("127.0.0.1", 0)).context("no free port")?;
        ports.push(Ports {
            client: listener.local_addr()?.port(),
            peer: socket.local_addr()?.port(),
        });
        held.push((listener, socket));
    }
    Ok(ports)
}

impl Ports {
    fn parse(line: &str) -> Option<Self> {
        let (client, peer) = line.split_once(' ')?;
        Some(Self {
            client: client.parse().ok()?,
            peer: peer.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    #[test]
    fn chosen_ports_differ_and_are_kept() {
        let dir = TestDir::with(&[]);
        let file = dir.path().join("ports");

        let first = load_or_choose_ports(&file, false).unwrap();
        let again = load_or_choose_ports(&file, false).unwrap();

        assert_eq!(first, again);
        assert!(first[0].client != first[1].client && first[1].peer != first[2].peer);
    }

    #[test]
    fn damaged_ports_are_named() {
        let dir = TestDir::with(&[("ports", "1 2\nx\n")]);

        let error = load_or_choose_ports(&dir.path().join("ports"), false).unwrap_err();

        assert!(error.to_string().contains("is damaged; remove it"));
    }

    #[test]
    fn a_configuration_names_its_node_and_all_members() {
        let members: Vec<_> = (1..=3)
            .map(|n| {
                let ports = Ports {
                    client: n,
                    peer: n + 10,
                };
                (u64::from(n), ports)
            })
            .collect();

        let text = configuration(Path::new("here"), 2, members[1].1, &members, false);

        assert!(text.contains("node_id = 2\n"));
        assert!(text.contains("listen_client = \"127.0.0.1:2\"\nlisten_peer = \"127.0.0.1:12\""));
        assert!(text.contains("initial_cluster_state = \"new\"\n"));
        assert_eq!(text.matches("[[initial_cluster]]").count(), 3);
    }
}
