//! Tickets that are taken back.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    process::{PATIENCE, run},
    service::{connect, echo, serve, share},
};

fn echoes(tcp: &mut TcpStream) {
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(b"x").unwrap();
    tcp.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_revoked_ticket_ends_what_is_open_and_lets_nobody_in_and_the_next_start_has_another() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key").to_str().unwrap().to_owned();
    let service = serve(echo);
    let (first, ticket) = share(service, &["--key-file", &key]);
    let (_connect, addr) = connect(&ticket);
    let mut open = TcpStream::connect(addr).unwrap();
    echoes(&mut open);

    let (code, stdout, stderr) = run(&["ticket", "revoke", &ticket, "--key-file", &key], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("is revoked"), "{stdout}");
    // Broken off, and not by this test's own patience.
    let broken = open.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(broken, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{broken:?}");
    let args = ["connect", &ticket, "--listen", "127.0.0.1:0", "--admin", "off"];
    let (code, _, stderr) = run(&args, &[]);
    assert!(code == Some(1) && stderr.contains("no longer good"), "{stderr}");
    let line = first.stderr.wait_for("a ticket that was revoked");
    assert!(line.is_some(), "the operator is told why: {}", first.stderr.text());

    drop(first);
    let (_second, another) = share(service, &["--key-file", &key]);
    assert_ne!(another, ticket);
    echoes(&mut TcpStream::connect(connect(&another).1).unwrap());
    let mut old: p2p::Ticket = ticket.parse().unwrap();
    old.addr = another.parse::<p2p::Ticket>().unwrap().addr;
    let old = old.to_string();
    let (code, _, stderr) = run(&["connect", &old, "--listen", "127.0.0.1:0", "--admin", "off"], &[]);
    assert!(code == Some(1) && stderr.contains("no longer good"), "revoked for good: {stderr}");
}

#[test]
fn what_cannot_be_revoked_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (_share, ticket) = share(serve(echo), &["--key-file", &path("key")]);
    let bare = p2p::Ticket::new(ticket.parse::<p2p::Ticket>().unwrap().addr).to_string();
    assert_eq!(run(&["id", "--key-file", &path("other")], &[]).0, Some(0));
    for (what, key, part) in [
        (ticket.as_str(), "other", "not made with the key in"),
        (&bare, "key", "no right to anything"),
        ("nonsense", "key", "does not begin as one"),
        (&ticket, "nowhere", "nowhere"),
    ] {
        let (code, stdout, stderr) = run(&["ticket", "revoke", what, "--key-file", &path(key)], &[]);
        assert!(code != Some(0) && stdout.is_empty() && stderr.contains(part), "no {part:?} in {stderr}");
    }
    // By the id that stands in the log, though nobody has the ticket any more.
    let (code, stdout, stderr) = run(&["ticket", "revoke", "0123456789abcdef", "--key-file", &path("key")], &[]);
    assert!(code == Some(0) && stdout.contains("0123456789abcdef is revoked"), "{stderr}");
}
