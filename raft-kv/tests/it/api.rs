//! The services as a client sees them, on a cluster of one.

use raft_kv::proto::etcdserverpb as pb;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::etcdserverpb::lease_client::LeaseClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{TestCluster, get, get_prefix, keys, put, values};

async fn single() -> (TestCluster, KvClient<Channel>) {
    let cluster = TestCluster::start(1).await;
    let client = cluster.kv(0).await;
    (cluster, client)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

fn invalid(text: &str) -> (Code, String) {
    (Code::InvalidArgument, format!("etcdserver: {text}"))
}

fn op(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

fn put_op(key: &str, value: &str) -> pb::RequestOp {
    op(pb::request_op::Request::RequestPut(put(key, value)))
}

fn get_op(key: &str) -> pb::RequestOp {
    op(pb::request_op::Request::RequestRange(get(key)))
}

fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: key.into(),
        ..pb::DeleteRangeRequest::default()
    }
}

fn value_is(key: &str, value: &str) -> pb::Compare {
    pb::Compare {
        key: key.into(),
        result: pb::compare::CompareResult::Equal.into(),
        target: pb::compare::CompareTarget::Value.into(),
        target_union: Some(pb::compare::TargetUnion::Value(value.into())),
        ..pb::Compare::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_full_header() {
    let (_cluster, mut client) = single().await;

    let empty = client.range(get("key")).await.unwrap().into_inner();
    let written = client.put(put("key", "value")).await.unwrap().into_inner();

    let before = empty.header.unwrap();
    let after = written.header.unwrap();
    assert_eq!((before.cluster_id, before.member_id), (42, 1));
    assert_eq!((before.revision, after.revision), (1, 2));
    assert!(after.raft_term > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_answers_what_was_there_before_if_asked() {
    let (_cluster, mut client) = single().await;
    let asking = |value: &str| pb::PutRequest {
        prev_kv: true,
        ..put("key", value)
    };

    let first = client.put(asking("one")).await.unwrap().into_inner();
    let second = client.put(asking("two")).await.unwrap().into_inner();

    assert_eq!(first.prev_kv, None);
    let previous = second.prev_kv.unwrap();
    assert_eq!(previous.value, b"one");
    assert_eq!((previous.version, previous.mod_revision), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn ignore_value_keeps_the_value_of_a_key_that_exists() {
    let (_cluster, mut client) = single().await;
    let touch = |value: &str| pb::PutRequest {
        ignore_value: true,
        ..put("key", value)
    };

    assert_eq!(
        refused(client.put(touch("")).await),
        invalid("key not found")
    );
    assert_eq!(
        refused(client.put(touch("x")).await),
        invalid("value is provided")
    );
    client.put(put("key", "value")).await.unwrap();
    client.put(touch("")).await.unwrap();

    let read = client.range(get("key")).await.unwrap().into_inner();
    assert_eq!(values(&read), ["value"]);
    assert_eq!(read.kvs[0].version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_read_whole_limited_counted_or_by_name() {
    let (_cluster, mut client) = single().await;
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        client.put(put(key, "value")).await.unwrap();
    }
    let prefix = || get_prefix("a/");

    let whole = client.range(prefix()).await.unwrap().into_inner();
    let limited = pb::RangeRequest {
        limit: 2,
        ..prefix()
    };
    let limited = client.range(limited).await.unwrap().into_inner();
    let counted = pb::RangeRequest {
        count_only: true,
        ..prefix()
    };
    let counted = client.range(counted).await.unwrap().into_inner();
    let named = pb::RangeRequest {
        keys_only: true,
        ..prefix()
    };
    let named = client.range(named).await.unwrap().into_inner();
    let backwards = pb::RangeRequest {
        sort_order: pb::range_request::SortOrder::Descend.into(),
        ..prefix()
    };
    let backwards = client.range(backwards).await.unwrap().into_inner();
    let everything = pb::RangeRequest {
        range_end: vec![0],
        serializable: true,
        ..get("a/3")
    };
    let everything = client.range(everything).await.unwrap().into_inner();

    assert_eq!(keys(&whole), ["a/1", "a/2", "a/3"]);
    assert_eq!((whole.more, whole.count), (false, 3));
    assert_eq!(keys(&limited), ["a/1", "a/2"]);
    assert_eq!((limited.more, limited.count), (true, 3));
    assert!(counted.kvs.is_empty());
    assert_eq!(counted.count, 3);
    assert_eq!(values(&named), ["", "", ""]);
    assert!(named.kvs.iter().all(|kv| kv.version == 1));
    assert_eq!(keys(&backwards), ["a/3", "a/2", "a/1"]);
    assert_eq!(keys(&everything), ["a/3", "b/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_revision_can_be_read_and_a_future_one_not() {
    let (_cluster, mut client) = single().await;
    client.put(put("key", "one")).await.unwrap();
    client.put(put("key", "two")).await.unwrap();
    let at = |revision| pb::RangeRequest {
        revision,
        ..get("key")
    };

    let old = client.range(at(2)).await.unwrap().into_inner();
    let future = refused(client.range(at(99)).await);

    assert_eq!(values(&old), ["one"]);
    let text = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(future, (Code::OutOfRange, text.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_counts_and_shows_what_it_deleted() {
    let (_cluster, mut client) = single().await;
    client.put(put("a/1", "one")).await.unwrap();
    client.put(put("a/2", "two")).await.unwrap();
    let both = pb::DeleteRangeRequest {
        range_end: get_prefix("a/").range_end,
        prev_kv: true,
        ..delete("a/")
    };

    let deleted = client
        .delete_range(both.clone())
        .await
        .unwrap()
        .into_inner();
    let nothing = client.delete_range(both).await.unwrap().into_inner();

    assert_eq!(deleted.deleted, 2);
    assert_eq!(deleted.prev_kvs[1].value, b"two");
    assert_eq!(nothing.deleted, 0);
    let (after, later) = (deleted.header.unwrap(), nothing.header.unwrap());
    assert_eq!(after.revision, later.revision, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_txn_does_the_branch_that_its_conditions_choose() {
    let (_cluster, mut client) = single().await;
    client.put(put("key", "one")).await.unwrap();
    let txn = pb::TxnRequest {
        compare: vec![value_is("key", "one")],
        success: vec![put_op("key", "two"), get_op("key")],
        failure: vec![get_op("key")],
    };

    let first = client.txn(txn.clone()).await.unwrap().into_inner();
    let second = client.txn(txn).await.unwrap().into_inner();

    assert!(first.succeeded);
    assert_eq!(first.responses.len(), 2);
    assert_eq!(first.header.unwrap().revision, 3);
    assert!(!second.succeeded);
    let response = second.responses[0].response.clone();
    let Some(pb::response_op::Response::ResponseRange(read)) = response else {
        panic!("a range is answered by a range");
    };
    assert_eq!(values(&read), ["two"]);
    assert_eq!(second.header.unwrap().revision, 3, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_txn_that_reads_sees_keys_without_writing_a_revision() {
    let (_cluster, mut client) = single().await;
    client.put(put("key", "value")).await.unwrap();
    let txn = pb::TxnRequest {
        compare: vec![value_is("missing", "x")],
        success: Vec::new(),
        failure: vec![get_op("key")],
    };

    let answer = client.txn(txn).await.unwrap().into_inner();

    assert!(!answer.succeeded);
    assert_eq!(answer.header.unwrap().revision, 2);
    assert_eq!(answer.responses.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_key_is_refused_wherever_it_stands() {
    let (_cluster, mut client) = single().await;
    let expected = invalid("key is not provided");
    let compare = pb::TxnRequest {
        compare: vec![value_is("", "x")],
        ..pb::TxnRequest::default()
    };
    let inside = pb::TxnRequest {
        failure: vec![put_op("", "x")],
        ..pb::TxnRequest::default()
    };

    assert_eq!(refused(client.range(get("")).await), expected);
    assert_eq!(refused(client.put(put("", "x")).await), expected);
    assert_eq!(refused(client.delete_range(delete("")).await), expected);
    assert_eq!(refused(client.txn(compare).await), expected);
    assert_eq!(refused(client.txn(inside).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_txn_that_cannot_be_done_is_refused_whole() {
    let (_cluster, mut client) = single().await;
    let twice = pb::TxnRequest {
        success: vec![put_op("key", "one"), put_op("key", "two")],
        ..pb::TxnRequest::default()
    };
    let long = pb::TxnRequest {
        success: (0..129).map(|n| put_op(&n.to_string(), "x")).collect(),
        ..pb::TxnRequest::default()
    };
    let empty = pb::TxnRequest {
        success: vec![pb::RequestOp { request: None }],
        ..pb::TxnRequest::default()
    };

    assert_eq!(
        refused(client.txn(twice).await),
        invalid("duplicate key given in txn request")
    );
    assert_eq!(
        refused(client.txn(long).await),
        invalid("too many operations in txn request")
    );
    assert_eq!(refused(client.txn(empty).await), invalid("key not found"));
    let read = client.range(get("key")).await.unwrap().into_inner();
    assert_eq!((read.count, read.header.unwrap().revision), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_allowed_is_refused() {
    let (_cluster, mut client) = single().await;
    let large = "x".repeat(3 << 19);

    let answer = client.put(put("key", &large)).await;

    assert_eq!(refused(answer), invalid("request is too large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sort_options_that_do_not_exist_are_refused() {
    let (_cluster, mut client) = single().await;
    let unsorted = pb::RangeRequest {
        sort_target: 7,
        ..get("key")
    };

    let answer = client.range(unsorted).await;

    assert_eq!(refused(answer), invalid("invalid sort option"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_unknown_because_none_can_be_granted_yet() {
    let (cluster, mut client) = single().await;
    let leased = pb::PutRequest {
        lease: 7,
        ..put("key", "value")
    };
    let mut leases = LeaseClient::new(cluster.channel(0).await);

    let answer = refused(client.put(leased).await);
    let grant = leases.lease_grant(pb::LeaseGrantRequest::default()).await;

    let text = "etcdserver: requested lease not found";
    assert_eq!(answer, (Code::NotFound, text.to_owned()));
    assert_eq!(refused(grant).0, Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_says_that_it_is_not_there_yet() {
    let (_cluster, mut client) = single().await;

    let (code, text) = refused(client.compact(pb::CompactionRequest::default()).await);

    assert_eq!(code, Code::Unimplemented);
    assert!(text.contains("compaction"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_how_far_the_member_is() {
    let (cluster, mut client) = single().await;
    client.put(put("key", "value")).await.unwrap();
    let mut maintenance = cluster.maintenance(0).await;

    let status = maintenance.status(pb::StatusRequest {}).await.unwrap();

    let status = status.into_inner();
    assert_eq!(status.leader, 1);
    assert_eq!(status.header.unwrap().revision, 2);
    assert!(status.raft_applied_index >= 2, "a blank entry and a put");
    assert!(status.raft_index >= status.raft_applied_index);
    assert!(status.raft_term > 0);
}
