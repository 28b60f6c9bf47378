//! Runs the programs as a reader would, and the transfers of `send_file` between two processes on loopback.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::process::Command;

/// Long enough for a slow machine; what hangs fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program, without the environment of whoever runs the tests and without an interest in the local network.
fn program(path: &str, args: &[&str], implementation: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().contains("P2P_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .env("P2P_IMPLEMENTATION", implementation)
        .env("P2P_LISTEN_PORT", "0")
        .env("P2P_LAN_DISCOVERY", "off")
        .env("P2P_PORT_MAPPING", "off")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> (bool, String) {
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it hangs").expect("it starts");
    let Output { status, stdout, stderr } = output;
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8(text).unwrap())
}

/// What a program prints when all goes well.
async fn printed(command: Command) -> String {
    let (success, text) = output(command).await;
    assert!(success, "{text}");
    text
}

fn send_file(args: &[&str], implementation: &str) -> Command {
    program(env!("CARGO_BIN_EXE_send_file"), args, implementation)
}

fn echo(args: &[&str], implementation: &str) -> Command {
    program(env!("CARGO_BIN_EXE_echo"), args, implementation)
}

/// A folder with a file of that many bytes, and another one for what is received.
struct Folders {
    from: tempfile::TempDir,
    to: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Folders {
    fn new(bytes: usize) -> Self {
        let folders = Self {
            from: tempfile::tempdir().unwrap(),
            to: tempfile::tempdir().unwrap(),
            bytes: (0..bytes as u64).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 11) as u8).collect(),
        };
        std::fs::write(folders.from.path().join("picture.png"), &folders.bytes).unwrap();
        folders
    }

    fn source(&self) -> String {
        text(&self.from.path().join("picture.png"))
    }

    fn target(&self) -> String {
        text(self.to.path())
    }

    fn checksum(&self) -> String {
        blake3::hash(&self.bytes).to_string()
    }

    /// That the file has arrived, whole, and nothing beside it.
    fn assert_received(&self) {
        let names: Vec<_> =
            std::fs::read_dir(self.to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["picture.png"]);
        assert!(std::fs::read(self.to.path().join("picture.png")).unwrap() == self.bytes);
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

#[tokio::test]
async fn hello_says_hello() {
    let text = printed(program(env!("CARGO_BIN_EXE_hello"), &[], "iroh")).await;
    assert!(text.contains("bob hears:   Hello, Bob!"), "{text}");
    assert!(text.contains("closed by the peer with code 0"), "{text}");
}

#[tokio::test]
async fn echo_runs_within_one_process_on_every_implementation() {
    for implementation in p2p_providers::Implementation::built_in() {
        let text = printed(echo(&[], implementation.name())).await;
        assert!(text.contains(implementation.name()) && text.contains("three"), "{text}");
    }
}

#[tokio::test]
async fn send_file_copies_within_one_process_on_every_implementation() {
    for implementation in p2p_providers::Implementation::built_in() {
        let folders = Folders::new(1_000_000);
        let command = send_file(&["copy", &folders.source(), &folders.target()], implementation.name());
        let text = printed(command).await;
        assert!(text.contains(&folders.checksum()), "{text}");
        folders.assert_received();
    }
}

#[tokio::test]
async fn migrate_tunnel_goes_through_the_phases_and_back_and_no_request_fails() {
    for implementation in p2p_providers::Implementation::built_in() {
        let text = printed(program(env!("CARGO_BIN_EXE_migrate_tunnel"), &["1"], implementation.name())).await;
        let numbers = |what: &str| -> Vec<u64> {
            let line =
                text.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("no {what} in {text}"));
            line[what.len()..].split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        // Requests a second over the tunnel and over P2P, how many took the other route, the worst in ms, those that failed.
        let column = |what: &str, at: usize| numbers(what)[at];
        assert!(column("phase 1: everything over the tunnel", 0) > 0, "{text}");
        assert_eq!(column("phase 1: everything over the tunnel", 1), 0, "{text}");
        assert!(column("phase 2: what begins anew over P2P", 1) > 0, "{text}");
        assert!(column("phase 3: existing clients move", 1) > 0, "{text}");
        assert!(column("phase 3, and P2P is pulled away", 2) > 0, "{text}");
        assert!(column("phase 4: P2P alone", 1) > 0, "{text}");
        assert!(column("rolled back to phase 1", 0) > 0, "{text}");
        assert!(text.contains("; 0 failed."), "{text}");
    }
}

#[tokio::test]
async fn a_program_says_how_it_is_called() {
    for command in [echo(&["sing"], "iroh"), send_file(&[], "iroh")] {
        let (success, text) = output(command).await;
        assert!(!success && text.contains("error: usage:"), "{text}");
    }
}

#[cfg(feature = "p2p-simulator")]
#[tokio::test]
async fn a_simulated_peer_gives_out_no_ticket() {
    for command in [echo(&["listen"], "simulator"), send_file(&["send", "Cargo.toml"], "simulator")] {
        let (success, text) = output(command).await;
        assert!(!success && text.contains("within one process"), "{text}");
    }
}

#[cfg(feature = "p2p-iroh")]
mod between_processes {
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
        process::{Child, ChildStdout},
    };

    use super::*;

    /// A program that prints a ticket and goes on.
    struct Listening {
        child: Child,
        lines: Lines<BufReader<ChildStdout>>,
        ticket: String,
    }

    impl Listening {
        async fn start(mut command: Command) -> Self {
            let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let find_ticket = async {
                loop {
                    let line = lines.next_line().await.unwrap().expect("a ticket comes before the end");
                    if let Some(ticket) = line.split_whitespace().find(|word| word.starts_with("p2p1-")) {
                        break ticket.to_owned();
                    }
                }
            };
            let ticket = tokio::time::timeout(DEADLINE, find_ticket).await.expect("a ticket is printed");
            Self { child, lines, ticket }
        }

        /// Presses Ctrl-C.
        #[cfg(unix)]
        async fn interrupt(&self) {
            let pid = self.child.id().expect("it runs").to_string();
            assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
        }

        /// The rest of what it prints, once it has ended by itself.
        async fn end(mut self) -> String {
            let rest = async {
                let mut text = String::new();
                while let Some(line) = self.lines.next_line().await.unwrap() {
                    text += &line;
                    text.push('\n');
                }
                (self.child.wait().await.unwrap(), text)
            };
            let (status, text) = tokio::time::timeout(DEADLINE, rest).await.expect("it ends");
            assert!(status.success(), "{text}");
            text
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn echo_answers_and_ends_by_ctrl_c() {
        let listening = Listening::start(echo(&["listen"], "iroh")).await;
        let mut command = echo(&["connect", &listening.ticket], "iroh");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all("one\nzwölf\n".as_bytes()).await.unwrap();
        let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("it hangs").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("  one (") && text.contains("  zwölf ("), "{text}");

        listening.interrupt().await;
        let text = listening.end().await;
        assert!(text.contains("closed by the peer with code 0"), "{text}");
    }

    #[tokio::test]
    async fn send_file_arrives_whole() {
        // More than any window on the way, so that the sender has to wait for the receiver.
        let folders = Folders::new(32 * 1024 * 1024);
        let sender = Listening::start(send_file(&["send", &folders.source()], "iroh")).await;
        let received = printed(send_file(&["recv", &sender.ticket, &folders.target()], "iroh")).await;
        assert!(received.contains(&folders.checksum()), "{received}");
        folders.assert_received();
        let sent = sender.end().await;
        assert!(sent.contains("\"picture.png\" was sent and checked"), "{sent}");
    }

    #[tokio::test]
    async fn send_file_sends_an_empty_file() {
        let folders = Folders::new(0);
        let sender = Listening::start(send_file(&["send", &folders.source()], "iroh")).await;
        printed(send_file(&["recv", &sender.ticket, &folders.target()], "iroh")).await;
        folders.assert_received();
        sender.end().await;
    }

    #[tokio::test]
    async fn send_file_overwrites_nothing_and_the_sender_waits_for_another_receiver() {
        let folders = Folders::new(1000);
        let occupied = folders.to.path().join("picture.png");
        std::fs::write(&occupied, "precious").unwrap();
        let sender = Listening::start(send_file(&["send", &folders.source()], "iroh")).await;

        let (success, text) = output(send_file(&["recv", &sender.ticket, &folders.target()], "iroh")).await;
        assert!(!success && text.contains("exists already"), "{text}");
        assert_eq!(std::fs::read(&occupied).unwrap(), b"precious");

        std::fs::remove_file(&occupied).unwrap();
        printed(send_file(&["recv", &sender.ticket, &folders.target()], "iroh")).await;
        folders.assert_received();
        let sent = sender.end().await;
        assert!(sent.contains("exists already"), "the receiver tells the sender why: {sent}");
    }
}
