//! Small explorations, whole.

use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(300);

fn explored(from: Beginning, depth: u8) -> Exploration {
    let scope = Scope {
        from,
        depth,
        ..Scope::default()
    };
    let explored = explore(scope, 2, LIMIT);
    assert_eq!(explored.violation, None);
    assert!(explored.is_complete);
    explored
}

fn happens(explored: &Exploration, names: &[&str]) {
    for name in names {
        assert!(
            explored.actions.contains_key(name),
            "no {name}: {explored:?}"
        );
    }
}

#[test]
fn every_way_from_the_start_keeps_to_the_rules() {
    let explored = explored(Beginning::Start, 6);
    happens(&explored, &["campaign", "vote", "say_votes", "crash"]);
    assert!(explored.states > 3000);
}

#[test]
fn every_way_from_a_leader_keeps_to_the_rules() {
    let explored = explored(Beginning::Leader, 5);
    happens(
        &explored,
        &["append", "accept", "say_holds", "commit", "learn_commit"],
    );
    assert!(explored.states > 5000);
}

#[test]
fn every_way_from_a_contest_keeps_to_the_rules() {
    let explored = explored(Beginning::Contest, 4);
    happens(&explored, &["learn_term", "step_down", "accept", "crash"]);
    assert!(explored.states > 3000);
}

#[test]
fn the_same_scope_has_the_same_states_on_any_number_of_threads() {
    let scope = Scope {
        depth: 5,
        ..Scope::default()
    };
    let (one, three) = (explore(scope, 1, LIMIT), explore(scope, 3, LIMIT));
    assert_eq!(one.states, three.states);
}

#[test]
fn time_that_is_up_is_no_proof() {
    let explored = explore(Scope::default(), 1, Duration::ZERO);
    assert!(!explored.is_complete);
}

#[test]
fn no_scope_has_no_choices() {
    let scope = Scope {
        depth: 20,
        crashes: 0,
        deadlines: 0,
        ..Scope::default()
    };
    let explored = explore(scope, 1, LIMIT);
    assert!(explored.is_complete);
    assert_eq!(explored.states, 1);
}

#[test]
fn a_panic_on_the_way_to_the_beginning_is_a_violation() {
    let begin = || panic!("the leader of the beginning asserts something");
    let explored = search::explore_from(begin, Scope::default(), 2, LIMIT);
    let violation = explored.violation.expect("it is told");
    assert_eq!(violation.choices, Vec::<String>::new());
    assert!(
        violation.reason.contains("asserts something"),
        "{violation}"
    );
}
