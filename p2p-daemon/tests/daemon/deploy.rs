//! What is in `deploy/` passes the tools of those it is for.
//!
//! `PROMETHEUS=required` and `SYSTEMD=required` make a missing tool a failure; otherwise it is said, and passed over.

use std::{fs, path::PathBuf, process::Command};

use crate::tool;

fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// Runs to the end, well or with what it said.
#[track_caller]
fn passes(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    said.into_owned()
}

#[test]
fn prometheus_takes_its_configuration_and_the_alerts() {
    if tool::is_here("promtool", "PROMETHEUS") {
        passes(Command::new("promtool").args(["check", "rules"]).arg(deploy("prometheus/alerts.yml")));
        passes(Command::new("promtool").args(["check", "config"]).arg(deploy("prometheus/prometheus.yml")));
    }
}

#[test]
fn systemd_takes_the_unit_and_calls_it_well_locked_up() {
    if !tool::is_here("systemd-analyze", "SYSTEMD") {
        return;
    }
    // It wants the program to be where the unit says.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("p2pd.service");
    let text = fs::read_to_string(deploy("systemd/p2pd.service")).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/p2pd", env!("CARGO_BIN_EXE_p2pd"))).unwrap();
    let said = passes(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    assert_eq!(said, "", "it warns of what it does not know");
    // 0 is a service that may do nothing, 10 one that may do anything; 2.0 is systemd's bound of "OK".
    let threshold = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    passes(Command::new("systemd-analyze").args(threshold).arg(&unit));
}
