//! A group under the commands of a scenario.

mod checks;
mod disk;
mod effects;
mod host;
mod network;
mod setup;
mod time;

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::protocol::{Input, Proposal, Ticket};
use raft_core::{Config, Consistency, LogIndex, NodeId, ReplicaId, Timestamp};

use self::checks::Checks;
pub(crate) use self::disk::Disk;
use self::host::Host;
use self::network::Network;
pub(crate) use self::network::Shipment;
use crate::command::{Command, Selection};
use crate::printing;
use crate::report::Report;

/// More steps than any command needs: something goes round in circles.
const MAX_STEPS: usize = 100_000;

/// All nodes, and everything between them.
#[derive(Debug)]
pub(crate) struct Cluster {
    now: Timestamp,
    options: Config,
    hosts: BTreeMap<NodeId, Host>,
    network: Network,
    checks: Checks,
    report: Report,
    /// Numbers proposals, reads, changes and transfers.
    last_ticket: u64,
    /// What had been committed when a linearizable read was asked.
    reads: BTreeMap<Ticket, LogIndex>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            now: Timestamp::ZERO,
            options: Config::new(ReplicaId::default(), 0),
            hosts: BTreeMap::new(),
            network: Network::default(),
            checks: Checks::default(),
            report: Report::default(),
            last_ticket: 0,
            reads: BTreeMap::new(),
        }
    }
}

impl Cluster {
    /// Does what is asked; answers the lines to print.
    pub(crate) fn obey(&mut self, command: &Command) -> Result<Vec<String>, String> {
        self.report.now = self.now.since_start();
        if let Command::Quietly(command) = command {
            return self.obey(command).map(|_| Vec::new());
        }
        self.dispatch(command)?;
        Ok(self.report.take())
    }

    fn dispatch(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Timeout(node) => self.timeout(*node),
            Command::Elect(node) => self.elect(*node),
            Command::Advance(duration) => self.advance(*duration),
            Command::Run(duration) => self.run(*duration),
            Command::Settle => {
                self.report.is_quiet = true;
                self.deliver_all()
            }
            Command::Deliver(selection) => self.deliver(selection),
            Command::Persist(node) => self.finish_disk_work(*node),
            Command::Apply(node) => self.finish_machine_work(*node),
            Command::ReleaseDisk(node) => {
                self.host(*node)?.disk.is_held = false;
                self.finish_all_disk_work(*node)
            }
            Command::ReleaseMachine(node) => {
                self.host(*node)?.machine.is_held = false;
                self.finish_all_machine_work(*node)
            }
            Command::HoldDisk(node) => {
                self.host(*node)?.disk.is_held = true;
                Ok(())
            }
            Command::HoldMachine(node) => {
                self.host(*node)?.machine.is_held = true;
                Ok(())
            }
            Command::Show(nodes) => self.show(nodes),
            Command::Members => self.members(),
            Command::Followers(node) => self.followers(*node),
            Command::InFlight => {
                for parcel in &self.network.in_flight {
                    self.report.sends(parcel.from, parcel.to, parcel.describe());
                }
                Ok(())
            }
            Command::Propose { .. }
            | Command::Read { .. }
            | Command::Change { .. }
            | Command::Transfer { .. }
            | Command::Checkpoint(_) => self.request(command),
            _ => self.set_up(command),
        }
    }

    /// A client of a node wants something.
    fn request(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Propose { node, commands } => self.propose(*node, commands),
            Command::Read { node, consistency } => {
                let ticket = self.next_ticket();
                let asked_at = match consistency {
                    Consistency::Stale => LogIndex::ZERO,
                    _ => self.checks.committed(),
                };
                self.reads.insert(ticket, asked_at);
                let (consistency, tickets) = (*consistency, vec![ticket]);
                let input = Input::Read {
                    consistency,
                    tickets,
                };
                self.handle(*node, input)
            }
            Command::Change { node, change } => {
                let (ticket, change) = (self.next_ticket(), change.clone());
                self.handle(*node, Input::ChangeMembership { ticket, change })
            }
            Command::Transfer { node, to } => {
                let (ticket, to) = (self.next_ticket(), *to);
                self.handle(*node, Input::TransferLeadership { ticket, to })
            }
            Command::Checkpoint(node) => self.handle(*node, Input::Checkpoint),
            _ => Err("this is no request".to_owned()),
        }
    }

    fn propose(&mut self, node: NodeId, commands: &[String]) -> Result<(), String> {
        let mut proposals = Vec::new();
        for text in commands {
            let ticket = self.next_ticket();
            self.host(node)?.proposals.insert(ticket, text.clone());
            let command = Bytes::copy_from_slice(text.as_bytes());
            proposals.push(Proposal { ticket, command });
        }
        self.handle(node, Input::Propose(proposals))
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn host(&mut self, node: NodeId) -> Result<&mut Host, String> {
        self.hosts
            .get_mut(&node)
            .ok_or_else(|| format!("there is no {node}"))
    }

    /// Delivers what is selected, and nothing that follows from it.
    fn deliver(&mut self, selection: &Selection) -> Result<(), String> {
        if selection.links.is_empty() && selection.kind.is_none() && !selection.first {
            return self.deliver_all();
        }
        let parcels = self.network.take(selection);
        if parcels.is_empty() {
            return Err("nothing of the kind is in flight".to_owned());
        }
        parcels
            .into_iter()
            .try_for_each(|parcel| self.arrive(parcel))
    }

    /// Delivers everything, and what follows from it, until nothing is in flight
    /// but what is held up.
    fn deliver_all(&mut self) -> Result<(), String> {
        let paused = self.hosts.iter().filter(|(_, host)| host.is_paused);
        let paused: Vec<NodeId> = paused.map(|(node, _)| *node).collect();
        for _ in 0..MAX_STEPS {
            match self.network.take_next(&paused) {
                Some(parcel) => self.arrive(parcel)?,
                None => return Ok(()),
            }
        }
        Err("the messages do not come to an end".to_owned())
    }

    fn show(&mut self, nodes: &[NodeId]) -> Result<(), String> {
        let chosen = self
            .hosts
            .iter()
            .filter(|(node, _)| nodes.is_empty() || nodes.contains(node));
        for (_, host) in chosen {
            let line = match &host.raft {
                Some(raft) => printing::status(raft),
                None => format!("{} {}", host.replica, printing::stopped(&host.disk)),
            };
            self.report.plain(line);
        }
        Ok(())
    }

    fn members(&mut self) -> Result<(), String> {
        for (node, host) in &self.hosts {
            if let Some(raft) = &host.raft {
                let status = raft.status();
                let text = format!("{} (since {})", status.membership, status.membership_index);
                self.report.says(*node, text);
            }
        }
        Ok(())
    }

    fn followers(&mut self, node: NodeId) -> Result<(), String> {
        let raft = self.host(node)?.raft.as_ref().ok_or("it is down")?;
        for follower in raft.status().followers {
            let activity = if follower.is_active { "" } else { ", silent" };
            let text = format!(
                "{} matches up to {}, next {}, {}{activity}",
                follower.replica,
                follower.match_index,
                follower.next_index,
                follower.state.name()
            );
            self.report.plain(text);
        }
        Ok(())
    }
}
