//! Each kind of wrong input: one line that names it and says what to do, and an exit code.

use std::net::{TcpListener, UdpSocket};

use crate::{
    process::run,
    service::{echo, serve, share},
};

/// Runs p2pd and checks that it ends with `code` and one line on stderr that has all of `parts`.
#[track_caller]
fn check(args: &[&str], vars: &[(&str, &str)], code: i32, parts: &[&str]) {
    let (status, stdout, stderr) = run(args, vars);
    assert_eq!(status, Some(code), "{stderr}");
    assert_eq!(stdout, "", "nothing was done");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in {stderr}");
    }
}

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn a_bad_ticket() {
    let (_share, good) = share(serve(echo), &[]);
    let cut = &good[..good.len() - 1];
    let newer = good.replacen("p2p1-", "p2p7-", 1);
    for (ticket, problem) in [("nonsense", "does not begin as one"), (cut, "cut"), (&newer, "version 7")] {
        let args = [&["connect", ticket], &LISTEN[..]].concat();
        check(&args, &[], 2, &["p2pd: ticket", problem, "expected"]);
    }
}

#[test]
fn a_target_that_is_no_address() {
    for target in ["8080", "ftp://127.0.0.1:8080", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"] {
        check(&["share", target], &[], 2, &[target, "expected tcp://HOST:PORT, like tcp://127.0.0.1:8080"]);
    }
}

#[test]
fn a_tcp_port_in_use() {
    let (_share, ticket) = share(serve(echo), &[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    check(&["connect", &ticket, "--listen", &addr], &[], 1, &[&addr, "another program", "--listen"]);

    let args = ["share", "tcp://127.0.0.1:1", "--port", "0", "--admin", &addr];
    check(&args, &[], 1, &[&addr, "another program", "--admin"]);
}

#[test]
fn a_udp_port_in_use() {
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["share", "tcp://127.0.0.1:1", "--admin", "off"];
    check(&[&args[..], &["--port", &port]].concat(), &[], 1, &[&port, "in use"]);
    check(&args, &[("P2P_LISTEN_PORT", &port)], 1, &[&port, "in use"]);
}

#[test]
fn an_admin_address_that_others_could_reach() {
    let args = ["share", "tcp://127.0.0.1:1", "--port", "0", "--admin", "0.0.0.0:8801"];
    check(&args, &[], 2, &["0.0.0.0:8801", "loopback"]);
}

#[test]
fn a_variable_that_cannot_be_read() {
    let vars = [("P2P_LISTEN_PORT", "eighty")];
    check(&["share", "tcp://127.0.0.1:1"], &vars, 2, &["P2P_LISTEN_PORT", "eighty", "expected"]);
}

#[test]
fn a_bad_key_file() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "too short").unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = key.to_str().unwrap();
    for args in [&["share", "tcp://127.0.0.1:1", "--port", "0", "--key-file", key][..], &["id", "--key-file", key]] {
        check(args, &[], 2, &[key, "64 hex digits"]);
    }
    assert_eq!(std::fs::read(key).unwrap(), b"too short", "it is never overwritten");
}

#[test]
fn a_ticket_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key").to_str().unwrap().to_owned();
    let (_share, ticket) = share(serve(echo), &["--key-file", &key]);
    let args = ["connect", &ticket, "--listen", "127.0.0.1:0", "--admin", "off", "--key-file", &key];
    let (status, _, stderr) = run(&args, &[]);
    assert_eq!(status, Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[cfg(feature = "p2p-simulator")]
#[test]
fn a_network_that_ends_with_the_process() {
    let vars = [("P2P_IMPLEMENTATION", "simulator")];
    let (_share, ticket) = share(serve(echo), &[]);
    check(&["share", "tcp://127.0.0.1:1"], &vars, 2, &["p2pd share", "simulator", "P2P_IMPLEMENTATION", "p2pd demo"]);
    check(&[&["connect", &ticket], &LISTEN[..]].concat(), &vars, 2, &["p2pd connect", "simulator"]);
}

#[test]
fn an_identity_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let home = [("HOME", folder.path().to_str().unwrap())];
    let (code, first, _) = run(&["id"], &home);
    assert_eq!((code, first.len()), (Some(0), 64), "{first}");
    assert_eq!(run(&["id"], &home).1, first);
}
