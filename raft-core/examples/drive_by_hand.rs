//! Drives replicas by hand: no driver, no stores, no network, no clock.
//!
//! ```text
//! cargo run -p raft-core --example drive_by_hand
//! ```
//!
//! First a single follower is built from a membership, a log, a hard state and
//! an applied index, and fed one input at a time. Then seven replicas replay
//! figure 7 of the Raft paper: a new leader brings six followers with diverging
//! logs to its own.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use raft_core::message::{AppendEntries, AppendReply, AppendResult};
use raft_core::protocol::{Input, Output, PersistToken, Restored, RoleKind};
use raft_core::{
    Config, Entry, EntryMeta, Envelope, GroupId, HardState, LogId, LogIndex, LogSlice, Membership,
    Message, Raft, ReplicaId, RestoreError, Term, Timestamp,
};

fn main() -> Result<(), Box<dyn Error>> {
    one_follower()?;
    figure_7()?;
    Ok(())
}

/// A replica, and the log that stands for its disk.
struct Replica {
    raft: Raft,
    disk: Vec<Entry>,
}

/// Builds replica `id` of `members`, whose log holds blank entries of these
/// terms, of which the first `applied` are applied.
fn replica(
    id: u64,
    members: u64,
    state: HardState,
    terms: &[u64],
    applied: u64,
) -> Result<Replica, RestoreError> {
    let blank = |(&term, index)| Entry::blank(LogId::new(term, index));
    let disk: Vec<Entry> = terms.iter().zip(1..).map(blank).collect();
    let restored = Restored {
        hard_state: state,
        purged: LogId::ZERO,
        entries: disk.iter().map(EntryMeta::from).collect(),
        membership: Arc::new(Membership::of_ids(1..=members)),
        membership_entries: Vec::new(),
        last_applied: LogIndex::new(applied),
        damaged: Vec::new(),
    };
    // The seed is the only source of chance, so every run is the same.
    let config = Config::new(ReplicaId::first(id), id);
    let raft = Raft::restore(config, restored, Timestamp::ZERO)?;
    Ok(Replica { raft, disk })
}

const fn in_term(term: u64) -> HardState {
    HardState {
        current_term: Term::new(term),
        voted_for: None,
    }
}

// One follower.

fn one_follower() -> Result<(), Box<dyn Error>> {
    println!("A follower of three, in term 4, with a log of the terms 1 1 4, two applied");
    let Replica { mut raft, .. } = replica(2, 3, in_term(4), &[1, 1, 4], 2)?;
    show(&raft);

    println!("\nn1, the leader of term 5, sends an entry that takes the place of the last one");
    let append = AppendEntries {
        session: 1,
        previous: LogId::new(1, 2),
        entries: LogSlice::new(vec![Entry::blank(LogId::new(5, 3))])?,
        commit: LogIndex::new(3),
    };
    let envelope = Envelope {
        group: GroupId::new(0),
        from: ReplicaId::first(1),
        to: ReplicaId::first(2),
        term: Term::new(5),
        message: Message::AppendEntries(append),
    };
    let now = Timestamp::after_start(Duration::from_millis(10));
    raft.handle(now, Input::Message(envelope));
    let token = print_outputs(&mut raft).ok_or("it has something to write")?;
    show(&raft);

    println!("\nIt has not answered yet. Its disk reports that the write is done");
    raft.handle(now, Input::Persisted(token));
    print_outputs(&mut raft);
    raft.handle(now, Input::Applied(LogIndex::new(3)));
    show(&raft);

    println!("\nThe leader falls silent, and the follower's deadline comes");
    let deadline = raft.poll_timeout();
    raft.handle(deadline, Input::Tick);
    print_outputs(&mut raft);
    show(&raft);
    Ok(())
}

/// Prints what the replica wants done; answers the last write among it.
fn print_outputs(raft: &mut Raft) -> Option<PersistToken> {
    let mut token = None;
    while let Some(output) = raft.poll_output() {
        if let Output::Persist(persist) = &output {
            token = Some(persist.token);
        }
        println!("   > {}", describe(output));
    }
    token
}

fn describe(output: Output) -> String {
    match output {
        Output::Send(envelope) => {
            let (name, to) = (envelope.message.name(), envelope.to);
            match envelope.message {
                Message::AppendReply(AppendReply {
                    result: AppendResult::Accepted { received, durable },
                    ..
                }) => format!("send {to}: {name}, holds {received}, durable {durable}"),
                _ => format!("send {to}: {name} in {}", envelope.term),
            }
        }
        Output::Persist(persist) => {
            let term = persist.hard_state.map(|state| state.current_term);
            let cut = persist.truncate_from;
            let entries = persist.entries.entries().iter();
            let entries: Vec<String> = entries.map(|e| e.log_id.to_string()).collect();
            format!(
                "write {}{}the entries {}",
                term.map_or(String::new(), |term| format!("the term {term}, ")),
                cut.map_or(String::new(), |from| format!("the log cut from {from}, ")),
                entries.join(" "),
            )
        }
        Output::Apply(apply) => {
            let last = apply.entries.last().unwrap_or_default();
            format!("apply the entries up to {last}")
        }
        Output::Event(event) => format!("tell that it {event}"),
        other => format!("{other:?}"),
    }
}

