//! What a node measures of its peers, as Prometheus reads it.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use raft_core::{Network as _, NodeId};

use crate::alone::is_alone;
use crate::stranger::Stranger;
use crate::support::{Node, RecordingInbox, append, authority, config, introduce, until};

/// The value of a sample whose name and labels begin a line so.
fn value(metrics: &PrometheusHandle, name: &str, labels: &[&str]) -> Option<f64> {
    let text = metrics.render();
    let mut found = text.lines().filter(|line| {
        let (sample, _) = line.rsplit_once(' ').unwrap_or_default();
        let (metric, rest) = sample.split_once('{').unwrap_or((sample, ""));
        metric == name && labels.iter().all(|label| rest.contains(label))
    });
    found.next()?.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn peers_connections_and_refusals_are_measured_and_strangers_add_no_labels() {
    if !is_alone("metrics::peers_connections_and_refusals_are_measured_and_strangers_add_no_labels")
    {
        return;
    }
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let authority = authority();
    let revoked = authority.node(NodeId::new(7)).unwrap();
    let list = authority.revoke(&[&revoked.certificate], None).unwrap();
    let mut ours = config(&authority, 1);
    ours.certificates = ours.certificates.with_revoked(&list).unwrap();
    let one = Node::start_with(ours, RecordingInbox::default());
    let two = Node::start(&authority, 2);
    introduce(&one, &two);
    one.reaches(&two, 1).await;
    one.network
        .send(two.id, vec![append(one.id, two.id, 1, 1000)]);

    let to_two = "peer=\"2\"";
    let sent = |class| {
        let labels = ["direction=\"sent\"", class, to_two];
        value(&metrics, "raft_transport_bytes_total", &labels).unwrap_or_default()
    };
    until("both classes are counted", || {
        sent("class=\"control\"") > 0.0 && sent("class=\"append\"") > 1000.0
    })
    .await;
    let of_two = |name| value(&metrics, name, &[to_two]);
    until("the path is measured", || {
        of_two("raft_transport_packets_sent_total") > Some(0.0)
    })
    .await;
    assert!(of_two("raft_transport_peer_connections") >= Some(1.0));
    let rtt = of_two("raft_transport_rtt_seconds").unwrap();
    assert!(rtt > 0.0 && rtt < 1.0, "{rtt}");
    assert_eq!(of_two("raft_transport_packets_lost_total"), Some(0.0));
    let received = ["direction=\"received\"", "class=\"append\"", "peer=\"1\""];
    // What is sent is counted before it arrives.
    until("the other side counts it", || {
        value(&metrics, "raft_transport_frames_total", &received) >= Some(1.0)
    })
    .await;

    let year = 365.0 * 24.0 * 3600.0;
    let expiry = value(&metrics, "raft_transport_certificate_expiry_seconds", &[]).unwrap();
    assert!(expiry > year - 3600.0 && expiry <= year, "{expiry}");
    let out = value(&metrics, "raft_transport_revoked_certificates", &[]);
    assert!(out.is_some());

    let stranger = Stranger::new(Some(&revoked));
    stranger.farewell_of(one.address()).await;
    Stranger::new(None).farewell_of(one.address()).await;
    for reason in ["reason=\"revoked\"", "reason=\"no_certificate\""] {
        let labels = ["direction=\"incoming\"", reason];
        let name = "raft_transport_handshake_failures_total";
        until("the refusal is counted", || {
            value(&metrics, name, &labels) == Some(1.0)
        })
        .await;
    }
    assert!(!metrics.render().contains("peer=\"7\""));
    let unknown = Node::start(&authority, 9);
    unknown.knows(&[(one.id, one.address())]);
    for reason in ["reason=\"not_a_peer\"", "reason=\"refused_by_peer\""] {
        let name = "raft_transport_handshake_failures_total";
        until("both sides count it", || {
            value(&metrics, name, &[reason]) >= Some(1.0)
        })
        .await;
    }

    two.network.shutdown().await;
    until("the connection is gone from the gauge", || {
        of_two("raft_transport_peer_connections") == Some(0.0)
    })
    .await;
    for node in [one, unknown] {
        node.network.shutdown().await;
    }
    until("no connection is in the gauge of all", || {
        value(&metrics, "raft_transport_connections", &[]) == Some(0.0)
    })
    .await;
}
