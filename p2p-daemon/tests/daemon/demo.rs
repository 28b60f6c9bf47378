//! `p2pd demo` runs to its end with nothing set up, over each implementation that is built in.

use crate::process::run;

#[track_caller]
fn check(implementation: &str, steps: &[&str]) {
    let (code, stdout, stderr) = run(&["demo", "--file-mib", "2"], &[("P2P_IMPLEMENTATION", implementation)]);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert_eq!(stderr, "", "what there is to say is on stdout");
    for step in steps {
        assert!(stdout.contains(&format!("✔ {step} ")), "no {step} in\n{stdout}");
    }
    assert!(stdout.contains("the same on both sides"), "{stdout}");
    assert!(!stdout.contains('\x1b'), "no colours where there is no terminal:\n{stdout}");
}

#[cfg(feature = "p2p-iroh")]
#[test]
fn over_iroh_from_the_relay_to_a_direct_path() {
    check("iroh", &["relay", "service", "alice", "bob", "connect", "page", "file", "checksum"]);
}

#[cfg(feature = "p2p-simulator")]
#[test]
fn over_the_simulator() {
    check("simulator", &["network", "service", "alice", "bob", "connect", "page", "file", "checksum"]);
}

#[cfg(feature = "p2p-tunnel")]
#[test]
fn over_a_tunnel_server() {
    check("tunnel", &["network", "service", "alice", "bob", "connect", "page", "file", "checksum"]);
}

#[cfg(all(feature = "p2p-iroh", unix))]
#[test]
fn with_stay_it_prints_urls_that_answer_until_it_is_interrupted() {
    use crate::{
        admin::until,
        process::{P2pd, addr_in},
        service::get,
    };

    let mut demo = P2pd::start(&["demo", "--file-mib", "1", "--stay"]);
    let page = get(addr_in(&demo.says("page      http://")), "/").1;
    assert!(String::from_utf8_lossy(&page).contains("Hello from Alice"));
    assert_eq!(get(addr_in(&demo.says("/metrics")), "/readyz").0, "HTTP/1.1 200 OK");
    // By the relay at first, and soon directly.
    until(addr_in(&demo.says("bob       http://")), |metrics| metrics.contains("p2p_connections{path=\"direct\"} 1"));
    demo.signal("INT");
    assert_eq!(demo.ends().code(), Some(0), "{}", demo.stderr.text());
}
