//! Agreement on a command, as a client from outside gets it.
//!
//! A client asks whoever says that it leads, waits 2 s for enough nodes to apply
//! the command there, and asks again if it may. All of it takes 10 s at most.

use bytes::Bytes;

use super::MS;
use super::group::Group;
use crate::types::LogIndex;

/// How often a client looks.
const GLANCE: u64 = 5 * MS;

/// A command that somebody wants agreed on.
pub(super) struct Agreement {
    command: Bytes,
    on: usize,
    may_retry: bool,
    gives_up_at: u64,
    /// Whom to ask first.
    next: usize,
    /// Where it stands in a leader's log, and until when to wait for it there.
    asked: Option<(LogIndex, u64)>,
}

impl Group {
    /// A small command is agreed on by this many nodes, at the first try.
    /// Answers how many commands there are now.
    pub(super) fn one(&mut self, on: usize) -> usize {
        let command = self.command(8);
        self.agree(command, on, false)
    }

    /// The same, but leaders may fall meanwhile.
    pub(super) fn one_with_retries(&mut self, on: usize) -> usize {
        let command = self.command(8);
        self.agree(command, on, true)
    }

    /// `command` is agreed on by this many nodes.
    pub(super) fn agree(&mut self, command: Bytes, on: usize, may_retry: bool) -> usize {
        let mut agreement = self.begin(command, on, may_retry);
        loop {
            if let Some(place) = self.poll(&mut agreement) {
                return place;
            }
            self.wait(GLANCE);
        }
    }

    /// Agreements that are under way at the same time all come about.
    pub(super) fn all_agree(&mut self, mut agreements: Vec<Agreement>) {
        while !agreements.is_empty() {
            self.glance(&mut agreements);
            self.wait(GLANCE);
        }
    }

    /// Looks at agreements under way; those that came about are gone.
    pub(super) fn glance(&mut self, agreements: &mut Vec<Agreement>) {
        agreements.retain_mut(|agreement| self.poll(agreement).is_none());
    }

    pub(super) fn begin(&mut self, command: Bytes, on: usize, may_retry: bool) -> Agreement {
        Agreement {
            command,
            on,
            may_retry,
            gives_up_at: self.now() + 10_000 * MS,
            next: self.any(),
            asked: None,
        }
    }

    fn poll(&mut self, agreement: &mut Agreement) -> Option<usize> {
        let now = self.now();
        let on = agreement.on;
        assert!(now < agreement.gives_up_at, "no agreement of {on} in 10 s");
        let Some((index, until)) = agreement.asked else {
            agreement.asked = self.ask_around(agreement);
            return None;
        };
        let (holders, command) = self.committed(index);
        if holders >= on && command.as_ref() == Some(&agreement.command) {
            let mut nodes = self.up();
            let has_it = |&place: &usize| self.applied(place) >= index;
            let holder = nodes.find(has_it).expect("somebody holds it");
            return Some(self.commands_up_to(holder, index));
        }
        if now >= until {
            assert!(agreement.may_retry, "no agreement of {on} in 2 s");
            agreement.asked = None;
        }
        None
    }

    fn ask_around(&mut self, agreement: &Agreement) -> Option<(LogIndex, u64)> {
        let until = self.now() + 2_000 * MS;
        let nodes = (0..self.size()).map(|step| self.after(agreement.next, step));
        let nodes: Vec<usize> = nodes.filter(|&place| self.connected[place]).collect();
        let mut indices = nodes
            .into_iter()
            .filter_map(|place| self.start(place, agreement.command.clone()));
        indices.next().map(|index| (index, until))
    }

    /// Waits until this many nodes have applied `index`, 2 s at most.
    pub(super) fn wait_for(&mut self, index: LogIndex, on: usize) -> Bytes {
        let until = self.now() + 2_000 * MS;
        loop {
            let (holders, command) = self.committed(index);
            if holders >= on {
                return command.expect("a command was started there");
            }
            assert!(self.now() < until, "{index} is not on {on} nodes in 2 s");
            self.wait(GLANCE);
        }
    }
}
