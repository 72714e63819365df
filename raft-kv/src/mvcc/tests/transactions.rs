//! Conditions, branches and what their operations see.

use super::*;
use crate::mvcc::check;

use CompareResult::{Equal, Greater, Less, NotEqual};

fn when(compare: Vec<Compare>) -> Txn {
    Txn {
        compare,
        ..Txn::default()
    }
}

fn then(success: Vec<Op>) -> Txn {
    Txn {
        success,
        ..Txn::default()
    }
}

fn otherwise(failure: Vec<Op>) -> Txn {
    Txn {
        failure,
        ..Txn::default()
    }
}

fn put_op(key: &str, value: &str) -> Op {
    Op::Put(put(key, value))
}

fn delete_op(key: &str, end: &str) -> Op {
    Op::DeleteRange(delete(key, end))
}

fn duplicate(success: Vec<Op>) -> bool {
    match check(&Command::Txn(then(success)), 128) {
        Ok(()) => false,
        Err(KvError::DuplicateKey) => true,
        Err(other) => panic!("{other}"),
    }
}

async fn holds(replica: &mut Replica, result: CompareResult, target: CompareTarget) -> bool {
    replica
        .txn(when(vec![compare(keys("a", ""), result, target)]))
        .await
        .succeeded
}

#[tokio::test]
async fn numbers_of_a_missing_key_compare_as_zero() {
    let mut replica = Replica::new();
    let targets: [fn(i64) -> CompareTarget; 4] = [
        CompareTarget::Version,
        CompareTarget::Create,
        CompareTarget::Mod,
        CompareTarget::Lease,
    ];

    for target in targets {
        assert!(holds(&mut replica, Equal, target(0)).await);
        assert!(holds(&mut replica, NotEqual, target(1)).await);
        assert!(holds(&mut replica, Less, target(1)).await);
        assert!(holds(&mut replica, Greater, target(-1)).await);
        assert!(!holds(&mut replica, Greater, target(0)).await);
    }
}

#[tokio::test]
async fn the_value_of_a_missing_key_satisfies_no_condition() {
    let mut replica = Replica::new();

    for result in [Equal, NotEqual, Less, Greater] {
        for value in ["", "x"] {
            let target = CompareTarget::Value(value.into());
            assert!(
                !holds(&mut replica, result, target).await,
                "{result:?} {value:?}"
            );
        }
    }
}

#[tokio::test]
async fn conditions_look_at_the_stored_key() {
    let mut replica = Replica::new();
    replica.put("a", "m").await;
    replica.put("a", "n").await;

    assert!(holds(&mut replica, Equal, CompareTarget::Version(2)).await);
    assert!(holds(&mut replica, Equal, CompareTarget::Create(2)).await);
    assert!(holds(&mut replica, Equal, CompareTarget::Mod(3)).await);
    assert!(holds(&mut replica, Equal, CompareTarget::Value("n".into())).await);
    assert!(holds(&mut replica, Greater, CompareTarget::Value("m".into())).await);
    assert!(!holds(&mut replica, Less, CompareTarget::Value("m".into())).await);
}

#[tokio::test]
async fn a_range_condition_holds_when_every_key_satisfies_it() {
    let mut replica = Replica::new();
    replica.put("a1", "x").await;
    replica.put("a2", "x").await;
    replica.put("b", "y").await;
    let over = |key, end| {
        let target = CompareTarget::Value("x".into());
        when(vec![compare(keys(key, end), Equal, target)])
    };

    assert!(replica.txn(over("a", "b")).await.succeeded);
    assert!(!replica.txn(over("a", "\0")).await.succeeded);
    assert!(!replica.txn(over("c", "\0")).await.succeeded);
    let none_there = compare(keys("c", "\0"), Equal, CompareTarget::Create(0));
    assert!(replica.txn(when(vec![none_there])).await.succeeded);
}

#[tokio::test]
async fn operations_see_the_earlier_writes_of_their_transaction() {
    let mut replica = Replica::new();
    replica.put("a", "old").await;
    let txn = then(vec![
        Op::Range(range("a", "z")),
        put_op("b", "new"),
        Op::Range(range("a", "z")),
        delete_op("a", ""),
        Op::Range(range("a", "z")),
    ]);

    let results = replica.txn(txn).await.results;

    let seen: Vec<_> = results
        .iter()
        .filter_map(|result| match result {
            OpResult::Range(range) => Some(names(range)),
            _ => None,
        })
        .collect();
    assert_eq!(seen, [vec!["a"], vec!["a", "b"], vec!["b"]]);
}

