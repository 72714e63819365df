//! Three `RawNode`s of raft-rs, driven as its documentation says, and the
//! cheapest storage that holds a log.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};
use raft::{
    Config, Error, GetEntriesContext, RaftState, RawNode, StateRole, Storage, StorageError,
};

use crate::group::{Group, REPLICAS};

/// With the ticks of a default configuration, a heartbeat every 50 ms as ours.
const TICK: Duration = Duration::from_millis(25);
/// Compaction as ours by default.
const CHECKPOINT_ENTRIES: u64 = 50_000;
const KEEP_ENTRIES: u64 = 20_000;
/// As ours by default.
const MAX_APPEND_BYTES: u64 = 1 << 20;
/// What the log starts after.
const START: u64 = 1;

/// How raft-rs is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Usage {
    /// Its default configuration; each command is proposed.
    Default,
    /// With `batch_append`, and room for more than one entry in a message.
    BatchAppend,
    /// So, and a batch is proposed as one message.
    OneMessage,
}

/// A group of raft-rs. The first replica leads.
pub(crate) struct RaftRsGroup {
    usage: Usage,
    replicas: Vec<Replica>,
    inboxes: [Vec<Message>; REPLICAS],
    last: usize,
    messages: u64,
    since_tick: Duration,
}

struct Replica {
    node: RawNode<Log>,
    log: Log,
    commands: u64,
    applied: u64,
    compacted: u64,
}

impl RaftRsGroup {
    /// A group that has elected its first replica.
    pub(crate) fn with_leader(usage: Usage) -> Self {
        let mut group = Self {
            usage,
            replicas: (1..=3).map(|id| Replica::new(id, usage)).collect(),
            inboxes: [const { Vec::new() }; REPLICAS],
            last: 0,
            messages: 0,
            since_tick: Duration::ZERO,
        };
        let campaign = group.replicas[0].node.campaign();
        campaign.expect("a follower may campaign");
        group.carry_out(0);
        while group.deliver() {}
        assert_eq!(group.replicas[0].node.raft.state, StateRole::Leader);
        group
    }

    fn propose_one_by_one(&mut self, commands: &[Bytes]) {
        let leader = &mut self.replicas[0].node;
        for command in commands {
            let proposed = leader.propose(Vec::new(), command.to_vec());
            proposed.expect("the leader takes proposals");
        }
    }

    fn propose_as_one(&mut self, commands: &[Bytes]) {
        let entries: Vec<Entry> = commands.iter().map(entry_of).collect();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = 1;
        message.set_entries(entries.into());
        let proposed = self.replicas[0].node.step(message);
        proposed.expect("the leader takes proposals");
    }

    /// Does at once what a replica is ready for, until it is ready for nothing more.
    fn carry_out(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        while replica.node.has_ready() {
            let mut ready = replica.node.ready();
            self.messages += send(&mut self.inboxes, ready.take_messages());
            replica.apply(&ready.take_committed_entries());
            replica.log.append(ready.take_entries());
            if let Some(state) = ready.hs() {
                replica.log.0.borrow_mut().hard_state = state.clone();
            }
            self.messages += send(&mut self.inboxes, ready.take_persisted_messages());

            let mut light = replica.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                replica.log.0.borrow_mut().hard_state.commit = commit;
            }
            self.messages += send(&mut self.inboxes, light.take_messages());
            replica.apply(&light.take_committed_entries());
            replica.node.advance_apply();
            replica.compact();
        }
    }
}

fn entry_of(command: &Bytes) -> Entry {
    Entry {
        data: command.clone(),
        ..Entry::default()
    }
}

fn send(inboxes: &mut [Vec<Message>; REPLICAS], messages: Vec<Message>) -> u64 {
    let count = messages.len() as u64;
    for message in messages {
        let place = usize::try_from(message.to - 1).expect("a small id");
        inboxes[place].push(message);
    }
    count
}

impl Group for RaftRsGroup {
    fn propose(&mut self, commands: &[Bytes]) {
        match self.usage {
            Usage::Default | Usage::BatchAppend => self.propose_one_by_one(commands),
            Usage::OneMessage => self.propose_as_one(commands),
        }
        self.carry_out(0);
    }

