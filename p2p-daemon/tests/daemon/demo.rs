//! `p2pd demo` runs to its end with nothing set up, over each implementation that is built in.

use crate::process::run;

/// Steps that `p2pd demo` takes over each implementation: a forward, a failure in the middle of a download, what is seen.
const STEPS: [&str; 16] = [
    "service", "alice", "bob", "connect", "page", "file", "checksum", "failure", "repair", "recovery", "gap", "file",
    "checksum", "page", "status", "metrics",
];

/// Runs the tour, in which `steps` come besides, and `failure` happens, and returns what was said.
#[track_caller]
fn check(implementation: &str, steps: &[&str], failure: &str) -> String {
    let (code, stdout, stderr) = run(&["demo", "--file-mib", "2"], &[("P2P_IMPLEMENTATION", implementation)]);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert_eq!(stderr, "", "what there is to say is on stdout");
    assert!(!stdout.contains('\x1b'), "no colours where there is no terminal:\n{stdout}");
    let mut rest = stdout.as_str();
    for step in STEPS {
        let said = format!("✔ {step} ");
        rest = rest.split_once(&said).unwrap_or_else(|| panic!("no {step} in its place in\n{stdout}")).1;
    }
    for step in steps {
        assert!(stdout.contains(&format!("✔ {step} ")), "no {step} in\n{stdout}");
    }

    // Two downloads, of which the second lost its transport when less than half of it had come.
    assert_eq!(stdout.matches("the same on both sides").count(), 2, "{stdout}");
    let said = line(&stdout, "failure");
    assert!(said.contains(failure), "{stdout}");
    let (_, into) = said.rsplit_once(", ").unwrap();
    let mib: f64 = into.split_once(" of 2.0 MiB into the download").unwrap().0.parse().unwrap();
    assert!((0.4..1.2).contains(&mib), "{said}");
    // No byte can have come while there was nothing to carry it.
    let (gap, unit) = line(&stdout, "gap").split_once(' ').unwrap();
    let gap: f64 = gap.parse().unwrap();
    assert!(unit.starts_with("s ") && gap >= 1.0 || unit.starts_with("ms ") && gap >= 500.0, "{gap} {unit}");
    stdout
}

/// What is said of a step.
#[track_caller]
fn line<'a>(stdout: &'a str, step: &str) -> &'a str {
    let said = stdout.lines().find_map(|line| line.trim().strip_prefix(&format!("✔ {step}")));
    said.unwrap_or_else(|| panic!("no {step} in\n{stdout}")).trim()
}

#[cfg(feature = "p2p-iroh")]
#[test]
fn over_iroh_a_download_survives_its_relay() {
    let stdout = check("iroh", &["relay", "carol"], "the relay is killed");
    // Bob has a direct path, which has to be found first; then the relay's end is nothing to him.
    if stdout.contains("✔ path") {
        assert!(stdout.contains("notices nothing on his direct path"), "{stdout}");
    }
    assert!(line(&stdout, "metrics").contains("/metrics"), "{stdout}");
    assert!(stdout.contains("p2p_connections{path=\"relayed\"} 1"), "Carol has nothing but the relay:\n{stdout}");
}

#[cfg(feature = "p2p-simulator")]
#[test]
fn over_the_simulator_a_download_survives_a_cut() {
    check("simulator", &["network"], "the network is cut");
}

#[cfg(feature = "p2p-tunnel")]
#[test]
fn over_a_tunnel_server_a_download_survives_its_end() {
    let stdout = check("tunnel", &["server"], "the tunnel server is killed");
    assert!(line(&stdout, "recovery").contains("on a new connection underneath"), "{stdout}");
    assert!(stdout.contains("interrupted"), "the events tell of it:\n{stdout}");
}

#[cfg(all(feature = "p2p-iroh", unix))]
#[test]
fn with_stay_it_prints_urls_that_answer_until_it_is_interrupted() {
    use crate::{
        admin::{post, until},
        process::{P2pd, addr_in},
        service::get,
    };

    let mut demo = P2pd::start(&["demo", "--file-mib", "1", "--stay"]);
    let page = get(addr_in(&demo.says("page      http://")), "/").1;
    assert!(String::from_utf8_lossy(&page).contains("Hello from Alice"));
    assert_eq!(get(addr_in(&demo.says("/metrics")), "/readyz").0, "HTTP/1.1 200 OK");
    // By the relay at first, and soon directly.
    until(addr_in(&demo.says("bob       http://")), |metrics| metrics.contains("p2p_connections{path=\"direct\"} 1"));
    // Each says what is not there.
    for (path, part) in [("/drain", "cannot be drained"), ("/reload", "no configuration file")] {
        let (status, said) = post(addr_in(&demo.says("bob       http://")), path, "");
        assert!(status.contains("409") && said.contains(part), "{status} {said}");
    }
    demo.signal("INT");
    assert_eq!(demo.ends().code(), Some(0), "{}", demo.stderr.text());
}
