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
    scene.gives_its_word(1, 3, 2);
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.learns(3, 1);
    scene.saves(3, None, &[]);
    scene.asks_for_votes(3, 2);
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

#[test]
fn nobody_would_vote_for_who_is_behind_or_while_a_leader_is_heard() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.may_not(2, would_vote(3, 2, LogId::ZERO), "the log of");
    scene.may_not(1, would_vote(3, 2, scene.last(1)), "a leader hears itself");
    let leader = n(1);
    scene.does(
        2,
        Action::Hear {
            leader,
            now: late(),
        },
    );
    scene.may_not(2, would_vote(3, 2, scene.last(1)), "it heard a leader");
    scene.may_not(3, would_vote(2, 0, scene.last(1)), "it is in");
}

#[test]
fn nobody_says_it_would_vote_who_would_not_have() {
    let mut scene = Scene::new();
    let fact = Fact::WouldVote {
        term: Term::new(1),
        candidate: n(1),
    };
    let term = Term::default();
    scene.may_not(2, Action::Say { term, fact }, "when it was asked");
    scene.does(2, would_vote(1, 1, LogId::ZERO));
    scene.does(2, Action::Say { term, fact });
}

#[test]
fn a_vote_that_was_never_given_is_not_said_once_its_term_is_past() {
    let mut scene = Scene::new();
    scene.campaigns(1, 3, 1);
    scene.campaigns(1, 3, 2);
    scene.learns(2, 2);
    scene.saves(2, None, &[]);
    let fact = Fact::Votes {
        term: Term::new(1),
        candidate: n(1),
    };
    let term = Term::new(2);
    scene.may_not(2, Action::Say { term, fact }, "it did not vote");
}

#[test]
fn who_has_no_vote_asks_for_none() {
    let mut scene = Scene::new();
    let founders = Arc::new(Membership::of_ids(1..=3));
    scene.does(4, Action::Join { founders });
    scene.does(
        4,
        Action::Start {
            now: Timestamp::ZERO,
        },
    );
    scene.may_not(4, Action::PreCampaign, "it has no vote");
}

#[test]
fn who_loses_its_vote_campaigns_until_it_knows_that_for_certain() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    let two = Membership::of_ids([1, 3]);
    let run = [
        change(1, Membership::of_ids(1..=3).joint_with(&two)),
        change(1, two),
    ];
    scene.learns(3, 1);
    scene.saves(3, None, &[]);
    scene.takes(3, 1, None, &[item(1, 0)]);
    for (change, index) in run.into_iter().zip(2..) {
        let change = [change];
        scene.appends(1, &change);
        scene.takes(2, 1, None, &change);
        scene.takes(3, 1, None, &change);
        scene.does(1, commit(index));
    }
    scene.does(2, Action::PreCampaign);
    scene.does(2, Action::LearnCommit { index: at(3) });
    scene.may_not(2, Action::PreCampaign, "it has no vote");
}

#[test]
fn a_vote_in_passing_goes_to_one_who_asked_with_all_that_the_voter_has() {
    let passing = |candidate, term, asked| Action::VoteInPassing {
        candidate: n(candidate),
        term: Term::new(term),
        asked,
        now: late(),
    };
    let mut scene = Scene::new();
    scene.may_not(3, passing(1, 1, true), "asked with None");
    scene.campaigns(1, 2, 1);
    scene.campaigns(2, 3, 1);
    scene.does(3, passing(1, 1, true));
    scene.does(3, passing(2, 1, true));
    scene.learns(3, 1);
    scene.does(3, vote(1));
    scene.may_not(3, passing(2, 1, true), "it is at");
}
