//! What a range answers.

use super::*;

/// Keys in an order that no target shares: `c` first, then `a` twice, then `b`.
async fn three_keys() -> Replica {
    let mut replica = Replica::new();
    replica.put("c", "x").await;
    replica.put("a", "z").await;
    replica.put("b", "y").await;
    replica.put("a", "w").await;
    replica
}

fn all() -> Range {
    range("\0", "\0")
}

#[tokio::test]
async fn one_key_a_half_open_range_and_everything_from_a_key_on() {
    let replica = three_keys().await;

    assert_eq!(names(&replica.range(&range("b", ""))), ["b"]);
    assert_eq!(names(&replica.range(&range("a", "c"))), ["a", "b"]);
    assert_eq!(names(&replica.range(&range("b", "\0"))), ["b", "c"]);
    assert_eq!(replica.range(&range("c", "a")), RangeResult::default());
    assert_eq!(replica.range(&range("b", "b")), RangeResult::default());
}

#[tokio::test]
async fn keys_that_begin_alike_or_hold_zero_bytes_stay_apart() {
    let mut replica = Replica::new();
    for key in ["a\0\u{1}", "a", "a\0", "aa", "a\0b"] {
        replica.put(key, key).await;
    }

    assert_eq!(
        names(&replica.range(&all())),
        ["a", "a\0", "a\0\u{1}", "a\0b", "aa"]
    );
    assert_eq!(names(&replica.range(&range("a", ""))), ["a"]);
    assert_eq!(
        names(&replica.range(&range("a\0", "aa"))),
        ["a\0", "a\0\u{1}", "a\0b"]
    );
}

#[tokio::test]
async fn count_ignores_limit_and_filters_and_more_needs_a_limit() {
    let replica = three_keys().await;

    let limited = replica.range(&Range { limit: 2, ..all() });
    let exact = replica.range(&Range { limit: 3, ..all() });
    let filtered = replica.range(&Range {
        min_mod_revision: 4,
        ..all()
    });
    let both = replica.range(&Range {
        min_mod_revision: 4,
        limit: 1,
        ..all()
    });

    assert_eq!(
        (names(&limited), limited.more, limited.count),
        (vec!["a", "b"], true, 3)
    );
    assert_eq!((exact.kvs.len(), exact.more, exact.count), (3, false, 3));
    assert_eq!(
        (names(&filtered), filtered.more, filtered.count),
        (vec!["a", "b"], false, 3)
    );
    assert_eq!((names(&both), both.more, both.count), (vec!["a"], true, 3));
}

#[tokio::test]
async fn keys_only_leaves_out_the_values_and_nothing_else() {
    let replica = three_keys().await;
    let by_value = Range {
        sort_target: SortTarget::Value,
        ..all()
    };

    for wanted in [all(), by_value] {
        let mut whole = replica.range(&wanted).kvs;
        let bare = replica
            .range(&Range {
                keys_only: true,
                ..wanted
            })
            .kvs;

        assert!(whole.iter().all(|kv| !kv.value.is_empty()));
        whole.iter_mut().for_each(|kv| kv.value.clear());
        assert_eq!(bare, whole);
    }
}

#[tokio::test]
async fn count_only_answers_no_keys() {
    let replica = three_keys().await;

    let counted = replica.range(&Range {
        count_only: true,
        limit: 1,
        ..all()
    });

    assert_eq!(
        (counted.kvs.len(), counted.more, counted.count),
        (0, false, 3)
    );
}

#[tokio::test]
async fn every_target_sorts_both_ways() {
    let replica = three_keys().await;

    for (sort_target, ascending) in [
        (SortTarget::Key, ["a", "b", "c"]),
        (SortTarget::Version, ["b", "c", "a"]),
        (SortTarget::Create, ["c", "a", "b"]),
        (SortTarget::Mod, ["c", "b", "a"]),
        (SortTarget::Value, ["a", "c", "b"]),
    ] {
        let sorted = |sort_order| {
            replica.range(&Range {
                sort_order,
                sort_target,
                ..all()
            })
        };
        assert_eq!(
            names(&sorted(SortOrder::Ascend)),
            ascending,
            "{sort_target:?}"
        );
        assert_eq!(
            names(&sorted(SortOrder::None)),
            ascending,
            "{sort_target:?}"
        );
        if sort_target != SortTarget::Version {
            let descending: Vec<_> = ascending.into_iter().rev().collect();
            assert_eq!(
                names(&sorted(SortOrder::Descend)),
                descending,
                "{sort_target:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_limit_cuts_after_sorting() {
    let replica = three_keys().await;
    let newest = Range {
        sort_order: SortOrder::Descend,
        sort_target: SortTarget::Create,
        limit: 1,
        ..all()
    };

    let found = replica.range(&newest);

    assert_eq!((names(&found), found.more), (vec!["b"], true));
}

#[tokio::test]
async fn filters_bound_mod_and_create_revisions_on_both_sides() {
    let replica = three_keys().await;
    // Create revisions: c 2, a 3, b 4. Mod revisions: c 2, b 4, a 5.

    for (wanted, expected) in [
        (
            Range {
                min_mod_revision: 4,
                max_mod_revision: 4,
                ..all()
            },
            vec!["b"],
        ),
        (
            Range {
                max_mod_revision: 4,
                ..all()
            },
            vec!["b", "c"],
        ),
        (
            Range {
                min_create_revision: 3,
                ..all()
            },
            vec!["a", "b"],
        ),
        (
            Range {
                max_create_revision: 3,
                ..all()
            },
            vec!["a", "c"],
        ),
        (
            Range {
                max_create_revision: 3,
                min_mod_revision: 3,
                ..all()
            },
            vec!["a"],
        ),
    ] {
        assert_eq!(names(&replica.range(&wanted)), expected, "{wanted:?}");
    }
}

#[tokio::test]
async fn an_older_revision_shows_the_store_as_it_was() {
    let mut replica = three_keys().await;
    replica.delete("a").await;
    let at = |revision| replica.range(&Range { revision, ..all() });

    assert_eq!(at(1).count, 0);
    assert_eq!(names(&at(2)), ["c"]);
    assert_eq!(names(&at(4)), ["a", "b", "c"]);
    assert_eq!(
        (&at(4).kvs[0].value[..], at(4).kvs[0].version),
        (&b"z"[..], 1)
    );
    assert_eq!(
        (&at(5).kvs[0].value[..], at(5).kvs[0].version),
        (&b"w"[..], 2)
    );
    assert_eq!(names(&at(6)), ["b", "c"]);
    assert_eq!(at(0), at(6));
    assert_eq!(at(-7), at(6));
}

#[tokio::test]
async fn a_future_revision_is_refused() {
    let replica = three_keys().await;

    let future = Range {
        revision: 6,
        ..range("a", "")
    };

    assert_eq!(replica.range_refusal(&future), KvError::FutureRevision);
}
