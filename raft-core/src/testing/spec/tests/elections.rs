//! Terms, votes and leaders.

use super::*;

#[test]
fn nobody_campaigns_without_a_quorum_that_would_vote() {
    let mut scene = Scene::new();
    scene.does(1, Action::PreCampaign);
    scene.may_not(1, Action::Campaign, "no quorum");
}

#[test]
fn nobody_votes_twice_in_a_term() {
    let mut scene = Scene::new();
    scene.campaigns(1, 3, 1);
    scene.campaigns(2, 3, 1);
    scene.votes(3, 1, 1);
    scene.may_not(3, vote(2), "it has voted");
}

#[test]
fn a_vote_forgotten_in_a_crash_is_not_given_again() {
    let mut scene = Scene::new();
    scene.campaigns(1, 3, 1);
    scene.campaigns(2, 3, 1);
    scene.votes(3, 1, 1);
    // Whatever made it forget: its disk says another thing now.
    let disk = &mut scene.group.replicas.get_mut(&n(3)).unwrap().disk;
    disk.ballot = Ballot::default();
    let crash = Action::Crash {
        kept: 0,
        and_ballot: false,
    };
    scene.does(3, crash);
    let now = Timestamp::ZERO;
    scene.does(3, Action::Start { now });
    scene.learns(3, 1);
    scene.does(3, vote(2));
    scene.asks(3, None, &[]);
    scene.may_not(3, Action::Done { writes: 1 }, "it voted for");
}

#[test]
fn a_vote_goes_to_no_log_that_is_behind() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.learns(3, 1);
    scene.saves(3, None, &[]);
    scene.campaigns(3, 1, 2);
    scene.learns(2, 2);
    scene.may_not(2, vote(3), "the log of");
}

#[test]
fn who_hears_a_leader_or_has_just_started_listens_to_no_candidate() {
    let mut scene = Scene::new();
    scene.campaigns(1, 2, 1);
    let ask = |now| Action::LearnTerm {
        term: Term::new(1),
        asked: true,
        now,
    };
    scene.may_not(2, ask(Timestamp::ZERO), "it heard a leader");
    scene.does(2, ask(late()));
}

#[test]
fn nobody_leads_before_a_quorum_has_said_so_durably() {
    let mut scene = Scene::new();
    scene.campaigns(1, 2, 1);
    scene.learns(2, 1);
    scene.does(2, vote(1));
    scene.asks(2, None, &[]);
    let fact = Fact::Votes {
        term: Term::new(1),
        candidate: n(1),
    };
    let term = Term::new(1);
    scene.may_not(2, Action::Say { term, fact }, "its disk holds t0");
    scene.may_not(1, Action::Lead, "votes of a quorum");
}

#[test]
fn who_lost_its_vote_is_never_heard_of_again() {
    let mut scene = Scene::new();
    let crash = Action::Crash {
        kept: 0,
        and_ballot: false,
    };
    scene.does(1, crash);
    let mut next = n(1);
    next.incarnation = crate::types::Incarnation::new(1);
    scene.does(1, Action::NextLife { next });
    scene.may_not(1, Action::Start { now: late() }, "its vote is lost");
    let fact = Fact::Term;
    let term = Term::default();
    scene.may_not(1, Action::Say { term, fact }, "its vote is lost");
}

#[test]
fn a_term_that_nobody_said_is_learned_from_nobody() {
    let mut scene = Scene::new();
    let action = Action::LearnTerm {
        term: Term::new(9),
        asked: false,
        now: late(),
    };
    scene.may_not(1, action, "nobody has said t9");
}

#[test]
fn nobody_claims_to_be_wanted_by_a_leader_who_is_not() {
    let mut scene = Scene::new();
    scene.campaigns(1, 2, 1);
    let claims = Action::Say {
        term: Term::new(1),
        fact: Fact::Campaigns {
            last_log: LogId::ZERO,
            takes_over: true,
        },
    };
    scene.may_not(1, claims, "asked it to take over");
}
