//! Commands that build a group, break it and mend it.

use raft_core::{Config, Entry, HardState, LogId, Membership, NodeId, ReplicaId, Term};

use super::Cluster;
use super::host::Host;
use super::network::{Content, Parcel};
use crate::command::Command;

impl Cluster {
    pub(super) fn set_up(&mut self, command: &Command) -> Result<(), String> {
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        match command {
            Command::Cluster(nodes) => return self.begin(nodes),
            Command::Join(replica) => return self.add(*replica, &Membership::default()),
            Command::Option { name, value } => return set_option(&mut self.options, name, *value),
            Command::Crash(nodes) => {
                for node in nodes {
                    self.crash(*node)?;
                }
            }
            Command::Restart(nodes) => {
                for node in nodes {
                    self.start(*node)?;
                }
            }
            Command::LoseVote(node) => {
                self.crash(*node)?;
                self.host(*node)?.lose_vote();
                self.start(*node)?;
            }
            Command::Pause(node) => self.host(*node)?.is_paused = true,
            Command::Resume(node) => self.host(*node)?.is_paused = false,
            Command::Drop(selection) => {
                let is_everything = selection.links.is_empty() && selection.kind.is_none();
                let parcels = self.network.take(selection);
                if parcels.is_empty() && !is_everything {
                    return Err("nothing of the kind is in flight".to_owned());
                }
                parcels.into_iter().for_each(|parcel| self.lose(parcel));
            }
            Command::Repeat(selection) => self.network.repeat(selection),
            Command::Cut(links) => self.network.cut(links, &nodes),
            Command::Heal(links) => self.network.heal(links),
            Command::Hold(links) => self.network.hold(links, &nodes),
            Command::Release(links) => self.network.release(links),
            _ => return self.write_history(command),
        }
        Ok(())
    }

    /// A new group, on empty disks, from the beginning of time.
    fn begin(&mut self, nodes: &[NodeId]) -> Result<(), String> {
        *self = Self {
            options: self.options.clone(),
            ..Self::default()
        };
        let membership = Membership::of_ids(nodes.iter().map(|node| node.get()));
        for node in nodes {
            self.add(ReplicaId::first(node.get()), &membership)?;
        }
        Ok(())
    }

    fn add(&mut self, replica: ReplicaId, membership: &Membership) -> Result<(), String> {
        let host = Host::new(replica, membership.clone());
        self.hosts.insert(replica.node, host);
        self.start(replica.node)
    }

    fn crash(&mut self, node: NodeId) -> Result<(), String> {
        let host = self.host(node)?;
        let broken = std::mem::take(&mut host.offers);
        host.crash();
        for shipment in broken.into_values() {
            let (from, to) = (shipment.from.node, node);
            let content = Content::Snapshot(shipment);
            self.lose(Parcel { from, to, content });
        }
        Ok(())
    }

    fn start(&mut self, node: NodeId) -> Result<(), String> {
        let (options, now) = (self.options.clone(), self.now);
        self.crash(node)?;
        self.host(node)?.start(&options, now)
    }

    /// Gives a node a past, and starts it again from that.
    fn write_history(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Log { node, terms } => self.write_log(*node, terms),
            Command::Term { node, term } => {
                self.host(*node)?.disk.hard_state = HardState {
                    current_term: *term,
                    voted_for: None,
                };
                self.start(*node)
            }
            Command::Vote { node, candidate } => {
                let candidate = ReplicaId::first(candidate.get());
                self.host(*node)?.disk.hard_state.voted_for = Some(candidate);
                self.start(*node)
            }
            Command::Applied { node, index } => {
                let host = self.host(*node)?;
                let entries = host.disk.entries.iter();
                let applied = entries.filter(|entry| entry.index() <= *index);
                let applied: Vec<Entry> = applied.cloned().collect();
                host.apply(&applied);
                host.checkpoint();
                self.start(*node)
            }
            _ => Err("this command does nothing here".to_owned()),
        }
    }

    /// Blank entries with these terms; the node's term is at least the last one.
    fn write_log(&mut self, node: NodeId, terms: &[Term]) -> Result<(), String> {
        let disk = &mut self.host(node)?.disk;
        let blank = |(term, index): (&Term, u64)| Entry::blank(LogId::new(term.get(), index));
        disk.entries = terms.iter().zip(1..).map(blank).collect();
        let last = disk.last().term;
        if last > disk.hard_state.current_term {
            disk.hard_state = HardState {
                current_term: last,
                voted_for: None,
            };
        }
        self.start(node)
    }
}

fn set_option(options: &mut Config, name: &str, value: u64) -> Result<(), String> {
    let small = usize::try_from(value).map_err(|error| error.to_string())?;
    match name {
        "keep_entries" => options.keep_entries = value,
        "max_kept_entries" => options.max_kept_entries = value,
        "max_promotion_lag" => options.max_promotion_lag = value,
        "max_append_entries" => options.max_append_entries = small,
        "cache_bytes" => options.cache_bytes = small,
        _ => return Err(format!("there is no option `{name}`")),
    }
    Ok(())
}
