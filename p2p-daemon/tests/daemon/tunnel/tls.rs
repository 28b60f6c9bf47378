//! A tunnel server behind a TLS front end, as its operator has it.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    ground::{App, Home},
    phases::{Folder, read, tunnel_server},
};
use crate::{
    process::{P2pd, addr_in},
    service::free_tcp_addr,
};

/// Passes what comes over TLS on to `to`. Its certificate for `localhost` is at that path.
async fn front(to: SocketAddr, certificate: &str) -> u16 {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(Path::new(certificate), cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![cert.der().clone()], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = tls.accept(tcp).await else { return };
                let Ok(mut server) = TcpStream::connect(to).await else { return };
                let _ = copy_bidirectional(&mut tls, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_and_a_gateway_reach_a_server_behind_tls_by_an_authority_of_its_own() {
    let folder = Folder::new();
    let (_home, home_addr) = Home::start().await;
    let listen = free_tcp_addr();
    let _server = tunnel_server(&folder, listen, &[]);
    let authority = folder.path("authority.pem");
    let tunnel = format!("wss://localhost:{}/ws", front(listen, &authority).await);
    let (home, key, token) = (format!("http://{home_addr}"), folder.path("sender.key"), folder.path("home.token"));
    let secret = [("TUNNEL_ACCESS_TOKEN", super::ground::SECRET)];

    // Nobody whom this system trusts vouches for it: the secret is not said.
    let send = ["tunnel", "send", &home, "--tunnel", &tunnel, "--client", "home", "--token-file", &token];
    let send = [&send[..], &["--key-file", &key, "--admin", "off"]].concat();
    let stranger = P2pd::start_with(&send, &secret);
    assert!(stranger.stderr.wait_for("certificate").is_some(), "{}", stranger.stderr.text());
    drop(stranger);
    assert!(std::fs::read_to_string(&token).unwrap_or_default().is_empty(), "nothing was registered");

    let by_authority = ["--tunnel-ca", &authority];
    let sender = P2pd::start_with(&[&send[..], &by_authority].concat(), &secret);
    sender.says("Connected to the tunnel server wss://localhost");
    let app = App::new(listen, &read(&token));
    app.get("/beside/the/front").await;

    let key = folder.path("gateway.key");
    let gateway = ["gateway", "--listen", "127.0.0.1:0", "--client", "home", "--key-file", &key, "--admin", "off"];
    let by_tunnel = ["--tunnel", &tunnel, "--token-file", &token];
    let gateway = P2pd::start(&[&gateway[..], &by_tunnel, &by_authority].concat());
    let app = App::new(addr_in(&gateway.says("The home home is at")), "whatever");
    app.get("/by/the/front").await;
    app.websocket().await.echoes("{\"over\":\"tls\"}").await;
}