fn show(raft: &Raft) {
    let status = raft.status();
    println!(
        "   {} is a {} in {}, log {}, commit {}, applied {}, durable {}",
        status.replica,
        status.role.name(),
        status.term(),
        terms(raft),
        status.commit_index,
        status.last_applied,
        status.durable_index,
    );
}

/// The log as the terms of its entries.
fn terms(raft: &Raft) -> String {
    let last = raft.status().last_log.index.get();
    let terms = (1..=last).filter_map(|index| raft.term_at(LogIndex::new(index)));
    let terms: Vec<String> = terms.map(|term| term.get().to_string()).collect();
    terms.join(" ")
}

// Figure 7.

/// The leader's log, then those of the followers (a) to (f).
const LOGS: [&[u64]; 7] = [
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6],
    &[1, 1, 1, 4],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    &[1, 1, 1, 4, 4, 4, 4],
    &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
];

fn figure_7() -> Result<(), Box<dyn Error>> {
    println!("\nFigure 7: n1 is about to lead term 8; n2 to n7 are the followers (a) to (f)");
    let mut group = Group::new()?;
    group.print();

    println!("\nn1's deadline comes, and the messages go back and forth");
    group.tick(1)?;
    group.deliver_all()?;
    let leader = group.replicas.get(&1).ok_or("n1 is there")?;
    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    for (id, questions) in &group.rejections {
        println!("   n{id} had to be asked again {questions} time(s)");
    }

    println!("\nA heartbeat later everybody knows what is committed");
    group.tick(1)?;
    group.deliver_all()?;
    group.print();
    for replica in group.replicas.values() {
        assert_eq!(terms(&replica.raft), "1 1 1 4 4 5 5 6 6 6 8");
        assert_eq!(replica.raft.status().commit_index, LogIndex::new(11));
    }
    Ok(())
}

/// Seven replicas and the messages between them.
struct Group {
    now: Timestamp,
    replicas: BTreeMap<u64, Replica>,
    in_flight: VecDeque<Envelope>,
    /// How often a follower did not have what the leader asked for.
    rejections: BTreeMap<u64, usize>,
}

impl Group {
    fn new() -> Result<Self, Box<dyn Error>> {
        let mut replicas = BTreeMap::new();
        for (id, log) in (1..).zip(LOGS) {
            let last_term = log.last().copied().unwrap_or_default();
            let term = if id == 1 { 7 } else { last_term };
            replicas.insert(id, replica(id, 7, in_term(term), log, 0)?);
        }
        Ok(Self {
            now: Timestamp::ZERO,
            replicas,
            in_flight: VecDeque::new(),
            rejections: BTreeMap::new(),
        })
    }

    fn print(&self) {
        for (id, replica) in &self.replicas {
            let status = replica.raft.status();
            let (role, term) = (status.role.name(), status.term());
            let log = terms(&replica.raft);
            println!(
                "   n{id} {role:<9} {term}  {log:<24} commit {}",
                status.commit_index
            );
        }
    }

    /// The next deadline of `id` comes.
    fn tick(&mut self, id: u64) -> Result<(), Box<dyn Error>> {
        let replica = self.replicas.get(&id).ok_or("it is in the group")?;
        self.now = self.now.max(replica.raft.poll_timeout());
        self.handle(id, Input::Tick)
    }

    fn deliver_all(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(envelope) = self.in_flight.pop_front() {
            if let Message::AppendReply(reply) = &envelope.message
                && matches!(reply.result, AppendResult::Rejected { .. })
            {
                *self.rejections.entry(envelope.from.node.get()).or_default() += 1;
            }
            self.handle(envelope.to.node.get(), Input::Message(envelope))?;
        }
        Ok(())
    }

    /// One input, all that follows from it, and the completions of that.
    fn handle(&mut self, id: u64, input: Input) -> Result<(), Box<dyn Error>> {
        let replica = self.replicas.get_mut(&id).ok_or("it is in the group")?;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            replica.raft.handle(self.now, input);
            while let Some(output) = replica.raft.poll_output() {
                match output {
                    Output::Send(envelope) => self.in_flight.push_back(envelope),
                    output => inputs.extend(carry_out(&mut replica.disk, output)?),
                }
            }
        }
        Ok(())
    }
}

/// Does what a replica asks for, all of it at once; answers its completion.
fn carry_out(disk: &mut Vec<Entry>, output: Output) -> Result<Option<Input>, Box<dyn Error>> {
    Ok(match output {
        Output::Persist(persist) => {
            if let Some(from) = persist.truncate_from {
                disk.retain(|entry| entry.index() < from);
            }
            disk.extend(persist.entries.into_entries());
            Some(Input::Persisted(persist.token))
        }
        Output::Apply(apply) => apply.entries.last().map(|last| Input::Applied(last.index)),
        Output::ReadLog(request) => {
            let wanted = request.first..=request.last;
            let entries = disk.iter().filter(|entry| wanted.contains(&entry.index()));
            Some(Input::LogRead {
                token: request.token,
                entries: LogSlice::new(entries.cloned().collect())?,
                corrupt: None,
            })
        }
        // Events inform, and nothing else comes up in this figure.
        _ => None,
    })
}

#[test]
fn it_replays_what_it_says() {
    main().unwrap();
}
