//! What other commands learn of a running daemon, and of the way to a peer.

use serde_json::Value;

use crate::{
    process::{P2pd, addr_in, run},
    service::{connect, echo, free_tcp_addr, serve, share},
};

fn admin(side: &P2pd) -> String {
    addr_in(&side.says("Watch it at")).to_string()
}

#[test]
fn status_shows_rules_and_peers_as_a_table_and_as_json() {
    let (share, ticket) = share(serve(echo), &["--name", "echo"]);
    let (connect, _) = connect(&ticket);
    for (side, rule) in [(&share, "share echo"), (&connect, "connect echo")] {
        let (code, stdout, stderr) = run(&["status", "--admin", &admin(side)], &[]);
        assert_eq!(code, Some(0), "{stderr}");
        for part in [rule, ", ready, up for", "connected", "direct", "TOTAL", "RTT"] {
            assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
        }
        assert!(!stdout.contains('\x1b'), "no colours where there is no terminal:\n{stdout}");
    }
    // The variable that `p2pd up` takes is as good.
    let (code, stdout, _) = run(&["status", "--json"], &[("P2PD_ADMIN", &admin(&share))]);
    assert_eq!(code, Some(0));
    let status: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(status["rules"][0]["name"], "echo");
    assert_eq!(status["ready"], true);
}

#[test]
fn status_that_watches_shows_a_peer_come_and_the_daemon_go() {
    let (mut share, ticket) = share(serve(echo), &["--name", "echo"]);
    let watch = ["status", "--watch", "--period", "0.05", "--admin", &admin(&share)];
    let mut watch = P2pd::start(&watch);
    watch.says("No peer is connected.");
    let (connect, _) = connect(&ticket);
    watch.says("peer connected");
    watch.says("connected  direct");
    drop(connect);
    share.kill();
    watch.says("no answer from p2pd at");
    watch.signal("INT");
    assert_eq!(watch.ends().code(), Some(0));
}

#[test]
fn status_asks_by_a_socket_and_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("admin.sock").display());
    let target = format!("tcp://{}", serve(echo));
    let token = [("P2PD_ADMIN_TOKEN", "hush")];
    let share = P2pd::start_with(&["share", &target, "--port", "0", "--admin", &socket], &token);
    share.says("Watch it at unix:");
    let (code, _, stderr) = run(&["status", "--admin", &socket], &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("asks for a token") && stderr.contains("P2PD_ADMIN_TOKEN"), "{stderr}");
    let (code, stdout, stderr) = run(&["status", "--admin", &socket], &token);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("share default"), "{stdout}");
}

#[test]
fn status_of_a_daemon_that_is_not_there_says_where_it_looked() {
    let nobody = free_tcp_addr().to_string();
    let (code, stdout, stderr) = run(&["status", "--admin", &nobody], &[]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(&nobody) && stderr.contains("Does p2pd run?"), "{stderr}");
    let (code, _, stderr) = run(&["status", "--admin", "off"], &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("turned off"), "{stderr}");
    // Another server is no daemon.
    let other = serve(crate::service::http(b"hello")).to_string();
    let (code, _, stderr) = run(&["status", "--admin", &other], &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no p2pd"), "{stderr}");
}

#[test]
fn ping_says_round_trips_path_and_loss() {
    let (_share, ticket) = share(serve(echo), &[]);
    let (code, stdout, stderr) = run(&["ping", &ticket, "--count", "3", "--interval", "0.01"], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr, "", "what there is to say is on stdout");
    for part in ["   1  ", "   3  ", "direct", "3 round trips: min ", "packets sent were lost"] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    let args = ["ping", &ticket, "--count", "2", "--interval", "0", "--json"];
    let pinged: Value = serde_json::from_str(&run(&args, &[]).1).unwrap();
    assert_eq!(pinged["answers"], 2);
    assert!(pinged["rtt_seconds"]["min"].as_f64().unwrap() > 0.0, "{pinged}");
    assert!(pinged["packets_sent"].as_u64().unwrap() > 0, "{pinged}");
}

#[test]
fn bench_says_throughput_both_ways_and_keeps_to_the_rules_bandwidth() {
    let (share, ticket) = share(serve(echo), &["--bandwidth", "2 MB/s"]);
    let (code, stdout, stderr) = run(&["bench", &ticket, "--seconds", "1", "--json"], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    let bench: Value = serde_json::from_str(&stdout).unwrap();
    for direction in ["up", "down"] {
        let rate = bench[direction]["bytes_per_second"].as_f64().unwrap();
        // A throttle lets a burst through at first, and buffers take what is sent before it is paced.
        assert!(rate > 10_000.0 && rate < 20e6, "{direction}: {rate}");
        assert!(bench[direction]["bytes"].as_u64().unwrap() > 0);
    }
    assert!(bench["rtt_seconds"]["median"].as_f64().unwrap() > 0.0);
    let (_, text, _) = run(&["bench", &ticket, "--seconds", "0.2"], &[]);
    for part in ["latency    min", "up         ", "down       ", "path       direct"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let status: Value = serde_json::from_str(&run(&["status", "--json", "--admin", &admin(&share)], &[]).1).unwrap();
    let counters = &status["rules"][0]["counters"];
    assert_eq!((&counters["errors"], &counters["bytes_in"]), (&0.into(), &0.into()), "nothing was forwarded");
}

#[test]
fn who_may_not_use_a_service_may_not_measure_it() {
    let (_share, ticket) = share(serve(echo), &["--name", "echo"]);
    // A ticket without its token names the peer alone.
    let bare: p2p::Ticket = ticket.parse().unwrap();
    let bare = p2p::Ticket::new(bare.addr).to_string();
    let (code, _, stderr) = run(&["ping", &bare, "--service", "echo"], &[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("p2pd: ")).count(), 1, "{stderr}");
    let (code, _, stderr) = run(&["ping", "nobody"], &[]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("\"nobody\" is nobody's name"), "{stderr}");
}

#[test]
fn the_doctor_reports_as_text_and_as_json() {
    let (code, text, stderr) = run(&["doctor", "--within", "5"], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    for part in ["sockets ", "nat ", "No relay is configured"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let report: Value = serde_json::from_str(&run(&["doctor", "--json", "--within", "5"], &[]).1).unwrap();
    assert!(report["sockets"][0].as_str().unwrap().contains(':'), "{report}");
    assert_eq!(report["nat"], "unknown");
}