#[tokio::test]
async fn nested_conditions_are_decided_before_anything_is_written() {
    let mut replica = Replica::new();
    let nested = Txn {
        compare: vec![compare(keys("a", ""), Greater, CompareTarget::Version(0))],
        success: vec![put_op("saw", "a")],
        failure: vec![put_op("saw", "nothing")],
    };

    replica
        .txn(then(vec![put_op("a", "1"), Op::Txn(nested)]))
        .await;

    assert_eq!(replica.get("saw").unwrap().value, b"nothing");
}

#[tokio::test]
async fn a_read_in_a_transaction_may_name_a_revision_up_to_the_one_before_it() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    let reading_at = |revision| {
        let read = Op::Range(Range {
            revision,
            ..range("a", "")
        });
        Command::Txn(then(vec![put_op("b", "1"), read]))
    };

    assert_eq!(
        replica.refusal(reading_at(3)).await,
        KvError::FutureRevision
    );
    assert_eq!(replica.get("b"), None);
    assert_eq!(replica.done(reading_at(2)).await.revision, 3);
}

#[tokio::test]
async fn a_refused_transaction_changes_nothing() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    let keeping = |key| {
        Op::Put(Put {
            ignore_value: true,
            ..put(key, "")
        })
    };
    let known_before = then(vec![
        put_op("b", "1"),
        delete_op("a", ""),
        keeping("missing"),
    ]);
    // Here the key is there before and gone once its put runs.
    let found_while_running = then(vec![put_op("Z", "1"), delete_op("a", "\0"), keeping("a")]);

    for txn in [known_before, found_while_running] {
        let revision = replica.store.revision().unwrap();
        let next = Command::Put(put("c", "1"));
        let responses = replica.apply_all(&[Command::Txn(txn), next]).await;

        let error = KvError::KeyNotFound;
        assert_eq!(responses[0], Response::Refused { error, revision });
        assert_eq!(names(&replica.range(&range("\0", "\0"))), ["a", "c"]);
        assert_eq!(replica.store.revision().unwrap(), revision + 1);
    }
}

#[test]
fn a_branch_writes_no_key_twice() {
    assert!(duplicate(vec![put_op("a", "1"), put_op("a", "2")]));
    assert!(duplicate(vec![put_op("b", "1"), delete_op("a", "c")]));
    assert!(duplicate(vec![delete_op("b", ""), put_op("b", "1")]));
    assert!(!duplicate(vec![put_op("c", "1"), delete_op("a", "c")]));
    assert!(!duplicate(vec![delete_op("a", "c"), delete_op("b", "d")]));
    assert!(!duplicate(vec![put_op("a", "1"), put_op("b", "1")]));
}

#[test]
fn the_two_branches_of_one_transaction_may_write_the_same_key() {
    let both = Txn {
        success: vec![put_op("a", "1")],
        failure: vec![put_op("a", "2")],
        ..Txn::default()
    };

    assert_eq!(check(&Command::Txn(both.clone()), 128), Ok(()));
    assert!(!duplicate(vec![Op::Txn(both.clone())]));
    assert!(duplicate(vec![Op::Txn(both.clone()), put_op("a", "3")]));
    assert!(duplicate(vec![Op::Txn(both.clone()), Op::Txn(both)]));
}

#[test]
fn nested_writes_count_with_those_around_them() {
    let nested = |ops| Op::Txn(otherwise(ops));

    assert!(duplicate(vec![
        nested(vec![put_op("a", "1")]),
        delete_op("a", "")
    ]));
    assert!(duplicate(vec![
        nested(vec![delete_op("a", "c")]),
        put_op("b", "1")
    ]));
    assert!(duplicate(vec![
        nested(vec![delete_op("a", "")]),
        nested(vec![put_op("a", "1")])
    ]));
    assert!(duplicate(vec![nested(vec![
        put_op("a", "1"),
        put_op("a", "2")
    ])]));
    // The other way round etcd does not look, and neither do we.
    assert!(!duplicate(vec![
        nested(vec![put_op("a", "1")]),
        nested(vec![delete_op("a", "")])
    ]));
}

