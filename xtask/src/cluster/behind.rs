//! A cluster with a proxy between its nodes.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::{Cluster, Member, Ports};
use crate::proxy::{Conditions, Proxy};

impl Cluster {
    /// A new, empty cluster that ends with us, whose nodes hear each other only through
    /// a proxy.
    pub(crate) fn fresh_behind(name: &str, seed: u64, conditions: Conditions) -> Result<Self> {
        let mut cluster = Self::empty(name)?;
        let nodes = cluster.members.iter().map(|member| {
            let address = (Ipv4Addr::LOCALHOST, member.ports.peer);
            (member.number, address.into())
        });
        let proxy = Proxy::start(seed, &nodes.collect::<Vec<_>>(), conditions)?;
        cluster.proxy = Some(proxy);
        for member in &cluster.members {
            cluster.write_configuration(member, false)?;
        }
        cluster.begin()?;
        Ok(cluster)
    }

    /// Where a node is reached, whatever stands before it.
    pub(super) fn seen_by_others(&self, member: &Member) -> Ports {
        let proxied = self.proxy.as_ref().and_then(|p| p.address(member.number));
        Ports {
            peer: proxied.map_or(member.ports.peer, |address| address.port()),
            ..member.ports
        }
    }

    /// What stands between the nodes.
    pub(crate) const fn proxy(&mut self) -> Option<&mut Proxy> {
        self.proxy.as_mut()
    }
}
