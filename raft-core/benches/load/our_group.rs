//! Three of our replicas, driven by hand.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use raft_core::protocol::{Input, Output, PersistToken, Proposal, ReadLog, Restored, Ticket};
use raft_core::{
    Config, Entry, EntryKind, Envelope, LogIndex, LogSlice, Membership, Raft, ReplicaId, Timestamp,
};

use super::group::{Group, REPLICAS};

/// Longer than any election takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Our group. The first replica leads.
pub(crate) struct OurGroup {
    now: Timestamp,
    replicas: [Replica; REPLICAS],
    /// For each replica what waits for it.
    inboxes: [Vec<Envelope>; REPLICAS],
    /// Who was handed messages last.
    last: usize,
    messages: u64,
    tickets: u64,
}

/// A replica with what stands for its disk and its state machine.
struct Replica {
    raft: Raft,
    /// What was written, run by run with its last index: a disk would hold it, and
    /// here nobody copies it.
    log: VecDeque<(LogIndex, LogSlice)>,
    applied: u64,
    /// The last write that is done and not reported; it covers those before.
    persisted: Option<PersistToken>,
    completions: Vec<Input>,
}

impl OurGroup {
    /// A group that has elected its first replica.
    pub(crate) fn with_leader() -> Self {
        let mut group = Self {
            now: Timestamp::ZERO,
            replicas: [1, 2, 3].map(Replica::new),
            inboxes: [const { Vec::new() }; REPLICAS],
            last: 0,
            messages: 0,
            tickets: 0,
        };
        while group.leader() != Some(1) {
            group.now = group.now + Duration::from_millis(1);
            group.handle(0, Input::Tick);
            while group.deliver() {}
            assert!(group.now.since_start() < PATIENCE, "nobody is elected");
        }
        group
    }

    fn leader(&self) -> Option<u64> {
        let status = self.replicas[0].raft.status();
        let follower = self.replicas[1].raft.status().leader;
        let is_ready = status.commit_index == status.last_log.index;
        follower.filter(|_| is_ready).map(|leader| leader.get())
    }

    fn handle(&mut self, place: usize, input: Input) {
        self.replicas[place].raft.handle(self.now, input);
        self.carry_out(place);
    }

    /// Does at once what a replica asks for, until it asks for nothing more.
    fn carry_out(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        loop {
            while let Some(output) = replica.raft.poll_output() {
                match output {
                    Output::Send(envelope) => {
                        self.messages += 1;
                        self.inboxes[place_of(envelope.to)].push(envelope);
                    }
                    output => replica.carry_out(output),
                }
            }
            if !replica.hand_in_completions(self.now) {
                return;
            }
        }
    }
}

fn place_of(replica: ReplicaId) -> usize {
    usize::try_from(replica.node.get() - 1).expect("a small id")
}

impl Group for OurGroup {
    fn propose(&mut self, commands: &[Bytes]) {
        let proposals = commands.iter().zip(self.tickets + 1..);
        let proposals = proposals.map(|(command, ticket)| Proposal {
            ticket: Ticket(ticket),
            command: command.clone(),
        });
        let proposals = proposals.collect();
        self.tickets += commands.len() as u64;
        self.handle(0, Input::Propose(proposals));
    }

    fn deliver(&mut self) -> bool {
        let mut places = (1..=REPLICAS).map(|step| (self.last + step) % REPLICAS);
        let Some(place) = places.find(|&place| !self.inboxes[place].is_empty()) else {
            return false;
        };
        self.last = place;
        let mut inbox = std::mem::take(&mut self.inboxes[place]);
        let inputs = inbox.drain(..).map(Input::Message);
        self.replicas[place].raft.handle_all(self.now, inputs);
        // Nobody writes to itself, so the empty inbox can have its memory back.
        self.inboxes[place] = inbox;
        self.carry_out(place);
        true
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for place in 0..REPLICAS {
            if self.replicas[place].raft.poll_timeout() <= self.now {
                self.handle(place, Input::Tick);
            }
        }
    }

    fn applied(&self) -> [u64; REPLICAS] {
        [0, 1, 2].map(|place: usize| self.replicas[place].applied)
    }

    fn messages(&self) -> u64 {
        self.messages
    }
}

impl Replica {
    /// Replica `id` of a new group.
    fn new(id: u64) -> Self {
        let config = Config::new(ReplicaId::first(id), id);
        let restored = Restored::new_group(Membership::of_ids([1, 2, 3]));
        let raft = Raft::restore(config, restored, Timestamp::ZERO);
        Self {
            raft: raft.expect("a new group starts with any sound configuration"),
            log: VecDeque::new(),
            applied: 0,
            persisted: None,
            completions: Vec::new(),
        }
    }

    /// Reports what is done. Answers whether anything was.
    fn hand_in_completions(&mut self, now: Timestamp) -> bool {
        let persisted = self.persisted.take().map(Input::Persisted);
        if persisted.is_none() && self.completions.is_empty() {
            return false;
        }
        let inputs = persisted.into_iter().chain(self.completions.drain(..));
        self.raft.handle_all(now, inputs);
        true
    }

    /// Does at once what the replica asks for.
    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist(persist) => {
                if let Some(from) = persist.truncate_from {
                    self.truncate(from);
                }
                self.keep(persist.entries);
                self.persisted = Some(persist.token);
            }
            Output::Apply(apply) => {
                let entries = apply.entries.entries();
                let is_command = |entry: &&Entry| entry.kind() == EntryKind::Command;
                self.applied += entries.iter().filter(is_command).count() as u64;
                let last = apply.entries.last().expect("an apply holds entries");
                self.completions.push(Input::Applied(last.index));
            }
            Output::Checkpoint => {
                let applied = self.raft.status().last_applied;
                self.completions.push(Input::StateDurable(applied));
                self.completions.push(Input::CheckpointEnded);
            }
            Output::Purge(up_to) => {
                let purged = self.log.partition_point(|(last, _)| *last <= up_to.index);
                self.log.drain(..purged);
            }
            Output::ReadLog(request) => self.read_log(&request),
            Output::ProposalFailed { error, .. } => panic!("a proposal failed: {error}"),
            Output::SendSnapshot(_) => panic!("nobody lags so far behind"),
            _ => {}
        }
    }

    fn keep(&mut self, run: LogSlice) {
        if let Some(last) = run.last() {
            self.log.push_back((last.index, run));
        }
    }

    fn truncate(&mut self, from: LogIndex) {
        for (_, run) in std::mem::take(&mut self.log) {
            let kept = run.entries().iter().filter(|entry| entry.index() < from);
            self.keep(run_of(kept.cloned().collect()));
        }
    }

    fn read_log(&mut self, request: &ReadLog) {
        let wanted = request.first..=request.last;
        let entries = self.log.iter().flat_map(|(_, run)| run.entries());
        let entries = entries.filter(|entry| wanted.contains(&entry.index()));
        self.completions.push(Input::LogRead {
            token: request.token,
            entries: run_of(entries.cloned().collect()),
            corrupt: None,
        });
    }
}

fn run_of(entries: Vec<Entry>) -> LogSlice {
    LogSlice::new(entries).expect("the log has no gaps")
}
