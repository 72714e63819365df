//! Hands inputs to replicas and carries out what they ask for.

use std::collections::VecDeque;

use raft_core::protocol::{Apply, Event, Input, Output, Persist, SendSnapshot, SnapshotOffer};
use raft_core::{Envelope, NodeId};

use super::disk::{DiskWork, MachineWork};
use super::network::{Content, Parcel, Shipment};
use super::{Cluster, checks};
use crate::printing;

/// What a replica is told once something it asked for is done.
type Completions = Vec<Input>;

impl Cluster {
    /// `node` takes something in; what it asks for is done at once, unless its
    /// disk or state machine is held up.
    pub(super) fn handle(&mut self, node: NodeId, input: Input) -> Result<(), String> {
        if self.host(node)?.raft.is_none() {
            return Err(format!("{node} is down"));
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now;
            let Some(raft) = &mut self.host(node)?.raft else {
                break;
            };
            raft.handle(now, input);
            let mut outputs = Vec::new();
            while let Some(output) = raft.poll_output() {
                outputs.push(output);
            }
            for output in outputs {
                inputs.extend(self.carry_out(node, output)?);
            }
            self.observe(node)?;
        }
        Ok(())
    }

    fn observe(&mut self, node: NodeId) -> Result<(), String> {
        let raft = self.hosts.get(&node).and_then(|host| host.raft.as_ref());
        raft.map_or(Ok(()), |raft| self.checks.observe(raft))
    }

    fn carry_out(&mut self, node: NodeId, output: Output) -> Result<Completions, String> {
        match output {
            Output::Persist(persist) => return self.begin_persist(node, persist),
            Output::Purge(up_to) => {
                let disk = &mut self.host(node)?.disk;
                match disk.waiting.is_empty() {
                    true => disk.finish(DiskWork::Purge(up_to)),
                    false => disk.waiting.push_back(DiskWork::Purge(up_to)),
                }
            }
            Output::Send(envelope) => self.send(node, envelope)?,
            Output::ReadLog(request) => {
                let entries = self.host(node)?.disk.read(request);
                let token = request.token;
                return Ok(vec![Input::LogRead {
                    token,
                    entries,
                    corrupt: None,
                }]);
            }
            Output::Repair(sound) => {
                self.host(node)?.disk.repair(&sound);
                let repaired = sound.entries().iter().map(|entry| entry.log_id);
                return Ok(repaired.map(Input::Repaired).collect());
            }
            Output::Apply(apply) => return self.begin_work(node, MachineWork::Apply(apply)),
            Output::InstallSnapshot(token) => {
                return self.begin_work(node, MachineWork::Install(token));
            }
            Output::Checkpoint => {
                let durable = self.host(node)?.checkpoint().index;
                return Ok(vec![Input::StateDurable(durable), Input::CheckpointEnded]);
            }
            Output::SendSnapshot(order) => self.ship(node, order)?,
            Output::StopSnapshot(token) => self.network.in_flight.retain(|parcel| {
                !matches!(&parcel.content, Content::Snapshot(shipment)
                    if shipment.token == token && parcel.from == node)
            }),
            output => self.tell(node, output)?,
        }
        Ok(Vec::new())
    }

    /// Outputs that end something or only inform.
    fn tell(&mut self, node: NodeId, output: Output) -> Result<(), String> {
        let text = match output {
            Output::Event(event) => {
                self.checks.event(node, &event)?;
                if self.report.is_election && is_usual(&event) {
                    return Ok(());
                }
                event.to_string()
            }
            Output::StopInstall(_) => "reads the snapshot no further".to_owned(),
            Output::SnapshotInstalled(token) => {
                return self.answer_offer(node, token, "");
            }
            Output::RefuseSnapshot { token, reason } => {
                return self.answer_offer(node, token, reason);
            }
            Output::ProposalFailed { ticket, error } => {
                let name = self.host(node)?.proposals.remove(&ticket);
                format!("proposal {} fails: {error}", name.unwrap_or_default())
            }
            Output::ReadDone { ticket, result } => match result {
                Ok(index) => {
                    let asked_at = self.reads.remove(&ticket).unwrap_or_default();
                    self.checks.reads(asked_at, index)?;
                    let commands = &self.host(node)?.machine.state.commands;
                    format!("read at {index} sees {}", printing::contents(commands))
                }
                Err(error) => format!("read fails: {error}"),
            },
            Output::MembershipChanged { result, .. } => match result {
                Ok((id, membership)) => format!("change done at {id}: {membership}"),
                Err(error) => format!("change fails: {error}"),
            },
            Output::TransferEnded { result, .. } => match result {
                Ok(leader) => format!("transfer done, {leader} leads"),
                Err(error) => format!("transfer fails: {error}"),
            },
            _ => return Err("an output that nobody carries out".to_owned()),
        };
        self.report.says(node, text);
        Ok(())
    }

