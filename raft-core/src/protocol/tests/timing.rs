//! When a replica campaigns, and what puts that off (Raft §5.2, §5.6).

use super::*;
use crate::config::ConfigError;
use crate::protocol::{Event, RoleKind};

const SHORTEST: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_millis(500);

impl Replica {
    /// When it campaigns, if nothing happens before.
    fn campaigns_at(&self) -> Duration {
        self.raft.poll_timeout().since_start()
    }
}

#[test]
fn a_replica_starts_as_a_follower_that_knows_no_leader() {
    let status = replica_of(3, 2, &[1]).raft.status();

    assert_eq!((status.role, status.leader), (RoleKind::Follower, None));
}

/// Raft §5.2, but nobody's term rises before a majority agrees (Thesis §9.6).
#[test]
fn a_follower_that_hears_no_leader_asks_for_pre_votes_with_the_end_of_its_log() {
    let mut follower = replica_of(3, 2, &[1, 2]);

    let sent = follower.wait_for_election_timeout();

    let question = pre_vote_in(follower.raft.pre_vote_round, 3, LogId::new(2, 2));
    assert_eq!(sent, [(2, question.clone()), (3, question)]);
    assert_eq!(follower.term(), Term::new(2));
}

#[test]
fn hearing_the_leader_puts_the_own_campaign_off() {
    for word in [heartbeat(1, 0), append(LogId::ZERO, &[], 0)] {
        let mut follower = replica_of(3, 2, &[]);
        follower.now = Duration::from_millis(299);

        follower.receive(2, 2, word);

        assert!(follower.campaigns_at() >= follower.now + SHORTEST);
    }
}

#[test]
fn the_word_of_an_earlier_leader_puts_nothing_off() {
    for word in [heartbeat(1, 0), append(LogId::ZERO, &[], 0)] {
        let mut follower = replica_of(3, 2, &[]);
        let before = follower.campaigns_at();
        follower.now = Duration::from_millis(299);

        follower.receive(2, 1, word);

        assert_eq!(follower.campaigns_at(), before);
    }
}

/// Raft figure 2, "followers".
#[test]
fn granting_a_vote_puts_the_own_campaign_off_and_refusing_one_does_not() {
    let mut voter = replica_of(3, 2, &[1]);
    let before = voter.campaigns_at();
    voter.now = SHORTEST;

    voter.receive(2, 3, request_vote(LogId::ZERO));
    assert_eq!(voter.campaigns_at(), before);

    voter.receive(3, 3, request_vote(LogId::new(1, 1)));
    assert!(voter.campaigns_at() >= SHORTEST * 2);
}

/// A pre-vote is a question about what we would do, and no promise.
#[test]
fn granting_a_pre_vote_puts_nothing_off() {
    let mut voter = replica_of(3, 2, &[]);
    let before = voter.campaigns_at();
    voter.now = SHORTEST;

    let sent = voter.receive(2, 2, pre_vote(3, LogId::ZERO));

    assert_eq!(sent, [(2, pre_vote_reply(1, 3, true))]);
    assert_eq!(voter.campaigns_at(), before);
}

/// Raft §5.2: so that split votes are rare, and do not repeat.
#[test]
fn election_timeouts_are_drawn_anew_from_their_range_each_time() {
    let mut drawn = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut replica = replica_with(3, 2, &[], |config| config.seed = seed);
        for _ in 0..4 {
            let timeout = replica.campaigns_at() - replica.now;
            assert!((SHORTEST..=LONGEST).contains(&timeout), "{timeout:?}");
            drawn.insert(timeout);
            replica.wait_for_election_timeout();
        }
    }

    assert!(drawn.len() > 150, "{} different ones of 200", drawn.len());
}

