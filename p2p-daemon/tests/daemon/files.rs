//! Files and folders between two processes.

use std::{fs, path::Path, process::Command};

use crate::{
    process::{P2pd, run},
    service::ticket,
};

/// A folder with files of several sizes, one of them in a folder of its own.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    fs::create_dir_all(root.join("2026")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("one.txt"), "one").unwrap();
    let mut large = vec![0; 24 * 1024 * 1024];
    blake3::Hasher::new().finalize_xof().fill(&mut large);
    fs::write(root.join("2026/large"), large).unwrap();
    folder
}

fn send(path: &Path, more: &[&str]) -> (P2pd, String) {
    let send = P2pd::start(&[&["send", path.to_str().unwrap(), "--port", "0"], more].concat());
    let ticket = ticket(&send);
    (send, ticket)
}

fn same(a: &Path, b: &Path) {
    for name in ["empty", "one.txt", "2026/large"] {
        let (a, b) = (fs::read(a.join(name)).unwrap(), fs::read(b.join(name)).unwrap());
        assert_eq!(blake3::hash(&a), blake3::hash(&b), "{name}");
    }
}

#[test]
fn a_folder_arrives_whole_and_a_second_time_it_is_there_already() {
    let from = folder();
    let (_send, ticket) = send(&from.path().join("photos"), &[]);
    let to = tempfile::tempdir().unwrap();
    let args = ["recv", &ticket, "--to", to.path().to_str().unwrap()];
    let (code, stdout, stderr) = run(&args, &[]);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("Received 3 files") && !stdout.contains("from before"), "{stdout}");
    same(&from.path().join("photos"), &to.path().join("photos"));
    let (code, stdout, _) = run(&args, &[]);
    assert!(code == Some(0) && stdout.contains("24.00 MiB of them from before"), "{stdout}");
}

#[test]
fn one_file_is_said_to_be_one() {
    let from = folder();
    let (_send, ticket) = send(&from.path().join("photos/2026/large"), &[]);
    let to = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(&["recv", &ticket, "--to", to.path().to_str().unwrap()], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Receiving 1 file, ") && stdout.contains("Received 1 file, "), "{stdout}");
}

#[test]
fn what_was_interrupted_goes_on_where_it_was() {
    let from = folder();
    let (_send, ticket) = send(&from.path().join("photos"), &["--bandwidth", "4 MB/s"]);
    let to = tempfile::tempdir().unwrap();
    let args = ["recv", &ticket, "--to", to.path().to_str().unwrap()];
    let mut first = P2pd::start(&args);
    let part = || {
        let entries = fs::read_dir(to.path().join("photos/2026")).ok()?;
        entries.flatten().find(|entry| entry.file_name().to_string_lossy().ends_with(".part"))?.metadata().ok()
    };
    let deadline = std::time::Instant::now() + crate::process::PATIENCE;
    while part().is_none_or(|part| part.len() < 2_000_000) {
        assert!(std::time::Instant::now() < deadline, "nothing arrives");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    first.kill();
    let (code, stdout, stderr) = run(&args, &[]);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("from before"), "{stdout}");
    same(&from.path().join("photos"), &to.path().join("photos"));
}

// A file system of its own size, in a namespace of its own: first too small, then large enough.
#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#[test]
fn a_full_disk_keeps_what_arrived_and_the_rest_follows() {
    let from = folder();
    let (_send, ticket) = send(&from.path().join("photos"), &[]);
    let to = tempfile::tempdir().unwrap();
    let script = r#"
        set -e
        mount -t tmpfs -o size=8m tmpfs "$2"
        if "$0" recv "$1" --to "$2"; then exit 9; fi
        echo "== more room"
        mount -o remount,size=64m "$2"
        "$0" recv "$1" --to "$2"
        cmp "$2/photos/2026/large" "$3"
        echo "== the same"
    "#;
    let large = from.path().join("photos/2026/large");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_p2pd"), &ticket])
        .args([to.path(), &large])
        .env("HOME", from.path())
        .env("P2P_LAN_DISCOVERY", "off")
        .env("P2P_PORT_MAPPING", "off")
        .output();
    let output = match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare:") => output,
        refused => {
            let required = std::env::var("NAT_LAB").is_ok_and(|value| value == "required");
            assert!(!required, "no namespace of one's own: {refused:?}");
            println!("skipped: no namespace of one's own: {refused:?}");
            return;
        }
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stderr.contains("the disk is full") && stderr.contains("are kept"), "{stdout}\n{stderr}");
    assert!(stdout.contains("from before") && stdout.contains("== the same"), "{stdout}\n{stderr}");
}

#[test]
fn what_cannot_be_sent_or_received_is_said() {
    let (code, _, stderr) = run(&["send", "/nowhere/at/all"], &[]);
    assert!(code == Some(1) && stderr.contains("/nowhere/at/all"), "{stderr}");
    let (_share, ticket) = crate::service::share(crate::service::free_tcp_addr(), &[]);
    let (code, _, stderr) = run(&["recv", &ticket], &[]);
    assert!(code == Some(1) && stderr.contains("not one of `p2pd send`"), "{stderr}");
}
