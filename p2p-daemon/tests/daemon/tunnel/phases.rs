//! From the tunnel to P2P and back, while an app runs.

use std::{net::SocketAddr, path::Path};

use tunnel_compat::socket::Message;

use super::ground::{App, Home, Operator, SECRET, until};
use crate::{
    process::P2pd,
    service::{free_tcp_addr, free_udp_port, ticket},
};

/// The paths of one test, as text.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// `p2pd tunnel serve` there, with what it kept before.
pub(super) fn tunnel_server(folder: &Folder, listen: SocketAddr, more: &[&str]) -> P2pd {
    let (listen, tokens, key) = (listen.to_string(), folder.path("tokens"), folder.path("server.key"));
    let args =
        ["tunnel", "serve", "--listen", &listen, "--tokens", &tokens, "--key-file", &key, "--admin", "127.0.0.1:0"];
    let server = P2pd::start_with(&[&args, more].concat(), &[("TUNNEL_ACCESS_TOKEN", SECRET)]);
    server.says("Ctrl-C ends it.");
    server
}

/// `p2pd tunnel send` to that tunnel server.
fn sender(folder: &Folder, home: SocketAddr, tunnel: SocketAddr) -> P2pd {
    let (home, tunnel) = (format!("http://{home}"), format!("ws://{tunnel}/ws"));
    let (token, key) = (folder.path("home.token"), folder.path("sender.key"));
    let args = ["tunnel", "send", &home, "--tunnel", &tunnel, "--client", "home", "--token-file", &token];
    let args = [&args[..], &["--key-file", &key, "--admin", "off", "--drain", "600"]].concat();
    let sender = P2pd::start_with(&args, &[("TUNNEL_ACCESS_TOKEN", SECRET)]);
    sender.says("Connected to the tunnel server");
    sender
}

/// `p2pd tunnel send` for a peer.
fn bridge(folder: &Folder, home: SocketAddr, allowed: &str, port: u16) -> P2pd {
    let (home, key, port) = (format!("http://{home}"), folder.path("home.key"), port.to_string());
    P2pd::start(&["tunnel", "send", &home, "--allow", allowed, "--key-file", &key, "--port", &port, "--admin", "off"])
}

fn peer(part: &P2pd) -> String {
    let line = part.says("This is peer ");
    line.trim_start_matches("This is peer ").trim_end_matches('.').to_owned()
}

pub(super) fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(path)).unwrap()
}

