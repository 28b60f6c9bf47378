//! The page, in a real browser: it loads, it follows what happens, it says when the daemon is gone.

#[path = "../../../p2p-simulator/tests/viewer/browser.rs"]
#[allow(dead_code, reason = "the simulator's tests use more of it")]
mod browser;

use std::io::{Read, Write};

use self::browser::Browser;
use crate::{
    process::{P2pd, addr_in, run},
    service::{connect, echo, serve, share},
};

#[cfg(unix)]
#[test]
fn the_page_of_a_tunnel_server_follows_its_migration() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tokens, key) = (path("tokens"), path("key"));
    let args = [
        "tunnel",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--tokens",
        &tokens,
        "--key-file",
        &key,
        "--admin",
        "127.0.0.1:0",
    ];
    let server = P2pd::start_with(&args, &[("TUNNEL_ACCESS_TOKEN", "a-secret-for-registering")]);
    let Some(browser) = Browser::start() else { return };
    let admin = addr_in(&server.says("Watch it at")).to_string();
    browser.open_url(&format!("http://{admin}/"));
    browser.wait("document.querySelector('#phase').textContent.includes('Phase 1: everything over the tunnel')");
    let (code, ..) = run(&["migrate", "phase", "3", "--admin", &admin], &[]);
    assert_eq!(code, Some(0));
    browser.wait("document.querySelector('#phase').textContent.includes('Phase 3: existing clients move')");
    browser.wait("document.querySelectorAll('#routes tbody tr').length === 2");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_follows_a_peer_that_comes_and_goes_and_says_when_the_daemon_is_gone() {
    let (mut share, ticket) = share(serve(echo), &["--name", "echo"]);
    let Some(browser) = Browser::start() else { return };
    browser.open_url(&format!("http://{}/", addr_in(&share.says("Watch it at"))));
    browser.wait("document.querySelector('#health').textContent === 'ready'");
    browser.wait("!document.querySelector('#no-peers').hidden");
    assert_eq!(browser.run("return document.querySelector('#rules tbody th').textContent"), "echo");

    let (connect, addr) = connect(&ticket);
    browser.wait("document.querySelectorAll('#graph [data-peer]').length === 1");
    browser.wait("document.querySelector('#peers tbody .direct')?.textContent === 'direct'");
    // What moves moves while the stream is open.
    let mut tcp = std::net::TcpStream::connect(addr).unwrap();
    tcp.write_all(&[1; 5000]).unwrap();
    tcp.read_exact(&mut [0; 5000]).unwrap();
    browser.wait("document.querySelector('#rules tbody').textContent.includes('4.9 KiB')");
    browser.wait("document.querySelectorAll('#traffic polyline').length === 2");
    browser.wait("document.querySelector('#events').textContent.includes('connected')");

    // By keyboard: the peer that is chosen in the graph is so in the table, also after the next second's figures.
    browser.type_on("#graph [data-peer]", "\u{e007}");
    browser.wait("document.querySelector('#peers tr.chosen') && document.activeElement.dataset.peer !== undefined");
    let before = browser.run("return document.querySelector('#who').textContent");
    browser.wait(&format!("document.querySelector('#who').textContent !== {before}"));
    browser.wait("document.querySelector('#peers tr.chosen') && document.activeElement.dataset.peer !== undefined");

    // One that leaves says so. One that dies may come back for as long as its connection waits for it.
    connect.signal("TERM");
    browser.wait("document.querySelectorAll('#graph [data-peer]').length === 0");
    browser.wait("document.querySelector('#events').textContent.includes('gone')");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    share.kill();
    browser.wait("!document.querySelector('#gone').hidden");
    let said = browser.run("return document.querySelector('#gone').textContent");
    assert!(said.as_str().unwrap().starts_with("p2pd does not answer since"), "{said}");
}