#[tokio::test]
async fn a_delete_to_the_end_and_a_put_take_effect_in_their_order() {
    let mut replica = Replica::new();
    replica.put("b", "old").await;

    replica
        .txn(then(vec![delete_op("a", "\0"), put_op("b", "new")]))
        .await;
    let after_put = replica.get("b").unwrap();
    replica
        .txn(then(vec![put_op("b", "newer"), delete_op("a", "\0")]))
        .await;

    assert_eq!((after_put.create_revision, after_put.version), (3, 1));
    assert_eq!(
        (replica.get("b"), replica.store.revision().unwrap()),
        (None, 4)
    );
}

#[tokio::test]
async fn a_key_put_and_then_deleted_in_one_revision_is_gone() {
    let mut replica = Replica::new();
    let put_it = Op::Txn(then(vec![put_op("a", "1")]));
    let delete_it = Op::Txn(then(vec![delete_op("a", "")]));

    replica.txn(then(vec![put_it, delete_it])).await;

    assert_eq!(
        (replica.get("a"), replica.store.revision().unwrap()),
        (None, 2)
    );
}

#[test]
fn the_widest_part_of_a_transaction_counts_and_nested_ones_have_the_rest() {
    let ops = |count| vec![Op::Range(range("a", "")); count];
    let fits = |txn| check(&Command::Txn(txn), 4) != Err(KvError::TooManyOps);
    let wide = Txn {
        compare: vec![compare(keys("a", ""), Equal, CompareTarget::Version(0)); 4],
        success: ops(4),
        failure: ops(4),
    };

    assert!(fits(wide));
    assert!(!fits(then(ops(5))));
    assert!(!fits(otherwise(ops(5))));
    assert!(fits(then(vec![Op::Txn(then(ops(3)))])));
    assert!(!fits(then(vec![Op::Txn(then(ops(4)))])));
}

#[tokio::test]
async fn applying_knows_no_limit_on_operations() {
    let mut replica = Replica::new();

    let result = replica
        .txn(then(vec![Op::Range(range("a", "")); 1000]))
        .await;

    assert_eq!(result.results.len(), 1000);
}

/// Protobuf decoders stop at 100 messages inside each other.
#[tokio::test]
async fn transactions_nest_as_deep_as_a_client_can_send_them() {
    let mut replica = Replica::new();
    let innermost = then(vec![put_op("deep", "1")]);
    let nested = (0..100).fold(innermost, |inner, _| then(vec![Op::Txn(inner)]));

    replica.txn(nested).await;

    assert_eq!(replica.get("deep").unwrap().mod_revision, 2);
}

#[tokio::test]
async fn a_transaction_of_reads_is_answered_by_the_store_alone() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    let reads = Txn {
        compare: vec![compare(keys("a", ""), Equal, CompareTarget::Version(1))],
        ..then(vec![Op::Range(range("a", "")), Op::Txn(then(vec![]))])
    };

    let (result, revision) = replica.store.txn_read_only(&reads).unwrap();

    assert_eq!(
        (result.succeeded, result.results.len(), revision),
        (true, 2, 2)
    );
    let writes = otherwise(vec![Op::Txn(otherwise(vec![put_op("a", "2")]))]);
    let refused = replica.store.txn_read_only(&writes);
    assert!(
        matches!(refused, Err(QueryError::Storage(_))),
        "{refused:?}"
    );
}

/// Every member answers while it applies; a small request must not fill its memory.
#[tokio::test]
async fn a_transaction_that_reads_more_than_a_member_will_hold_is_refused_whole() {
    let mut replica = Replica::new();
    replica.put("big", &"x".repeat(1 << 20)).await;
    let reads = |count| {
        let mut ops = vec![Op::Range(range("big", "")); count];
        ops.push(put_op("key", "value"));
        then(ops)
    };

    let refusal = replica.refusal(Command::Txn(reads(70))).await;

    assert_eq!(refusal, KvError::AnswerTooLarge);
    assert_eq!(replica.get("key"), None, "nothing of it took effect");
    assert!(replica.txn(reads(60)).await.succeeded);
}