/// What makes the phases short, and a loss that the test makes no reason to go back.
const SHORT: [&str; 10] = [
    "--idle-after",
    "1s",
    "--move-over",
    "1s",
    "--fallback-after",
    "1s",
    "--tunnel-drain",
    "2s",
    "--errors-max",
    "100",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_changes_nothing_is_taken_off_the_tunnel_and_back_while_it_runs() {
    let folder = Folder::new();
    let (home, home_addr) = Home::start().await;
    let listen = free_tcp_addr();

    // Our tunnel server takes the legacy one's place; the home registers at it.
    let mut server = tunnel_server(&folder, listen, &[]);
    let mut sender_of_home = sender(&folder, home_addr, listen);
    let app = App::new(listen, &read(&folder.path("home.token")));
    app.get("/a?q=1").await;
    assert_eq!(app.ask("POST", "/b").await, (200, "POST /b".to_owned()));
    let operator = Operator::of(&server);
    assert_eq!((operator.routed("legacy"), operator.routed("p2p")), (2, 0));
    assert!(operator.migrate(&["status"]).contains("phase 1"));

    // The P2P route comes up beside it: the home lets the server in, the server is told where the home is.
    // The home's side ends at once when nothing is in flight, long before its drain; it comes back with the token it was given.
    sender_of_home.signal("TERM");
    assert!(sender_of_home.ends().success());
    let _sender_of_home = sender(&folder, home_addr, listen);
    let port = free_udp_port();
    let mut bridge_of_home = bridge(&folder, home_addr, &peer(&server), port);
    let at = format!("home={}", ticket(&bridge_of_home));
    server.signal("TERM");
    assert!(server.ends().success());
    let more = [&["--home", &at], &SHORT[..]].concat();
    let mut server = tunnel_server(&folder, listen, &more);
    let operator = Operator::of(&server);
    until("the home is back", async || app.ask("GET", "/").await.0 == 200).await;

    // Phase 1 compares, without using it.
    operator.migrate(&["shadow", "on"]);
    app.get("/shadowed").await;
    until("the answers were compared", async || operator.metric("migration_shadow_total{outcome=\"same\"}") == 1).await;
    operator.migrate(&["shadow", "off"]);
    assert_eq!(operator.routed("p2p"), 0);

    // What else shows it: the daemon's own status.
    let admin = operator.0.to_string();
    let (_, status, _) = crate::process::run(&["status", "--admin", &admin], &[]);
    assert!(status.contains("Migration phase 1") && status.contains("shadowed: 1 same"), "{status}");

    // Phase 2: who uses the tunnel stays there.
    let mut socket = app.websocket().await;
    socket.echoes("{\"in\":1}").await;
    assert!(operator.migrate(&["phase", "2"]).contains("phase 2"));
    app.get("/existing").await;
    assert_eq!((operator.routed("p2p"), operator.metric("migration_phase")), (0, 2));

    // Phase 3: it moves, and its open WebSocket stays where it is.
    operator.migrate(&["phase", "3"]);
    until("requests take P2P", async || {
        app.get("/moved").await;
        operator.routed("p2p") > 0
    })
    .await;
    socket.echoes("{\"in\":3}").await;

    // P2P is pulled away: each request is answered all the same.
    bridge_of_home.kill();
    let before = operator.metric("migration_fallbacks_total");
    for at in 0..8 {
        app.get(&format!("/without/{at}")).await;
    }
    assert!(operator.metric("migration_fallbacks_total") > before);
    socket.echoes("{\"without\":true}").await;
    assert_eq!(operator.metric("migration_phase"), 3);

    // It is back: requests take it again by themselves.
    let bridge_of_home = bridge(&folder, home_addr, &peer(&server), port);
    ticket(&bridge_of_home);
    let routed = operator.routed("p2p");
    until("P2P is taken again", async || {
        app.get("/again").await;
        operator.routed("p2p") > routed + 10
    })
    .await;

    // Phase 4: after its deadline the tunnel is refused, what was on it is closed with a reason and counted.
    operator.migrate(&["phase", "4"]);
    match socket.next().await {
        Some(Message::Close(close)) => assert!(close.reason.contains("tunnel"), "{close:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(operator.metric("migration_cut_total{kind=\"websocket\"}"), 1);
    assert!(operator.migrate(&["status"]).contains("the tunnel is refused"));
    let legacy = operator.routed("legacy");
    app.get("/p2p/only").await;
    let mut socket = app.websocket().await;
    socket.echoes("{\"in\":4}").await;
    assert_eq!(operator.routed("legacy"), legacy);

    // A restart changes nothing about that.
    server.signal("TERM");
    assert!(server.ends().success());
    let server = tunnel_server(&folder, listen, &more);
    let operator = Operator::of(&server);
    assert_eq!(operator.metric("migration_phase"), 4);
    app.get("/after/restart").await;
    assert_eq!((operator.routed("legacy"), operator.routed("p2p")), (0, 1));

    // And one command goes back.
    assert!(operator.migrate(&["rollback"]).contains("phase 1"));
    until("the home is back on the tunnel", async || app.ask("GET", "/back").await.0 == 200).await;
    assert!(operator.routed("legacy") > 0);
    assert!(home.requests() > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_its_app_from_a_tunnel_server_to_p2p() {
    let folder = Folder::new();
    let (_home, home_addr) = Home::start().await;
    let listen = free_tcp_addr();
    let _server = tunnel_server(&folder, listen, &[]);
    let _sender = sender(&folder, home_addr, listen);

    let (key, token, tunnel) = (folder.path("gateway.key"), folder.path("home.token"), format!("ws://{listen}"));
    let args = ["gateway", "--listen", "127.0.0.1:0", "--client", "home", "--key-file", &key, "--admin", "127.0.0.1:0"];
    let by_tunnel = ["--tunnel", &tunnel, "--token-file", &token];
    let mut gateway = P2pd::start(&[&args[..], &by_tunnel].concat());
    let at = crate::process::addr_in(&gateway.says("The home home is at"));
    App::new(at, "whatever").get("/by/tunnel").await;
    // With one way there is nothing to migrate, and whoever asks is told.
    let admin = Operator::of(&gateway).0.to_string();
    let (code, _, stderr) = crate::process::run(&["migrate", "status", "--admin", &admin], &[]);
    assert!(code == Some(1) && stderr.contains("nothing migrates here"), "{stderr}");

    let bridge = bridge(&folder, home_addr, &peer(&gateway), 0);
    let ticket = ticket(&bridge);
    gateway.signal("TERM");
    assert!(gateway.ends().success());
    let mut gateway = P2pd::start(&[&args[..], &by_tunnel, &["--home", &ticket], &SHORT].concat());
    let app = App::new(crate::process::addr_in(&gateway.says("The home home is at")), "whatever");
    let operator = Operator::of(&gateway);
    app.get("/phase/1").await;
    assert_eq!((operator.routed("legacy"), operator.routed("p2p")), (1, 0));
    operator.migrate(&["phase", "4"]);
    app.get("/phase/4").await;
    let mut socket = app.websocket().await;
    socket.echoes("{}").await;
    assert_eq!(operator.routed("p2p"), 2);
    gateway.signal("TERM");
    assert!(gateway.ends().success());

    // No central server is left.
    let gateway = P2pd::start(&[&args[..], &["--home", &ticket]].concat());
    let app = App::new(crate::process::addr_in(&gateway.says("The home home is at")), "whatever");
    app.get("/p2p").await;
    app.websocket().await.echoes("{}").await;
}
