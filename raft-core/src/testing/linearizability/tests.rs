//! The checkers against brute force, and against histories made by hand.

use super::*;
use crate::protocol::random::Random;

/// Enough for any history of these tests.
const STEPS: u64 = 1_000_000;
const HISTORIES: usize = 100_000;

fn write(value: u64, invoked: u64, returned: impl Into<Option<u64>>) -> Operation {
    Operation {
        client: value,
        key: 0,
        action: Action::Write(value),
        invoked,
        returned: returned.into(),
        index: None,
    }
}

fn read(found: impl Into<Option<u64>>, invoked: u64, returned: u64) -> Operation {
    Operation {
        client: 100,
        action: Action::Read(found.into()),
        ..write(0, invoked, returned)
    }
}

fn at(index: u64, operation: Operation) -> Operation {
    Operation {
        index: Some(index),
        ..operation
    }
}

/// Tries every order of every choice of the writes without an answer.
fn brute_force(history: &History) -> bool {
    history.by_key().values().all(|operations| {
        let (certain, open): (Vec<_>, Vec<_>) =
            operations.iter().partition(|o| o.returned.is_some());
        (0..1_u32 << open.len()).any(|choice| {
            let chosen = open.iter().enumerate();
            let chosen = chosen.filter(|(bit, _)| choice >> bit & 1 == 1);
            let mut all: Vec<Operation> = certain.clone();
            all.extend(chosen.map(|(_, operation)| *operation));
            some_order(&mut all, 0)
        })
    })
}

fn some_order(operations: &mut [Operation], from: usize) -> bool {
    if from == operations.len() {
        return explains(operations);
    }
    (from..operations.len()).any(|next| {
        operations.swap(from, next);
        let found = some_order(operations, from + 1);
        operations.swap(from, next);
        found
    })
}

/// Whether the operations, in this order, respect time and what reads found.
fn explains(order: &[Operation]) -> bool {
    let mut value = None;
    order.iter().enumerate().all(|(place, operation)| {
        let is_in_time = order[..place]
            .iter()
            .all(|earlier| !operation.precedes(earlier));
        let fits = match operation.action {
            Action::Write(new) => {
                value = Some(new);
                true
            }
            Action::Read(found) => found == value,
        };
        is_in_time && fits
    })
}

/// A small history: mostly nonsense, often enough none.
fn small_history(random: &mut Random, distinct: bool) -> History {
    let mut below = |limit: u64| random.next() % limit;
    let count = 1 + below(6);
    let mut history = History::default();
    for number in 1..=count {
        let invoked = below(12);
        let returned = invoked + below(6);
        let value = if distinct { number } else { 1 + below(3) };
        let mut operation = match below(5) {
            0 => write(value, invoked, None),
            1 | 2 => write(value, invoked, returned),
            _ => read(
                below(count + 1).checked_sub(1).map(|v| v + 1),
                invoked,
                returned,
            ),
        };
        operation.key = below(8) / 6;
        history.push(operation);
    }
    history
}

#[test]
fn the_search_says_what_brute_force_says() {
    let mut random = Random::new(1);
    let mut linearizable = 0;
    for _ in 0..HISTORIES {
        let history = small_history(&mut random, false);
        let expected = brute_force(&history);
        linearizable += usize::from(expected);

        let found = search::check(&history, STEPS);
        assert_eq!(found.is_linearizable(), expected, "{found:?}: {history:?}");
        assert_ne!(found, Verdict::GaveUp);
    }
    assert!((HISTORIES / 10..HISTORIES * 9 / 10).contains(&linearizable));
}

#[test]
fn zones_say_what_brute_force_says() {
    let mut random = Random::new(2);
    let mut linearizable = 0;
    for _ in 0..HISTORIES {
        let history = small_history(&mut random, true);
        let expected = brute_force(&history);
        linearizable += usize::from(expected);

        let found = zones::check(&history);
        assert_eq!(found.is_linearizable(), expected, "{found:?}: {history:?}");
    }
    assert!((HISTORIES / 10..HISTORIES * 9 / 10).contains(&linearizable));
}

/// The order that the indices give, tried as brute force tries an order.
fn in_order_of_indices(history: &History) -> bool {
    let mut order: Vec<_> = history.operations().to_vec();
    order.retain(|operation| operation.index.is_some());
    order.sort_by_key(|operation| (operation.index, !operation.is_write()));
    let writes: Vec<_> = order
        .iter()
        .filter(|o| o.is_write())
        .map(|o| o.index)
        .collect();
    let is_in_time = order.iter().enumerate().all(|(place, operation)| {
        // Reads of one index may be in any order.
        let is_swappable = |o: &Operation| !o.is_write() && o.index == operation.index;
        let mut earlier = order[..place].iter();
        earlier.all(|e| !operation.precedes(e) || (is_swappable(e) && is_swappable(operation)))
    });
    let by_key = History::from_iter(order.iter().copied()).by_key();
    let fits = |operations: &Vec<Operation>| {
        let mut value = None;
        operations.iter().all(|operation| match operation.action {
            Action::Write(new) => {
                value = Some(new);
                true
            }
            Action::Read(found) => found == value,
        })
    };
    is_in_time && by_key.values().all(fits) && writes.windows(2).all(|pair| pair[0] != pair[1])
}

