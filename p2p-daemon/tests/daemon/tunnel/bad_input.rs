//! What an operator may get wrong: each says what was wrong and what to do, and changes nothing.

use crate::process::run;

#[track_caller]
fn refused(args: &[&str], vars: &[(&str, &str)], code: i32, parts: &[&str]) {
    let (ended, _, stderr) = run(args, vars);
    assert_eq!(ended, Some(code), "{args:?}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{args:?}: no {part:?} in {stderr}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tokens, token, empty) = (path("tokens"), path("token"), path("empty"));
    std::fs::write(&empty, "\n").unwrap();
    let serve = ["tunnel", "serve", "--listen", "127.0.0.1:0", "--tokens", &tokens, "--admin", "off"];
    refused(&serve, &[], 2, &["no secret", "--secret-file", "TUNNEL_ACCESS_TOKEN"]);
    refused(&serve, &[("TUNNEL_ACCESS_TOKEN", "short")], 2, &["5 characters", "at least 16"]);
    refused(&[&serve[..], &["--home", "home"]].concat(), &[], 2, &["CLIENT=TICKET"]);
    refused(&[&serve[..], &["--home", "a b=p2p1-x"]].concat(), &[], 2, &["visible ASCII"]);
    refused(&[&serve[..], &["--errors-max", "101"]].concat(), &[], 2, &["from 0 to 100"]);
    let admin = ["tunnel", "serve", "--listen", "127.0.0.1:0", "--tokens", &tokens, "--admin", "0.0.0.0:0"];
    let secret = [("TUNNEL_ACCESS_TOKEN", "a-secret-for-registering")];
    refused(&admin, &secret, 2, &["without a token", "P2PD_ADMIN_TOKEN"]);

    refused(&["tunnel", "send", "http://127.0.0.1:9"], &[], 2, &["--tunnel", "--allow"]);
    refused(&["tunnel", "send", "127.0.0.1:9"], &[], 2, &["http://HOST:PORT"]);
    let send = ["tunnel", "send", "http://127.0.0.1:9", "--client", "home", "--token-file", &token, "--admin", "off"];
    refused(&[&send[..], &["--tunnel", "ftp://x"]].concat(), &[], 2, &["wss://HOST"]);
    refused(
        &[&send[..], &["--tunnel", "ws://127.0.0.1:9"]].concat(),
        &[],
        2,
        &["not registered", "TUNNEL_ACCESS_TOKEN"],
    );
    let with_ca = [&send[..], &["--tunnel", "ws://127.0.0.1:9", "--tunnel-ca", &empty]].concat();
    refused(&with_ca, &[], 2, &["--tunnel-ca", "wss://"]);
    let no_ca = [&send[..], &["--tunnel", "wss://127.0.0.1:9", "--tunnel-ca", &empty]].concat();
    refused(&no_ca, &[], 2, &["there is none"]);

    let gateway = ["gateway", "--client", "home", "--admin", "off"];
    refused(&gateway, &[], 2, &["--tunnel <URL>"]);
    let open =
        [&gateway[..], &["--tunnel", "ws://127.0.0.1:9", "--token-file", &empty, "--listen", "0.0.0.0:0"]].concat();
    refused(&open, &[], 2, &["lets in whoever can connect", "loopback"]);
    let no_token = [&gateway[..], &["--tunnel", "ws://127.0.0.1:9", "--token-file", &empty, "--listen", "127.0.0.1:0"]];
    refused(&no_token.concat(), &[], 2, &["no access token"]);
}

#[test]
fn a_phase_that_does_not_exist_and_a_share_outside_100_are_named() {
    refused(&["migrate", "phase", "5"], &[], 2, &["5", "1, 2, 3 or 4"]);
    refused(&["migrate", "percent", "101"], &[], 2, &["101", "from 0 to 100"]);
    refused(&["migrate", "shadow", "maybe"], &[], 2, &["maybe", "on, off"]);
    refused(&["migrate", "allow", "a b"], &[], 2, &["visible ASCII"]);
    let nobody = crate::service::free_tcp_addr().to_string();
    refused(&["migrate", "status", "--admin", &nobody], &[], 1, &["no answer", &nobody]);
}

#[test]
fn legacy_tokens_are_taken_all_or_none_and_ended_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tokens, table) = (path("tokens"), path("table.csv"));
    let import = ["tunnel", "import", "--tokens", &tokens, "--kind", "access", &table];
    std::fs::write(&table, format!("{},home,\nnonsense\n", "a".repeat(64))).unwrap();
    refused(&import, &[], 2, &["table.csv:2", "HASH,CLIENT,SECONDS"]);
    assert!(!folder.path().join("tokens").exists());

    std::fs::write(&table, format!("{},home,\n{},home,4000000000.5\n", "a".repeat(64), "b".repeat(64))).unwrap();
    let (code, stdout, _) = run(&import, &[]);
    assert!(code == Some(0) && stdout.contains("2 tokens"), "{stdout}");
    let (code, stdout, _) = run(&["tunnel", "revoke", "--tokens", &tokens, "home"], &[]);
    assert!(code == Some(0) && stdout.contains("2 tokens of home"), "{stdout}");
}
