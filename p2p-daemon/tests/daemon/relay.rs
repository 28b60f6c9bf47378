//! `p2pd relay`, and peers that use it.

use std::fs;

use crate::{
    process::{P2pd, addr_in, run},
    service::{echo, get, serve},
};

const ANY: [&str; 6] = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--quic", "127.0.0.1:0"];

/// What `/readyz` of a `p2pd share` says that has these variables, once there is a verdict about the relay.
fn readiness(vars: &[(&str, &str)], verdict: &str) -> String {
    let target = format!("tcp://{}", serve(echo));
    let share = P2pd::start_with(&["share", &target, "--port", "0", "--admin", "127.0.0.1:0"], vars);
    let admin = addr_in(&share.says("Watch it at"));
    let deadline = std::time::Instant::now() + crate::process::PATIENCE;
    loop {
        let said = String::from_utf8(get(admin, "/readyz").1).unwrap();
        if said.contains(verdict) {
            return said;
        }
        assert!(std::time::Instant::now() < deadline, "no {verdict:?} in {said}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_relay_lets_in_who_has_a_token_and_tells_others_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("tokens"), "# friends\nhush\n").unwrap();
    let (ca, tokens) = (path("ca.pem"), path("tokens"));
    let args = ["relay", "--self-signed", "127.0.0.1", "--ca-out", &ca, "--token-file", &tokens];
    let relay = P2pd::start(&[&args[..], &ANY].concat());
    let url = format!("https://{}", addr_in(&relay.says("listens on")));
    assert!(relay.says("P2P_RELAY_SERVERS=").contains(&url), "it says what to set");

    let vars = [("P2P_RELAY_SERVERS", url.as_str()), ("P2P_RELAY_CA_FILE", &ca)];
    let with_token = [&vars[..], &[("P2P_RELAY_TOKEN", "hush")]].concat();
    readiness(&with_token, "\"ready\": true");
    let wrong_token = [&vars[..], &[("P2P_RELAY_TOKEN", "loud")]].concat();
    readiness(&wrong_token, "wrong token");
    readiness(&vars, "asks for a token");
}

#[test]
fn a_relay_that_could_not_work_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("empty"), "").unwrap();
    let (ca, empty, nowhere) = (path("ca.pem"), path("empty"), path("nowhere"));
    for name in ["::1", "[2001:db8::1]"] {
        let (code, stdout, stderr) =
            run(&[&["relay", "--self-signed", name, "--ca-out", &ca, "--open"], &ANY[..]].concat(), &[]);
        assert!(code == Some(2) && stdout.is_empty(), "{stdout}{stderr}");
        assert!(stderr.contains("IPv6") && stderr.contains("host name"), "{stderr}");
        assert!(!std::path::Path::new(&ca).exists(), "nothing was made for it");
    }
    let made = ["relay", "--self-signed", "127.0.0.1", "--ca-out", &ca];
    for (more, parts) in [
        (&[][..], &["--token-file", "--open"][..]),
        (&["--token-file", &empty], &["no token", "empty"]),
        (&["--token-file", &nowhere], &["nowhere", "No such file"]),
        (&["--allow", "xyz"], &["xyz"]),
        (&["--open", "--certificate", &empty, "--key", &empty], &["--self-signed"]),
    ] {
        let (code, _, stderr) = run(&[&made[..], &ANY, more].concat(), &[]);
        assert_eq!(code, Some(2), "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "no {part:?} in {stderr}");
        }
    }
    let (code, _, stderr) =
        run(&[&["relay", "--open", "--certificate", &empty, "--key", &empty], &ANY[..]].concat(), &[]);
    assert!(code == Some(2) && stderr.contains("no certificate is in it"), "{stderr}");
}
