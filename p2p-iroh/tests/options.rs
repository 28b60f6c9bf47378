//! Choices of an endpoint that need a feature: key exchange against quantum computers, and logs of packets. Run by
//! `cargo test -p p2p-iroh --features tls-aws-lc-rs,qlog --test options`.
#![cfg(any(feature = "tls-aws-lc-rs", feature = "qlog"))]

mod common;

use common::{bind, connect, exchange, listen, loopback};

#[cfg(feature = "tls-aws-lc-rs")]
mod key_exchange {
    use common::impatient;
    use p2p::{P2PError, P2PProvider};
    use p2p_iroh::{IrohConfig, KeyExchange};

    use super::*;

    fn agreeing_by(exchange: KeyExchange) -> IrohConfig {
        loopback().with_key_exchange(exchange)
    }

    // Only the post-quantum group is offered and only it is accepted: with any other there is no connection.
    #[tokio::test]
    async fn peers_that_accept_nothing_but_post_quantum_keys_connect() {
        let ours = bind(agreeing_by(KeyExchange::OnlyPostQuantum)).await;
        let theirs = bind(agreeing_by(KeyExchange::OnlyPostQuantum)).await;
        let listener = listen(&theirs).await;
        let (near, far) = connect(&ours, &*listener).await;
        exchange(&*near, &*far).await;
    }

    #[tokio::test]
    async fn a_peer_that_prefers_post_quantum_keys_meets_one_that_has_none_in_either_direction() {
        let prefers = bind(agreeing_by(KeyExchange::PreferPostQuantum)).await;
        // Without the other library's groups, as in a build without the feature.
        let classical = bind(agreeing_by(KeyExchange::Classical)).await;
        for (dials, answers) in [(&prefers, &classical), (&classical, &prefers)] {
            let listener = listen(answers).await;
            let (near, far) = connect(dials, &*listener).await;
            exchange(&*near, &*far).await;
        }
    }

    #[tokio::test]
    async fn a_peer_without_post_quantum_keys_is_refused_by_one_that_accepts_nothing_else() {
        let strict = bind(agreeing_by(KeyExchange::OnlyPostQuantum)).await;
        let classical = bind(agreeing_by(KeyExchange::Classical)).await;
        let listener = listen(&strict).await;
        let error = classical.connect_with(listener.local_addr(), impatient()).await.map(drop).unwrap_err();
        let told = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        assert!(matches!(error, P2PError::ConnectionFailed { .. }), "{error:?}");
        assert!(told.contains("handshake"), "{told}");
    }
}

#[cfg(feature = "qlog")]
mod qlog {
    use super::*;

    // Both ends of a connection write, each into its own directory, and what is in there is a qlog: JSON records of which
    // the first names the format, and among the others are packets.
    #[tokio::test]
    async fn a_connection_leaves_a_log_of_its_packets_at_either_end() {
        let (near_dir, far_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = bind(loopback().with_qlog_dir(near_dir.path())).await;
        let theirs = bind(loopback().with_qlog_dir(far_dir.path())).await;
        let listener = listen(&theirs).await;
        let (near, far) = connect(&ours, &*listener).await;
        exchange(&*near, &*far).await;
        near.close(0.into(), "");
        far.closed().await;
        // The logs are whole when nothing holds the connections any more.
        drop((near, far, listener));
        p2p::P2PProvider::shutdown(&*ours, common::DEADLINE).await;
        p2p::P2PProvider::shutdown(&*theirs, common::DEADLINE).await;
        for directory in [near_dir, far_dir] {
            let logs: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|log| log.unwrap().path()).collect();
            assert_eq!(logs.len(), 1, "{logs:?}");
            let text = std::fs::read_to_string(&logs[0]).unwrap();
            // RFC 7464: a record separator before each.
            let records: Vec<serde_json::Value> = text
                .split('\x1e')
                .filter(|record| !record.trim().is_empty())
                .map(|record| serde_json::from_str(record).expect("a whole record"))
                .collect();
            assert!(records[0].to_string().contains("qlog"), "{}", records[0]);
            for event in ["packet_sent", "packet_received"] {
                assert!(records.iter().any(|record| record["name"].as_str().is_some_and(|name| name.ends_with(event))));
            }
        }
    }
}
