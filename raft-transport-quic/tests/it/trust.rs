//! Certificates that are not good, shown by either side of a connection: the
//! node says no, to its log and to the other side, and names the certificate.

use std::time::{Duration, SystemTime};

use quinn::crypto::rustls::HandshakeData;
use raft_core::{Network, NodeId};
use raft_transport_quic::{DevAuthority, NodeCertificates, NodePem, QuicNetwork};
use rcgen::{
    CertificateRevocationListParams as Crl, CrlDistributionPoint, CrlIssuingDistributionPoint,
    Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use x509_parser::pem::Pem;

use crate::log::Log;
use crate::stranger::{Stranger, client, farewell};
use crate::support::{
    CLUSTER, GROUP, Node, RecordingInbox, at, authority, config_of, heartbeat, introduce, until,
};

const HOUR: Duration = Duration::from_secs(3600);

/// As logs write it.
pub(crate) fn serial(pem: &NodePem) -> String {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.certificate.as_bytes()).unwrap();
    let certificate = Pem::parse_x509(&block).unwrap();
    certificate
        .raw_serial()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A node that uses `ours` refuses whoever shows `theirs`, as the dialled and
/// as the dialler, each time with one line in the log.
async fn refuses(ours: NodeCertificates, theirs: &NodePem, why: &str) {
    for is_dialled in [true, false] {
        let (log, _guard) = Log::listen();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config =
            raft_transport_quic::QuicConfig::new(CLUSTER, NodeId::new(1), listen, ours.clone());
        let node = Node::start_with(config, RecordingInbox::default());
        let stranger = Stranger::new(Some(theirs));
        let heard = if is_dialled {
            stranger.farewell_of(node.address()).await
        } else {
            node.knows(&[(NodeId::new(2), stranger.address())]);
            stranger.farewell_of_dialler().await
        };

        let named = format!("(serial {})", serial(theirs));
        assert!(heard.contains(why) && heard.contains(&named), "{heard}");
        until("the refusal is logged", || {
            log.lines_with(&["WARN", "we refused the peer", why, &named])
                .len()
                == 1
        })
        .await;
        assert!(!node.is_connected(NodeId::new(2)));
    }
}

fn certificates(authority: &DevAuthority) -> NodeCertificates {
    authority
        .node(NodeId::new(1))
        .unwrap()
        .certificates()
        .unwrap()
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_on_both_sides() {
    let here = authority();
    let there = DevAuthority::from_pem("other", here.ca_pem(), here.ca_key_pem()).unwrap();
    let theirs = there.node(NodeId::new(2)).unwrap();

    refuses(
        certificates(&here),
        &theirs,
        "is not trusted by cluster test: expected a node of cluster test",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_that_names_this_node_itself_is_refused_on_both_sides() {
    let authority = authority();
    let theirs = authority.node(NodeId::new(1)).unwrap();

    refuses(certificates(&authority), &theirs, "was shown, expected").await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_both_sides() {
    let theirs = authority().node(NodeId::new(2)).unwrap();

    refuses(
        certificates(&authority()),
        &theirs,
        "signed by another authority",
    )
    .await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_both_sides() {
    let authority = authority();
    let now = SystemTime::now();
    let theirs = authority.node_valid(NodeId::new(2), now - 2 * HOUR, now - HOUR);

    refuses(certificates(&authority), &theirs.unwrap(), "it expired").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_yet_valid_is_refused_on_both_sides() {
    let authority = authority();
    let now = SystemTime::now();
    let theirs = authority.node_valid(NodeId::new(2), now + HOUR, now + 2 * HOUR);

    refuses(
        certificates(&authority),
        &theirs.unwrap(),
        "it is not valid before",
    )
    .await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_both_sides() {
    let authority = authority();
    let theirs = authority.node(NodeId::new(2)).unwrap();
    let list = authority.revoke(&[&theirs.certificate], None).unwrap();
    let ours = certificates(&authority).with_revoked(&list).unwrap();

    refuses(ours, &theirs, "it was revoked").await;
}

#[tokio::test]
async fn whoever_shows_no_certificate_is_refused() {
    let (log, _guard) = Log::listen();
    let node = Node::start(&authority(), 1);
    let stranger = Stranger::new(None);

    let heard = stranger.farewell_of(node.address()).await;

    assert!(heard.contains("no certificate"), "{heard}");
    let address = stranger.address().to_string();
    until("the refusal is logged", || {
        log.lines_with(&["WARN", "no certificate", &address]).len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_message_in_the_name_of_another_is_dropped_and_its_sender_named() {
    let (log, _guard) = Log::listen();
    let authority = authority();
    let one = Node::start(&authority, 1);
    let pem = authority.node(NodeId::new(2)).unwrap();
    let two = Node::start_with(config_of(CLUSTER, 2, &pem), RecordingInbox::default());
    introduce(&one, &two);
    two.reaches(&one, 1).await;

    let forged = heartbeat(NodeId::new(3), one.id, 7);
    two.network.send(one.id, vec![forged.clone()]);
    two.reaches(&one, 2).await;

    assert!(!one.inbox.messages().contains(&forged));
    let named = format!(
        "sent by n2 with the certificate of raft://test/2 (serial {})",
        serial(&pem)
    );
    let lines = log.lines_with(&["WARN", "in the name of n3", &named]);
    assert_eq!(lines.len(), 1, "{}", log.text());
}

#[tokio::test]
async fn a_node_does_not_start_with_a_certificate_that_is_revoked_or_not_yet_valid() {
    let authority = authority();
    let now = SystemTime::now();
    let early = authority.node_valid(NodeId::new(1), now + HOUR, now + 2 * HOUR);
    let out = authority.node(NodeId::new(1)).unwrap();
    let list = authority.revoke(&[&out.certificate], None).unwrap();
    let mut revoked = config_of(CLUSTER, 1, &out);
    revoked.certificates = revoked.certificates.with_revoked(&list).unwrap();

    let refusals = [
        (
            config_of(CLUSTER, 1, &early.unwrap()),
            "it is not valid before",
        ),
        (revoked, "it was revoked"),
    ];

    for (config, why) in refusals {
        let error = QuicNetwork::bind(config).err().unwrap();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(why), "{cause}");
    }
}

#[tokio::test]
async fn a_list_of_another_authority_or_damaged_stops_a_start_and_says_which_it_is() {
    let (ours, theirs) = (authority(), authority());
    let pem = theirs.node(NodeId::new(2)).unwrap();
    let foreign = theirs.revoke(&[&pem.certificate], None).unwrap();
    let mut config = config_of(CLUSTER, 1, &ours.node(NodeId::new(1)).unwrap());
    config.certificates = config.certificates.with_revoked(&foreign).unwrap();

    let error = QuicNetwork::bind(config).err().unwrap();

    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("signed by none of the authorities"),
        "{cause}"
    );
    assert!(cause.contains("raft development authority of"), "{cause}");
    let usable = certificates(&ours);
    for damaged in ["", "nothing", &foreign[..foreign.len() / 2]] {
        let error = usable.clone().with_revoked(damaged).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("list of revoked certificates"), "{text}");
    }
}

#[tokio::test]
async fn a_list_grows_and_keeps_what_was_revoked_before() {
    let authority = authority();
    let [first, second] = [2, 3].map(|node| authority.node(NodeId::new(node)).unwrap());
    let list = authority.revoke(&[&first.certificate], None).unwrap();
    let list = authority
        .revoke(&[&second.certificate], Some(&list))
        .unwrap();
    let ours = certificates(&authority).with_revoked(&list).unwrap();

    refuses(ours.clone(), &first, "it was revoked").await;
    refuses(ours, &second, "it was revoked").await;
}

#[test]
fn a_certificate_is_revoked_by_its_own_authority_only() {
    let pem = authority().node(NodeId::new(2)).unwrap();

    let error = authority().revoke(&[&pem.certificate], None).unwrap_err();

    let text = error.to_string();
    assert!(text.contains(&serial(&pem)), "{text}");
    assert!(text.contains("of another authority"), "{text}");
}

#[tokio::test]
async fn nothing_is_said_before_a_handshake_is_complete() {
    let authority = authority();
    let node = Node::start(&authority, 1);
    let pem = authority.node(NodeId::new(2)).unwrap();
    let mut eager = client(Some(&pem));
    eager.alpn_protocols = vec![b"raft-quic/1".to_vec()];
    eager.enable_early_data = true;
    let stranger = Stranger::with(eager, Some(&pem));
    node.network
        .set_peers(GROUP, vec![(NodeId::new(2), at(stranger.address()))]);

    for _ in 0..3 {
        let Err(connecting) = stranger.connecting(node.address()).into_0rtt() else {
            panic!("the node handed out what early data needs");
        };
        let connection = connecting.await.unwrap();
        let data = connection.handshake_data().unwrap();
        assert!(data.downcast::<HandshakeData>().is_ok());
        connection.close(0_u32.into(), b"enough");
        farewell(&connection).await;
    }
}

/// A list as other authorities may make it.
fn list_of(authority: &DevAuthority, out: &NodePem, change: fn(&mut Crl)) -> String {
    let key = KeyPair::from_pem(authority.ca_key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.ca_pem(), key).unwrap();
    let now = SystemTime::now();
    let (_, block) = x509_parser::pem::parse_x509_pem(out.certificate.as_bytes()).unwrap();
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from_slice(block.parse_x509().unwrap().raw_serial()),
        revocation_time: (now - HOUR).into(),
        reason_code: None,
        invalidity_date: None,
    };
    let mut list = Crl {
        this_update: (now - 2 * HOUR).into(),
        next_update: (now + HOUR).into(),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut list);
    list.signed_by(&issuer).unwrap().pem().unwrap()
}

#[tokio::test]
async fn a_list_that_should_have_been_replaced_still_counts_and_is_warned_about() {
    let authority = authority();
    let theirs = authority.node(NodeId::new(2)).unwrap();
    let overdue = list_of(&authority, &theirs, |list| {
        list.next_update = (SystemTime::now() - HOUR).into();
    });
    let ours = certificates(&authority).with_revoked(&overdue).unwrap();

    refuses(ours.clone(), &theirs, "it was revoked").await;

    let (log, _guard) = Log::listen();
    let mut config = config_of(CLUSTER, 1, &authority.node(NodeId::new(1)).unwrap());
    config.certificates = ours;
    let _node = Node::start_with(config, RecordingInbox::default());
    until("the operator is warned", || {
        !log.lines_with(&["list of revoked certificates should have been replaced"])
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_list_that_covers_only_a_part_stops_a_start() {
    let authority = authority();
    let theirs = authority.node(NodeId::new(2)).unwrap();
    let partial = list_of(&authority, &theirs, |list| {
        list.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec!["http://example.test/part".into()],
            },
            scope: None,
        });
    });
    let mut config = config_of(CLUSTER, 1, &authority.node(NodeId::new(1)).unwrap());
    config.certificates = config.certificates.with_revoked(&partial).unwrap();

    let error = QuicNetwork::bind(config).err().unwrap();

    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("a complete list of one authority is needed"),
        "{cause}"
    );
}
