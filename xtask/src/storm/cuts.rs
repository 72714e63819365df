//! Cuts of one direction, one after the other, while the storm goes on.
//!
//! Always between the leader and one of the others, so that a majority can still hear
//! each other: the leader must stay. After each cut the follower is seen at another port.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cluster::{Cluster, NODES};
use crate::proxy::{Conditions, Proxy};

/// How long nothing passes, and how long all is well in between.
const CUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(10);

/// The cuts of one run.
pub(super) struct Cuts {
    conditions: Conditions,
    leader: u64,
    current: Option<(u64, u64)>,
    since: Instant,
    made: usize,
}

impl Cuts {
    pub(super) fn around(leader: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            leader,
            current: None,
            since: Instant::now(),
            made: 0,
        }
    }

    /// Begins or ends a cut when it is time.
    pub(super) fn go_on(&mut self, cluster: &mut Cluster) -> Result<()> {
        let length = if self.current.is_some() { CUT } else { PAUSE };
        if self.since.elapsed() < length {
            return Ok(());
        }
        self.since = Instant::now();
        if self.current.is_some() {
            return self.end(cluster);
        }
        let (from, to) = direction(self.leader, self.made);
        println!("  nothing passes from node {from} to node {to} for a while");
        self.current = Some((from, to));
        self.made += 1;
        let is_cut = Conditions {
            is_cut: true,
            ..self.conditions
        };
        proxy_of(cluster)?.set(from, to, is_cut)
    }

    /// Ends the cut that there is, if there is one.
    pub(super) fn end(&mut self, cluster: &mut Cluster) -> Result<()> {
        let Some((from, to)) = self.current.take() else {
            return Ok(());
        };
        let proxy = proxy_of(cluster)?;
        proxy.set(from, to, self.conditions)?;
        // The follower as the leader sees it.
        let follower = if from == self.leader { to } else { from };
        proxy.rebind(follower, self.leader)
    }
}

fn proxy_of(cluster: &mut Cluster) -> Result<&mut Proxy> {
    cluster.proxy().context("nothing stands between the nodes")
}

/// To one follower, from it, to the other one, from that, and again.
fn direction(leader: u64, number: usize) -> (u64, u64) {
    let followers: Vec<_> = NODES.into_iter().filter(|node| *node != leader).collect();
    let follower = followers[number / 2 % followers.len()];
    match number % 2 {
        0 => (leader, follower),
        _ => (follower, leader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_between_the_leader_and_the_others_has_its_turn() {
        let directions = [0, 1, 2, 3, 4].map(|number| direction(2, number));

        assert_eq!(directions, [(2, 1), (1, 2), (2, 3), (3, 2), (2, 1)]);
    }
}