    fn deliver(&mut self) -> bool {
        let mut places = (1..=REPLICAS).map(|step| (self.last + step) % REPLICAS);
        let Some(place) = places.find(|&place| !self.inboxes[place].is_empty()) else {
            return false;
        };
        self.last = place;
        let mut inbox = std::mem::take(&mut self.inboxes[place]);
        for message in inbox.drain(..) {
            let step = self.replicas[place].node.step(message);
            step.expect("no message is out of place");
        }
        self.inboxes[place] = inbox;
        self.carry_out(place);
        true
    }

    fn pass(&mut self, time: Duration) {
        self.since_tick += time;
        while self.since_tick >= TICK {
            self.since_tick -= TICK;
            for place in 0..REPLICAS {
                self.replicas[place].node.tick();
                self.carry_out(place);
            }
        }
    }

    fn applied(&self) -> [u64; REPLICAS] {
        [0, 1, 2].map(|place: usize| self.replicas[place].commands)
    }

    fn messages(&self) -> u64 {
        self.messages
    }
}

impl Replica {
    fn new(id: u64, usage: Usage) -> Self {
        let mut config = Config {
            applied: START,
            ..Config::new(id)
        };
        if usage != Usage::Default {
            config.batch_append = true;
            config.max_size_per_msg = MAX_APPEND_BYTES;
        }
        let log = Log::new();
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, log.clone(), &logger);
        Self {
            node: node.expect("a sound configuration"),
            log,
            commands: 0,
            applied: START,
            compacted: START,
        }
    }

    fn apply(&mut self, entries: &[Entry]) {
        // The leader's blank entry is the only one without data.
        let commands = entries.iter().filter(|entry| !entry.data.is_empty());
        self.commands += commands.count() as u64;
        if let Some(last) = entries.last() {
            self.applied = last.index;
        }
    }

    fn compact(&mut self) {
        if self.applied - self.compacted > CHECKPOINT_ENTRIES {
            self.compacted = self.applied - KEEP_ENTRIES;
            self.log.compact(self.compacted);
        }
    }
}

/// A log in memory, shared by a node and whoever drives it.
#[derive(Clone)]
struct Log(Rc<RefCell<Content>>);

struct Content {
    hard_state: HardState,
    /// The entry before the first one, and its term.
    before: (u64, u64),
    entries: VecDeque<Entry>,
}

impl Content {
    fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    fn offset(&self, index: u64) -> usize {
        let offset = index.checked_sub(self.before.0 + 1);
        let offset = offset.expect("the index is in the log");
        usize::try_from(offset).expect("a log in memory")
    }
}

impl Log {
    fn new() -> Self {
        let mut hard_state = HardState::default();
        (hard_state.term, hard_state.commit) = (1, START);
        Self(Rc::new(RefCell::new(Content {
            hard_state,
            before: (START, 1),
            entries: VecDeque::new(),
        })))
    }

    fn append(&self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else {
            return;
        };
        let mut content = self.0.borrow_mut();
        let kept = content.offset(first.index);
        content.entries.truncate(kept);
        content.entries.extend(entries);
    }

    fn compact(&self, up_to: u64) {
        let mut content = self.0.borrow_mut();
        let dropped = content.offset(up_to) + 1;
        let last = content.entries.drain(..dropped).next_back();
        content.before = last.map_or(content.before, |entry| (entry.index, entry.term));
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let voters = ConfState::from((vec![1, 2, 3], Vec::new()));
        Ok(RaftState::new(self.0.borrow().hard_state.clone(), voters))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let content = self.0.borrow();
        if low <= content.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let (first, end) = (content.offset(low), content.offset(high));
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0;
        // The first one always goes. What is over the limit is not even copied.
        let fits = |entry: &&Entry| {
            let is_first = size == 0;
            size += raft::util::entry_approximate_size(entry) as u64;
            is_first || size <= limit
        };
        let count = content.entries.range(first..end).take_while(fits).count();
        let entries = content.entries.range(first..first + count);
        Ok(entries.cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let content = self.0.borrow();
        let (before, term) = content.before;
        if index == before {
            return Ok(term);
        }
        if index < before {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = content.entries.get(content.offset(index));
        let entry = entry.ok_or(Error::Store(StorageError::Unavailable))?;
        Ok(entry.term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        // Nobody lags so far that it needs one.
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
