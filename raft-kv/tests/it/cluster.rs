//! Three members: any of them serves, one may be missing, nothing is forgotten.

use std::time::{Duration, Instant};

use raft_kv::proto::etcdserverpb as pb;
use tonic::Code;

use crate::support::{TestCluster, get, put, values};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_any_member_is_read_on_every_other() {
    let cluster = TestCluster::start(3).await;

    for writer in 0..3 {
        let value = format!("written on {writer}");
        let mut client = cluster.kv(writer).await;
        client.put(put("key", &value)).await.unwrap();

        for reader in 0..3 {
            let mut client = cluster.kv(reader).await;
            let read = client.range(get("key")).await.unwrap().into_inner();
            assert_eq!(values(&read), [value.as_str()], "read on {reader}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_without_the_leader_and_reach_it_when_it_is_back() {
    let mut cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let mut client = cluster.kv(other).await;
    client.put(put("before", "1")).await.unwrap();

    cluster.stop(leader).await;
    client.put(put("meanwhile", "2")).await.unwrap();
    cluster.restart(leader).await;

    let mut returned = cluster.kv(leader).await;
    for (key, value) in [("before", "1"), ("meanwhile", "2")] {
        let read = returned.range(get(key)).await.unwrap().into_inner();
        assert_eq!(values(&read), [value]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_all_members_were_down() {
    let mut cluster = TestCluster::start(3).await;
    let mut client = cluster.kv(0).await;
    let mut last = None;
    for n in 0..20 {
        let written = client.put(put(&format!("key-{n}"), "value")).await.unwrap();
        last = written.into_inner().header;
    }
    drop(client);

    for place in 0..3 {
        cluster.stop(place).await;
    }
    for place in 0..3 {
        cluster.restart(place).await;
    }

    let last = last.expect("every answer has a header");
    for place in 0..3 {
        let mut client = cluster.kv(place).await;
        for n in 0..20 {
            let read = client
                .range(get(&format!("key-{n}")))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(values(&read), ["value"], "key-{n} on {place}");
            assert_eq!(read.header.unwrap().revision, last.revision);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_alone_refuses_writes_in_time_and_reads_what_it_has() {
    let mut cluster = TestCluster::start(3).await;
    let mut client = cluster.kv(0).await;
    client.put(put("key", "value")).await.unwrap();
    // A linearizable read: what was written is here now.
    client.range(get("key")).await.unwrap();

    cluster.stop(1).await;
    cluster.stop(2).await;
    let began = Instant::now();
    let refused = client.put(put("key", "other")).await.unwrap_err();

    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().starts_with("etcdserver: "), "{refused:?}");
    // Five seconds and an election, with room for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(10));
    let serializable = pb::RangeRequest {
        serializable: true,
        ..get("key")
    };
    let read = client.range(serializable).await.unwrap().into_inner();
    assert_eq!(values(&read), ["value"]);
    let health = crate::http::fetch(cluster.address(0), "/health").await;
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    assert!(health.contains(r#""health":"false""#), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_requires_a_leader_is_told_at_once_when_there_is_none() {
    let mut cluster = TestCluster::start(3).await;
    cluster.leader().await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    let mut maintenance = cluster.maintenance(0).await;
    let mut errors = Vec::new();
    while errors.is_empty() {
        let status = maintenance.status(pb::StatusRequest {}).await.unwrap();
        errors = status.into_inner().errors;
    }

    let mut request = tonic::Request::new(put("key", "value"));
    request
        .metadata_mut()
        .insert("hasleader", "true".parse().unwrap());
    let began = Instant::now();
    let refused = cluster.kv(0).await.put(request).await.unwrap_err();

    assert_eq!(refused.message(), "etcdserver: no leader");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(errors, ["etcdserver: no leader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_names_the_same_leader_and_lists_all_members() {
    let cluster = TestCluster::start(3).await;
    let leader = u64::try_from(cluster.leader().await).unwrap() + 1;

    for place in 0..3 {
        let mut maintenance = cluster.maintenance(place).await;
        let status = maintenance.status(pb::StatusRequest {}).await.unwrap();
        let status = status.into_inner();
        assert_eq!(status.leader, leader);
        assert_eq!(status.version, "3.5.16");
        assert!(!status.is_learner);
        assert!(status.errors.is_empty());

        let request = pb::MemberListRequest { linearizable: true };
        let list = cluster.members(place).await.member_list(request).await;
        let members = list.unwrap().into_inner().members;
        let seen: Vec<_> = members.iter().map(|m| (m.id, m.name.as_str())).collect();
        assert_eq!(seen, [(1, "node-1"), (2, "node-2"), (3, "node-3")]);
        let url = format!("http://{}", cluster.address(place));
        assert_eq!(members[place].client_urls, [url]);
    }
}
