//! What the program tells systemd, which the test plays; and its logs as JSON.

use std::{os::unix::net::UnixDatagram, time::Instant};

use serde_json::Value;

use crate::process::{P2pd, PATIENCE, run};

/// A manager that hears what it is told.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    /// Waits for a message that has `part` in it.
    #[track_caller]
    fn hears(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < deadline {
            let mut buffer = [0; 4096];
            let len = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error} after {heard:?}"));
            let message = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if message.contains(part) {
                return message;
            }
            heard.push(message);
        }
        panic!("no {part:?} in {heard:?}");
    }
}

const FILE: &str = "[network]\nlisten_port = 0\n[daemon]\nwatch = false\nadmin = \"off\"\n\
    [[share]]\nname = \"web\"\ntarget = \"tcp://127.0.0.1:9\"\n";

#[test]
fn systemd_hears_that_it_is_ready_lives_reloads_and_ends() {
    let manager = Manager::new();
    let (file, socket) = (manager.folder.path().join("p2pd.toml"), manager.folder.path().join("notify"));
    std::fs::write(&file, FILE).unwrap();
    let vars = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "100000")];
    let mut up = P2pd::start_with(&["up", "--config", file.to_str().unwrap(), "--drain", "3"], &vars);
    let ready = manager.hears("READY=1");
    assert!(ready.contains("STATUS=1 rules, 0 peers, 0 streams"), "{ready}");
    for _ in 0..3 {
        assert_eq!(manager.hears("WATCHDOG="), "WATCHDOG=1");
    }

    up.signal("HUP");
    assert!(manager.hears("RELOADING=1").contains("\nMONOTONIC_USEC="));
    manager.hears("READY=1");
    // A file that cannot be used ends the reload, too.
    std::fs::write(&file, "nonsense").unwrap();
    up.signal("HUP");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");

    up.signal("TERM");
    let stopping = manager.hears("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=13000000"), "{stopping}");
    assert_eq!(up.ends().code(), Some(0));
}

// A watchdog that was set for another process is none of this one's.
#[test]
fn a_watchdog_of_another_process_gets_no_beats() {
    let manager = Manager::new();
    let (file, socket) = (manager.folder.path().join("p2pd.toml"), manager.folder.path().join("notify"));
    std::fs::write(&file, FILE).unwrap();
    let vars = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let up = P2pd::start_with(&["up", "--config", file.to_str().unwrap()], &vars);
    manager.hears("READY=1");
    up.signal("TERM");
    let mut buffer = [0; 4096];
    loop {
        let len = manager.socket.recv(&mut buffer).unwrap();
        let message = String::from_utf8_lossy(&buffer[..len]).into_owned();
        assert!(!message.contains("WATCHDOG"), "{message}");
        if message.contains("STOPPING=1") {
            return;
        }
    }
}

fn objects(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

#[test]
fn logs_are_an_object_on_each_line_and_nothing_else_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p2pd.toml");
    std::fs::write(&file, FILE).unwrap();
    for (more, vars) in [(&["--log-format", "json"][..], &[][..]), (&[], &[("P2PD_LOG_FORMAT", "json")])] {
        let args = [&["up", "--config", file.to_str().unwrap()], more].concat();
        let mut up = P2pd::start_with(&args, vars);
        let line = up.stderr.wait_for("Running.").expect("it says that it runs");
        let running: Value = serde_json::from_str(&line).unwrap();
        for (key, is_text) in
            [("timestamp", true), ("level", true), ("message", true), ("peer", true), ("rules", false)]
        {
            assert_eq!(running[key].is_string(), is_text, "{key} of {running}");
        }
        up.signal("TERM");
        assert!(up.ends().success());
        assert_eq!(up.stdout.text(), "");
        objects(&up.stderr.text());
    }
    // So is the error that it ends with.
    let (code, stdout, stderr) = run(&["--log-format", "json", "up", "--config", "/nowhere"], &[]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let last = objects(&stderr).pop().unwrap();
    assert_eq!((&last["level"], &last["exit_code"]), (&"ERROR".into(), &2.into()));
    assert!(last["message"].as_str().unwrap().contains("/nowhere"), "{last}");
    let (code, _, stderr) = run(&["id"], &[("P2PD_LOG_FORMAT", "xml")]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("xml") && stderr.contains("json"), "{stderr}");
}
