//! Logs, disks, commits and members.

use super::*;

#[test]
fn an_election_a_commit_and_its_news_are_allowed() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    scene.does(2, Action::LearnCommit { index: at(1) });
    scene.does(2, Action::Apply { index: at(1) });
    assert!(scene.group.has_asked_for_all(n(2)));
}

#[test]
fn a_leader_begins_with_a_blank_entry_of_its_term_and_never_cuts() {
    let mut scene = Scene::new();
    scene.campaigns(1, 2, 1);
    scene.votes(2, 1, 1);
    scene.does(1, Action::Lead);
    let append = |items: &[Item]| Action::Append {
        items: items.to_vec(),
    };
    scene.may_not(1, append(&[item(1, 7)]), "is not blank");
    scene.may_not(1, append(&[item(2, 0)]), "is of t2");
    scene.may_not(1, accept(Some(1), &[item(1, 0)]), "Leader");
}

#[test]
fn a_follower_takes_only_what_its_leader_has() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.may_not(2, accept(None, &[item(1, 5)]), "not in its leader's log");
}

#[test]
fn a_follower_cuts_only_what_contradicts_and_nothing_committed() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.may_not(2, accept(Some(1), &[item(1, 0)]), "does not contradict");
    scene.does(1, commit(1));
    scene.does(2, Action::LearnCommit { index: at(1) });
    scene.may_not(2, accept(Some(1), &[item(1, 0)]), "committed is i1");
}

#[test]
fn nothing_is_called_durable_that_is_not() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.does(2, accept(None, &[item(1, 0)]));
    scene.asks(2, None, &[item(1, 0)]);
    let fact = Fact::Holds {
        up_to: LogId::new(1, 1),
    };
    let term = Term::new(1);
    scene.may_not(2, Action::Say { term, fact }, "not durable");
    scene.may_not(1, commit(1), "not durable on a quorum");
}

#[test]
fn a_leaders_own_copy_counts_when_it_is_durable() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    let items = vec![item(1, 5)];
    scene.does(
        1,
        Action::Append {
            items: items.clone(),
        },
    );
    scene.asks(1, None, &items);
    scene.takes(2, 1, None, &items);
    scene.may_not(1, commit(2), "not durable on a quorum");
    scene.does(1, Action::Done { writes: 1 });
    scene.does(1, commit(2));
}

/// Raft figure 8: the entry of term 2 is on a quorum, and may yet be overwritten.
#[test]
fn an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.does(1, Action::StepDown);
    scene.campaigns(1, 3, 2);
    scene.votes(3, 1, 2);
    scene.does(1, Action::Lead);
    scene.takes(3, 2, None, &[item(1, 0)]);
    scene.may_not(1, commit(1), "not of t2");
}

#[test]
fn what_others_commit_is_learned_only_with_the_same_log() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    scene.learns(3, 1);
    scene.may_not(
        3,
        Action::LearnCommit { index: at(1) },
        "is not what is committed",
    );
}

#[test]
fn a_leader_is_told_of_no_commit_and_tells_of_none_that_it_does_not_know() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.may_not(1, Action::LearnCommit { index: at(1) }, "counts copies");
    let leads = |commit| Action::Say {
        term: Term::new(1),
        fact: Fact::Leads {
            holds: LogId::ZERO,
            commit: at(commit),
        },
    };
    scene.may_not(1, leads(1), "knows i0 to be");
    let purged = Action::Say {
        term: Term::new(1),
        fact: Fact::Purged {
            up_to: LogId::new(1, 1),
        },
    };
    scene.may_not(2, purged.clone(), "knows i0 to be");
    scene.does(1, commit(1));
    scene.does(1, leads(1));
    scene.does(2, Action::LearnCommit { index: at(1) });
    scene.does(2, purged);
}

/// A leader that asks for what is damaged here learns that it is committed.
#[test]
fn what_others_have_purged_is_committed() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    scene.does(2, Action::LearnCommit { index: at(1) });
    scene.says(
        2,
        1,
        Fact::Purged {
            up_to: LogId::new(1, 1),
        },
    );
    let crash = Action::Crash {
        kept: 9,
        and_ballot: false,
    };
    scene.may_not(1, crash, "more writes are done");
    let crash = Action::Crash {
        kept: 0,
        and_ballot: false,
    };
    scene.does(1, crash);
    scene.does(
        1,
        Action::Start {
            now: Timestamp::ZERO,
        },
    );
    scene.campaigns(1, 2, 2);
    scene.votes(2, 1, 2);
    scene.does(1, Action::Lead);
    scene.does(1, Action::LearnCommit { index: at(1) });
}

#[test]
fn another_life_of_a_voter_is_another_voter() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    let founders = Membership::of_ids(1..=3);
    let mut members = founders.members().clone();
    let life = crate::types::Incarnation::new(1);
    members.get_mut(&n(3).node).unwrap().incarnation = life;
    let other = Membership::from_parts(members, founders.voters().clone(), None).unwrap();
    let append = Action::Append {
        items: vec![change(1, other)],
    };
    scene.may_not(1, append, "another life");
}

#[test]
fn only_what_is_committed_is_applied() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.may_not(1, Action::Apply { index: at(1) }, "committed is i0");
    scene.may_not(1, Action::Restore { at: at(1) }, "committed is i0");
    scene.may_not(1, Action::StateDurable { index: at(1) }, "has applied i0");
}

#[test]
fn members_change_after_an_own_commit_one_at_a_time_and_by_a_joint_membership() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    let three = Membership::of_ids(1..=3);
    let four = Membership::of_ids(1..=4);
    let append = |membership: &Membership| Action::Append {
        items: vec![change(1, membership.clone())],
    };
    let joint = three.joint_with(&four);
    scene.may_not(1, append(&joint), "nothing of its own is committed");
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    scene.may_not(1, append(&four), "may not follow");
    scene.appends(1, &[change(1, joint)]);
    scene.may_not(1, append(&four), "is not committed");
}

#[test]
fn a_joint_membership_needs_both_majorities() {
    let mut scene = Scene::new();
    scene.elects(1, 2, 1);
    scene.takes(2, 1, None, &[item(1, 0)]);
    scene.does(1, commit(1));
    let joint = Membership::of_ids(1..=3).joint_with(&Membership::of_ids([1, 4, 5]));
    let entry = [change(1, joint)];
    scene.appends(1, &entry);
    scene.takes(2, 1, None, &entry);
    scene.may_not(1, commit(2), "not durable on a quorum");
    scene.does(
        4,
        Action::Join {
            founders: Arc::default(),
        },
    );
    scene.does(4, Action::Start { now: late() });
    scene.learns(4, 1);
    scene.takes(4, 1, None, &[item(1, 0), entry[0].clone()]);
    scene.does(1, commit(2));
}

#[test]
fn what_was_not_asked_of_the_disk_is_missed() {
    let mut scene = Scene::new();
    scene.campaigns(1, 2, 1);
    scene.learns(2, 1);
    assert!(!scene.group.has_asked_for_all(n(2)));
    scene.asks(2, None, &[]);
    assert!(scene.group.has_asked_for_all(n(2)));
}