/// Raft §5.2, split votes.
#[test]
fn a_campaign_that_nobody_wins_begins_anew_a_term_higher() {
    let mut candidate = replica_of(3, 2, &[]);
    candidate.wait_for_election_timeout();
    candidate.receive(2, 2, pre_vote_reply(candidate.raft.pre_vote_round, 3, true));
    assert_eq!(candidate.term(), Term::new(3));

    let sent = candidate.wait_for_election_timeout();
    let question = pre_vote_in(candidate.raft.pre_vote_round, 4, LogId::ZERO);
    assert_eq!(sent, [(2, question.clone()), (3, question)]);
    candidate.receive(3, 3, pre_vote_reply(candidate.raft.pre_vote_round, 4, true));

    assert_eq!(candidate.term(), Term::new(4));
    assert_eq!(candidate.raft.status().role, RoleKind::Candidate);
}

/// Raft §5.2: its heartbeats keep the others from campaigning.
#[test]
fn a_leader_is_heard_at_once_and_in_every_interval() {
    let heard = |sent: &[(u64, Message)]| -> Vec<u64> {
        let of_heartbeat =
            |(to, m): &(u64, Message)| matches!(m, Message::Heartbeat(_)).then_some(*to);
        sent.iter().filter_map(of_heartbeat).collect()
    };
    let mut candidate = replica_of(3, 2, &[]);
    candidate.wait_for_election_timeout();
    candidate.receive(2, 2, pre_vote_reply(candidate.raft.pre_vote_round, 3, true));

    let sent = candidate.receive(2, 3, vote(3, true));
    assert_eq!(heard(&sent), [2, 3]);

    let mut leader = candidate;
    for _ in 0..3 {
        assert_eq!(heard(&leader.wait(Duration::from_millis(50))), [2, 3]);
    }
}

/// Thesis §6.2: the other half of stepping down.
#[test]
fn a_leader_that_hears_a_bare_quorum_leads_on() {
    let mut leader = leader_of(5, 3, &[]);

    for round in 1..60 {
        leader.wait(Duration::from_millis(50));
        for peer in [2, 3] {
            leader.receive(
                peer,
                3,
                heartbeat_reply(session_of(peer), round, LogId::ZERO),
            );
        }
    }

    assert_eq!(leader.raft.status().role, RoleKind::Leader);
}

/// Raft §5.6: heartbeats must come well within an election timeout.
#[test]
fn timeouts_that_heartbeats_cannot_keep_up_with_are_refused() {
    let mut config = Config::new(ReplicaId::first(1), 7);
    config.heartbeat_interval = Duration::from_millis(151);

    let refusal = config.validate().unwrap_err();

    assert!(matches!(refusal, ConfigError::HurriedElections { .. }));
}

/// The rounds of a leader with this seed: when they began after it was elected.
fn rounds_after_election(seed: u64) -> Vec<Duration> {
    let mut leader = replica_with(3, 1, &[], |config| config.seed = seed);
    leader.win_election(3);
    let elected_at = leader.now;
    let mut rounds = Vec::new();
    while rounds.len() < 3 {
        let sent = leader.wait_for_election_timeout();
        if sent.iter().any(|(_, m)| matches!(m, Message::Heartbeat(_))) {
            rounds.push(leader.now - elected_at);
        }
    }
    rounds
}

/// Groups that were elected together would have all their heartbeats in step (openraft
/// #1959).
#[test]
fn the_rounds_of_a_leadership_have_a_random_phase_and_the_first_one_is_not_delayed() {
    let interval = Duration::from_millis(50);
    let mut phases = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let rounds = rounds_after_election(seed);

        assert!(rounds[0] <= interval, "{rounds:?}");
        assert_eq!(rounds[1] - rounds[0], interval);
        assert_eq!(rounds[2] - rounds[1], interval);
        assert_eq!(rounds, rounds_after_election(seed));
        phases.insert(rounds[0].as_millis() / 10);
    }
    assert_eq!(phases.len(), 5, "all fifths of an interval");

    // Round 1 is begun by the election itself.
    let mut leader = leader_of(3, 2, &[]);
    leader.receive(2, 2, heartbeat_reply(session_of(2), 1, LogId::ZERO));
    let dropped = |o: &Output| matches!(o, Output::Event(Event::MessageDropped { .. }));
    assert!(!leader.others.iter().any(dropped));
}
