//! The network: for each ordered pair of nodes loss, delay, reordering,
//! duplicates, replay of anything ever sent, and cuts in either direction.

use super::plan::Faults;
use super::random::Random;
use crate::message::{Envelope, Message};

/// Messages kept for replay; which ones is left to chance.
const ARCHIVE: usize = 256;

/// A late answer is late by this much at least, and by this much more at most.
const LATE_ANSWER: u64 = 200_000;
const LATEST_ANSWER: u64 = 2_000_000;

/// All links of a run.
#[derive(Debug)]
pub(crate) struct Network {
    random: Random,
    size: usize,
    cut: Vec<bool>,
    /// When the latest message of each link arrives, for links that keep order.
    latest: Vec<u64>,
    archive: Vec<Envelope>,
    pub(crate) usual_delay: u64,
}

/// What happened to a message on its way, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    /// It was lost because its link is cut.
    pub(crate) cut: bool,
    pub(crate) duplicated: bool,
    pub(crate) slow: bool,
    pub(crate) replayed: bool,
}

impl Network {
    /// A network of `size` nodes without faults.
    pub(crate) fn new(mut random: Random, size: usize) -> Self {
        Self {
            usual_delay: random.between(100, 2000),
            random,
            size,
            cut: vec![false; size * size],
            latest: vec![0; size * size],
            archive: Vec::new(),
        }
    }

    /// Stops (or lets through) what `from` sends to `to`.
    pub(crate) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.cut[from * self.size + to] = cut;
    }

    /// Whether nothing gets from `from` to `to`.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.size + to]
    }

    /// The links that nothing gets through, by `from * size + to`.
    pub(crate) fn cuts(&self) -> Vec<usize> {
        let links = self.cut.iter().enumerate();
        links
            .filter_map(|(link, cut)| cut.then_some(link))
            .collect()
    }

    /// Lets everything through.
    pub(crate) fn heal(&mut self) {
        self.cut.fill(false);
    }

    /// Sends a message; `deliver` is called with each moment at which something arrives.
    pub(crate) fn send(
        &mut self,
        now: u64,
        (from, to): (usize, usize),
        envelope: Envelope,
        faults: &Faults,
        mut deliver: impl FnMut(u64, Envelope),
    ) -> Fate {
        let mut fate = Fate::default();
        if faults.replay > 0 {
            self.archive(&envelope);
            if self.random.chance(faults.replay) {
                fate.replayed = true;
                let old = self.random.position(self.archive.len());
                let delay = self.random.around(self.usual_delay);
                deliver(now + delay, self.archive[old].clone());
            }
        }
        let link = from * self.size + to;
        if self.cut[link] || self.random.chance(faults.loss) {
            (fate.lost, fate.cut) = (true, self.cut[link]);
            return fate;
        }
        if self.random.chance(faults.duplicate) {
            fate.duplicated = true;
            let delay = self.random.around(self.usual_delay * 4);
            deliver(now + delay, envelope.clone());
        }
        let mut at = now + self.random.around(self.usual_delay);
        if self.random.chance(faults.slow) {
            fate.slow = true;
            at += self.random.between(1, faults.slowest);
        }
        if is_answer(envelope.message.name()) && self.random.chance(faults.late_answers) {
            fate.slow = true;
            let longest = self.random.between(0, LATEST_ANSWER);
            at += LATE_ANSWER + self.random.between(0, longest);
        }
        if !faults.reorder {
            at = at.max(self.latest[link]);
            self.latest[link] = at;
        }
        deliver(at, envelope);
        fate
    }

    fn archive(&mut self, envelope: &Envelope) {
        if self.archive.len() < ARCHIVE {
            self.archive.push(envelope.clone());
        } else if self.random.chance(if is_rare(&envelope.message) {
            7000
        } else {
            200
        }) {
            let place = self.random.position(ARCHIVE);
            self.archive[place] = envelope.clone();
        }
    }
}

/// Whether a message of this name answers another one.
pub(crate) fn is_answer(name: &str) -> bool {
    name.ends_with("_reply")
}

/// What heartbeats and appends would crowd out of the archive, though it does
/// the most when it comes late.
const fn is_rare(message: &Message) -> bool {
    matches!(
        message,
        Message::PreVote(_)
            | Message::PreVoteReply(_)
            | Message::RequestVote(_)
            | Message::RequestVoteReply(_)
            | Message::TimeoutNow(_)
            | Message::ChangeMembership(_)
            | Message::ChangeMembershipReply(_)
    )
}

#[cfg(test)]
mod tests {
    use super::super::random::Concern;
    use super::*;
    use crate::message::{Commit, RequestVoteReply};
    use crate::types::{GroupId, LogIndex, ReplicaId, Term};

    fn arrivals(network: &mut Network, count: u64, faults: &Faults) -> Vec<u64> {
        let commit = |number| {
            Message::Commit(Commit {
                commit: LogIndex::new(number),
            })
        };
        arrivals_of(network, (0..count).map(commit), faults)
    }

    fn arrivals_of(
        network: &mut Network,
        messages: impl Iterator<Item = Message>,
        faults: &Faults,
    ) -> Vec<u64> {
        let mut times = Vec::new();
        for (now, message) in (0..).zip(messages) {
            let envelope = Envelope {
                group: GroupId::new(0),
                from: ReplicaId::first(1),
                to: ReplicaId::first(2),
                term: Term::new(1),
                message,
            };
            network.send(now, (0, 1), envelope, faults, |at, _| times.push(at));
        }
        times
    }

    fn network() -> Network {
        Network::new(Random::stream(1, Concern::Network), 2)
    }

    #[test]
    fn without_faults_everything_arrives_once_and_in_order() {
        let times = arrivals(&mut network(), 50, &Faults::default());
        assert_eq!(times.len(), 50);
        assert!(times.is_sorted());
    }

    #[test]
    fn a_cut_link_delivers_nothing_until_it_heals() {
        let mut network = network();
        network.set_cut(0, 1, true);
        assert!(arrivals(&mut network, 10, &Faults::default()).is_empty());
        network.heal();
        assert_eq!(arrivals(&mut network, 10, &Faults::default()).len(), 10);
    }

    #[test]
    fn late_answers_are_late_and_nothing_else_is() {
        let faults = Faults {
            late_answers: 10_000,
            reorder: true,
            ..Faults::default()
        };
        let granted = RequestVoteReply {
            vote_term: Term::new(1),
            granted: true,
        };
        let answers = (0..50).map(|_| Message::RequestVoteReply(granted));
        let late = arrivals_of(&mut network(), answers, &faults);
        assert!(late.iter().all(|at| *at > LATE_ANSWER));

        let others = arrivals(&mut network(), 50, &faults);
        assert!(others.iter().all(|at| *at < LATE_ANSWER));
    }

    #[test]
    fn duplicates_and_reordering_occur() {
        let faults = Faults {
            duplicate: 2000,
            reorder: true,
            ..Faults::default()
        };
        let times = arrivals(&mut network(), 200, &faults);
        assert!(times.len() > 200 && !times.is_sorted());
    }
}
