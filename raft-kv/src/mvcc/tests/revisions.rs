//! How revisions, versions and create revisions count.

use super::*;

#[tokio::test]
async fn an_empty_store_is_at_revision_one_and_the_first_write_makes_it_two() {
    let mut replica = Replica::new();
    assert_eq!(replica.store.range(&range("a", "")).unwrap().1, 1);

    let revision = replica.put("a", "1").await;

    assert_eq!((revision, replica.store.revision().unwrap()), (2, 2));
}

#[tokio::test]
async fn a_transaction_is_one_revision() {
    let mut replica = Replica::new();
    let success = vec![Op::Put(put("a", "1")), Op::Put(put("b", "2"))];

    replica
        .txn(Txn {
            success,
            ..Txn::default()
        })
        .await;

    let found = replica.range(&range("a", "z"));
    assert_eq!(
        found
            .kvs
            .iter()
            .map(|kv| kv.mod_revision)
            .collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(replica.store.revision().unwrap(), 2);
}

#[tokio::test]
async fn what_changes_nothing_does_not_advance_the_revision() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    let reads = Txn {
        success: vec![Op::Range(range("a", "")), Op::DeleteRange(delete("x", "z"))],
        failure: vec![Op::Put(put("a", "2"))],
        ..Txn::default()
    };

    assert_eq!(replica.delete("nothing").await, 2);
    assert_eq!(replica.done(Command::Txn(reads)).await.revision, 2);
    assert_eq!(replica.done(Command::Txn(Txn::default())).await.revision, 2);

    assert_eq!(replica.put("a", "2").await, 3);
}

#[tokio::test]
async fn versions_count_writes_since_the_creation() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    replica.put("a", "2").await;
    let before = replica.get("a").unwrap();
    replica.delete("a").await;
    assert_eq!(replica.get("a"), None);

    replica.put("a", "3").await;

    let after = replica.get("a").unwrap();
    assert_eq!(
        (before.create_revision, before.mod_revision, before.version),
        (2, 3, 2)
    );
    assert_eq!(
        (after.create_revision, after.mod_revision, after.version),
        (5, 5, 1)
    );
}

#[tokio::test]
async fn previous_values_are_answered_only_when_asked_for() {
    let mut replica = Replica::new();
    replica.put("a", "1").await;
    let asking = Put {
        prev_kv: true,
        ..put("a", "2")
    };

    let CommandResult::Put(result) = replica.done(Command::Put(asking)).await.result else {
        panic!("a put answers a put");
    };
    let silent = replica.done(Command::Put(put("a", "3"))).await.result;

    assert_eq!(result.prev_kv.unwrap().value, b"1");
    assert!(matches!(silent, CommandResult::Put(result) if result.prev_kv.is_none()));
}

#[tokio::test]
async fn a_delete_answers_how_many_keys_it_deleted_and_which() {
    let mut replica = Replica::new();
    for key in ["a", "b", "c"] {
        replica.put(key, key).await;
    }
    let two = DeleteRange {
        prev_kv: true,
        ..delete("a", "c")
    };

    let outcome = replica.done(Command::DeleteRange(two)).await;

    let CommandResult::DeleteRange(result) = outcome.result else {
        panic!("a delete answers a delete");
    };
    assert_eq!((outcome.revision, result.deleted), (5, 2));
    assert_eq!(
        result
            .prev_kvs
            .iter()
            .map(|kv| &kv.value[..])
            .collect::<Vec<_>>(),
        [b"a", b"b"]
    );
    assert_eq!(names(&replica.range(&range("\0", "\0"))), ["c"]);
}

#[tokio::test]
async fn a_put_may_keep_the_value_of_a_key_that_exists() {
    let mut replica = Replica::new();
    let keeping = || {
        Command::Put(Put {
            ignore_value: true,
            ..put("a", "")
        })
    };
    assert_eq!(replica.refusal(keeping()).await, KvError::KeyNotFound);
    replica.put("a", "kept").await;

    replica.done(keeping()).await;

    let found = replica.get("a").unwrap();
    assert_eq!((found.value.as_slice(), found.version), (&b"kept"[..], 2));
    let both = Put {
        ignore_value: true,
        ..put("a", "new")
    };
    assert_eq!(
        replica.refusal(Command::Put(both)).await,
        KvError::ValueProvided
    );
}

#[tokio::test]
async fn an_empty_key_is_refused_everywhere() {
    let mut replica = Replica::new();
    let equals = CompareTarget::Version(0);
    let in_compare = Txn {
        compare: vec![compare(keys("", ""), CompareResult::Equal, equals)],
        ..Txn::default()
    };
    let in_branch = Txn {
        failure: vec![Op::Range(range("", "z"))],
        ..Txn::default()
    };

    for command in [
        Command::Put(put("", "1")),
        Command::DeleteRange(delete("", "z")),
        Command::Txn(in_compare),
        Command::Txn(in_branch),
    ] {
        assert_eq!(replica.refusal(command).await, KvError::EmptyKey);
    }
    assert_eq!(replica.range_refusal(&range("", "\0")), KvError::EmptyKey);
}
