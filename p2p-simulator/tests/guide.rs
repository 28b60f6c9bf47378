//! The guide does what it says: its commands run, one after the other, and print what stands below them.

use std::{path::Path, process::Command};

use p2p_simulator::{scenario::Scenario, workloads::registry};

const GUIDE: &str = include_str!("../../docs/SIMULATOR.md");

/// The guide's blocks of code, with their language.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = GUIDE.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence and its line")).collect()
}

/// Lines that another run has otherwise: where two processes part is up to how each of them drew.
fn is_up_to_chance(line: &str) -> bool {
    ["They agree on", "  one run:", "  other:"].iter().any(|start| line.starts_with(start))
}

#[test]
fn each_command_of_the_guide_prints_what_stands_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(source, folder.path().join("p2p-simulator")).unwrap();
    let (mut said, mut commands, mut lines) = (String::new(), 0, 0);
    for (language, text) in blocks() {
        if language == "sh" {
            said.clear();
            for command in text.lines().filter_map(|line| line.strip_prefix("p2p-sim ")) {
                let arguments = command.split('#').next().unwrap_or_default().split_whitespace();
                let output =
                    Command::new(env!("CARGO_BIN_EXE_p2p-sim")).args(arguments).current_dir(&folder).output().unwrap();
                assert!(output.status.code().unwrap() < 2, "{command}: {}", String::from_utf8_lossy(&output.stderr));
                said += &String::from_utf8(output.stdout).unwrap();
                commands += 1;
            }
        }
        if language == "text" {
            for line in text.lines().filter(|line| line.trim() != "…" && !is_up_to_chance(line)) {
                assert!(said.lines().any(|printed| printed == line), "the guide says {line:?}, and printed was {said}");
                lines += 1;
            }
        }
    }
    assert!(commands >= 7 && lines >= 12, "{commands} commands, {lines} lines");
    let smaller = folder.path().join("capsules/counter-early-ack-lost-add-2.small.toml");
    let smaller = std::fs::read_to_string(smaller).unwrap();
    let story = blocks().into_iter().find(|(_, text)| is_of_a_case(text)).expect("what is left").1;
    assert!(story.split("\n\n").all(|part| smaller.contains(part.trim())), "{smaller}");
    assert!(folder.path().join("run.html").exists(), "the page to look at");
}

/// A part of a capsule, and no scenario.
fn is_of_a_case(text: &str) -> bool {
    text.contains("[[case.")
}

#[test]
fn each_scenario_of_the_guide_can_be_run() {
    let scenarios = blocks().into_iter().filter(|(language, text)| *language == "toml" && !is_of_a_case(text));
    let mut count = 0;
    for (_, text) in scenarios {
        let text = if text.contains("workload") { text.into() } else { format!("workload = 'counter'\n{text}") };
        let scenario: Scenario = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
        scenario.resolve(0, &registry()).unwrap();
        count += 1;
    }
    assert_eq!(count, 2);
}