#[test]
fn the_witness_says_what_its_order_says_and_knows_no_better_than_brute_force() {
    let mut random = Random::new(3);
    let mut linearizable = 0;
    for _ in 0..HISTORIES {
        let history = small_history(&mut random, false);
        let mut number = 0;
        let with_index = |&operation: &Operation| {
            // Around the time at which it ran, so that the order fits now and then.
            number += 1;
            let index = operation.invoked * 2 + random.next() % 12 + number % 2;
            let is_open = operation.returned.is_none() && random.next().is_multiple_of(2);
            match is_open {
                true => operation,
                false => at(index, operation),
            }
        };
        let history: History = history.operations().iter().map(with_index).collect();
        let expected = in_order_of_indices(&history);
        linearizable += usize::from(expected);

        let found = witness::check(&history);
        assert_eq!(found.is_linearizable(), expected, "{found:?}: {history:?}");
        assert!(!expected || brute_force(&history), "{history:?}");
    }
    assert!(linearizable > HISTORIES / 50, "{linearizable}");
}

/// Checked by all three; the indices are those of the order that nearly fits.
fn is_caught(operations: &[Operation]) {
    let history: History = operations.iter().copied().collect();
    let verdicts = [
        witness::check(&history),
        zones::check(&history),
        search::check(&history, STEPS),
    ];
    for verdict in verdicts {
        assert!(matches!(verdict, Verdict::Violated(_)), "{verdict:?}");
    }
}

#[test]
fn a_stale_read_is_caught() {
    is_caught(&[
        at(1, write(1, 0, 1)),
        at(2, write(2, 2, 3)),
        at(1, read(1, 4, 5)),
    ]);
}

#[test]
fn a_read_that_goes_back_behind_another_is_caught() {
    is_caught(&[
        at(1, write(1, 0, 1)),
        at(2, write(2, 2, 20)),
        at(2, read(2, 4, 5)),
        at(1, read(1, 6, 7)),
    ]);
}

#[test]
fn a_lost_write_is_caught() {
    is_caught(&[at(1, write(1, 0, 1)), at(1, read(None, 2, 3))]);
}

#[test]
fn a_value_that_nobody_wrote_is_caught() {
    is_caught(&[at(1, write(1, 0, 1)), at(1, read(7, 2, 3))]);
}

#[test]
fn a_value_from_the_future_is_caught() {
    is_caught(&[at(0, read(1, 0, 1)), at(1, write(1, 2, 3))]);
}

#[test]
fn a_write_without_an_answer_may_take_effect_late_or_never() {
    let late = [at(9, write(2, 1, None)), at(9, read(2, 50, 51))];
    let never = [write(3, 1, None), at(1, read(1, 60, 61))];
    for ending in [late, never] {
        let start = [at(1, write(1, 0, 0))];
        let history: History = start.into_iter().chain(ending).collect();

        assert_eq!(witness::check(&history), Verdict::Linearizable);
        assert_eq!(zones::check(&history), Verdict::Linearizable);
        assert_eq!(search::check(&history, STEPS), Verdict::Linearizable);
    }
}

#[test]
fn a_search_without_steps_is_no_pass() {
    let history: History = (1..20).map(|value| write(value, 0, 100)).collect();

    assert_eq!(search::check(&history, 3), Verdict::GaveUp);
}

#[test]
fn histories_are_written_for_other_tools() {
    let history: History = [write(1, 0, 4), read(None, 1, 3), write(2, 5, None)]
        .into_iter()
        .collect();

    let edn = history.to_edn();
    let lines: Vec<_> = edn.lines().collect();
    assert_eq!(
        lines[0],
        "{:process 1, :type :invoke, :f :write, :value [0 1], :time 0}"
    );
    assert_eq!(
        lines[2],
        "{:process 100, :type :ok, :f :read, :value [0 nil], :time 3}"
    );
    assert_eq!(
        lines[5],
        "{:process 2, :type :info, :f :write, :value [0 2], :time 5}"
    );
    let json = history.to_json();
    assert!(json.contains(r#"{"process":100,"type":"ok","f":"read","value":[0,null],"time":3}"#));
}