    fn begin_persist(&mut self, node: NodeId, persist: Persist) -> Result<Completions, String> {
        let disk = &mut self.host(node)?.disk;
        if disk.is_held {
            let text = printing::persist(&persist);
            disk.waiting.push_back(DiskWork::Persist(persist));
            self.report.says(node, text);
            return Ok(Vec::new());
        }
        let token = persist.token;
        disk.finish(DiskWork::Persist(persist));
        Ok(vec![Input::Persisted(token)])
    }

    /// The oldest write that waits gets done.
    pub(super) fn finish_disk_work(&mut self, node: NodeId) -> Result<(), String> {
        let disk = &mut self.host(node)?.disk;
        let work = disk
            .waiting
            .pop_front()
            .ok_or("its disk has nothing to do")?;
        let token = match &work {
            DiskWork::Persist(persist) => Some(persist.token),
            DiskWork::Purge(_) => None,
        };
        disk.finish(work);
        token.map_or(Ok(()), |token| self.handle(node, Input::Persisted(token)))
    }

    pub(super) fn finish_all_disk_work(&mut self, node: NodeId) -> Result<(), String> {
        while !self.host(node)?.disk.waiting.is_empty() {
            self.finish_disk_work(node)?;
        }
        Ok(())
    }

    fn begin_work(&mut self, node: NodeId, work: MachineWork) -> Result<Completions, String> {
        let machine = &mut self.host(node)?.machine;
        if machine.is_held {
            machine.waiting.push_back(work);
            return Ok(Vec::new());
        }
        self.do_work(node, work)
    }

    /// The state machine gets the oldest thing done that waits.
    pub(super) fn finish_machine_work(&mut self, node: NodeId) -> Result<(), String> {
        let machine = &mut self.host(node)?.machine;
        let work = machine.waiting.pop_front();
        let work = work.ok_or("its state machine has nothing to do")?;
        for input in self.do_work(node, work)? {
            self.handle(node, input)?;
        }
        Ok(())
    }

    pub(super) fn finish_all_machine_work(&mut self, node: NodeId) -> Result<(), String> {
        while !self.host(node)?.machine.waiting.is_empty() {
            self.finish_machine_work(node)?;
        }
        Ok(())
    }

    fn do_work(&mut self, node: NodeId, work: MachineWork) -> Result<Completions, String> {
        match work {
            MachineWork::Apply(apply) => self.apply(node, &apply),
            MachineWork::Install(token) => {
                let host = self.host(node)?;
                let shipment = host.offers.get(&token).ok_or("nobody offered that")?;
                let state = shipment.state.clone();
                host.install(state);
                Ok(vec![Input::SnapshotRestored { token, ok: true }])
            }
        }
    }

    fn apply(&mut self, node: NodeId, apply: &Apply) -> Result<Completions, String> {
        let entries = apply.entries.entries();
        self.checks.applies(node, entries)?;
        self.host(node)?.apply(entries);
        let text = format!("applies {}", printing::applied(entries));
        self.report.says(node, text);
        for (_, ticket) in &apply.proposals {
            let name = self.host(node)?.proposals.remove(ticket);
            let text = format!("proposal {} succeeds", name.unwrap_or_default());
            self.report.says(node, text);
        }
        let last = apply.entries.last().ok_or("nothing to apply")?;
        Ok(vec![Input::Applied(last.index)])
    }

    fn send(&mut self, node: NodeId, envelope: Envelope) -> Result<(), String> {
        checks::claims_hold(&envelope, self.host(node)?)?;
        self.post(node, envelope.to.node, Content::Message(envelope));
        Ok(())
    }

    fn ship(&mut self, node: NodeId, order: SendSnapshot) -> Result<(), String> {
        let host = self.host(node)?;
        let state = host.machine.state.clone();
        let raft = host.raft.as_ref().ok_or("it is down")?;
        let membership = raft.membership_at(state.applied.index);
        let shipment = Shipment {
            token: order.token,
            from: host.replica,
            to: order.to,
            term: order.term,
            membership: membership.as_ref().clone(),
            state,
        };
        self.post(node, order.to.node, Content::Snapshot(shipment));
        Ok(())
    }

    fn answer_offer(
        &mut self,
        node: NodeId,
        token: raft_core::protocol::SnapshotToken,
        refusal: &str,
    ) -> Result<(), String> {
        let shipment = self.host(node)?.offers.remove(&token);
        let shipment = shipment.ok_or("nobody offered that")?;
        if !refusal.is_empty() {
            let text = format!("refuses the snapshot: {refusal}");
            self.report.says(node, text);
        }
        let installed = refusal.is_empty().then_some(shipment.state.applied);
        let token = shipment.token;
        self.post(
            node,
            shipment.from.node,
            Content::Outcome { token, installed },
        );
        Ok(())
    }

    /// Puts something on its way, or loses it where the link is cut or nobody is there.
    fn post(&mut self, from: NodeId, to: NodeId, content: Content) {
        let parcel = Parcel { from, to, content };
        let is_up = self.hosts.get(&to).is_some_and(|host| host.raft.is_some());
        let is_lost = !is_up || self.network.is_cut(from, to);
        let note = if is_lost { " (lost)" } else { "" };
        let text = format!("{}{note}", parcel.describe());
        self.report.sends(from, to, text);
        match is_lost {
            true => self.lose(parcel),
            false => self.network.in_flight.push(parcel),
        }
    }

    /// A message that is lost is gone. Who streams a snapshot notices that the
    /// stream broke.
    pub(super) fn lose(&mut self, parcel: Parcel) {
        let (token, receiver, sender) = match parcel.content {
            Content::Message(_) => return,
            Content::Snapshot(shipment) => (shipment.token, parcel.to, parcel.from),
            Content::Outcome { token, .. } => (token, parcel.from, parcel.to),
        };
        let installed = None;
        self.network.in_flight.push(Parcel {
            from: receiver,
            to: sender,
            content: Content::Outcome { token, installed },
        });
    }

    /// Something reaches its receiver, if that is up.
    pub(super) fn arrive(&mut self, parcel: Parcel) -> Result<(), String> {
        let is_snapshot = matches!(parcel.content, Content::Snapshot(_));
        let Some(host) = self.hosts.get_mut(&parcel.to) else {
            return Ok(());
        };
        if host.raft.is_none() {
            if is_snapshot {
                self.lose(parcel);
            }
            return Ok(());
        }
        let input = match parcel.content {
            Content::Message(envelope) => Input::Message(envelope),
            Content::Outcome { token, installed } => Input::SnapshotSent { token, installed },
            Content::Snapshot(shipment) if host.replica == shipment.to => {
                let token = host.next_offer();
                let offer = SnapshotOffer {
                    token,
                    from: shipment.from,
                    term: shipment.term,
                    last_included: shipment.state.applied,
                    membership: std::sync::Arc::new(shipment.membership.clone()),
                };
                host.offers.insert(token, shipment);
                Input::SnapshotOffered(offer)
            }
            Content::Snapshot(_) => {
                self.lose(parcel);
                return Ok(());
            }
        };
        self.handle(parcel.to, input)
    }
}

/// What happens in every election.
const fn is_usual(event: &Event) -> bool {
    matches!(
        event,
        Event::PreVoteStarted { .. } | Event::ElectionStarted { .. } | Event::LeaderKnown { .. }
    )
}
