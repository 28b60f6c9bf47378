//! A daemon with a configuration file, as an operator runs it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    process::{P2pd, addr_in, run},
    service::{connect, echo, get, http, serve, ticket},
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("p2pd.toml")
    }

    fn write(&self, rules: &str) -> PathBuf {
        let text =
            format!("[network]\nlisten_port = 0\nkey_file = \"key\"\n[daemon]\nadmin = \"127.0.0.1:0\"\n{rules}");
        std::fs::write(self.file(), text).unwrap();
        self.file()
    }
}

fn share(name: &str, target: &str) -> String {
    format!("[[share]]\nname = \"{name}\"\ntarget = \"{target}\"\n")
}

fn up(file: &Path) -> P2pd {
    let up = P2pd::start(&["up", "--config", file.to_str().unwrap()]);
    up.says("Ctrl-C ends it.");
    up
}

fn echoes(addr: SocketAddr, text: &[u8]) {
    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    tcp.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

// What the README says of it: a web server, a UDP echo and another port by one ticket.
#[test]
fn one_ticket_is_for_a_web_server_a_udp_echo_and_a_tcp_port() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_addr = udp.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(&buffer[..len], from).ok();
        }
    });
    let targets = [
        format!("web=http://{}", serve(http(b"a page"))),
        format!("dns=udp://{udp_addr}"),
        format!("ssh=tcp://{}", serve(echo)),
    ];
    let share = P2pd::start(
        &[&["share", "--port", "0", "--admin", "off"], &targets.each_ref().map(String::as_str)[..]].concat(),
    );
    let ticket = ticket(&share);
    let listens = ["web=127.0.0.1:0", "dns=127.0.0.1:0", "ssh=127.0.0.1:0"];
    let args = listens.iter().flat_map(|listen| ["--listen", listen]);
    let connect = P2pd::start(&["connect", &ticket, "--admin", "off"].into_iter().chain(args).collect::<Vec<_>>());
    let addr = |service: &str| addr_in(&connect.says(&format!("for the service \"{service}\"")));

    assert_eq!(get(addr("web"), "/").1, b"a page");
    echoes(addr("ssh"), b"SSH-2.0");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    client.connect(addr("dns")).unwrap();
    let mut answer = [0; 100];
    let answered = (0..30).find_map(|_| {
        client.send(b"question").unwrap();
        client.recv(&mut answer).ok()
    });
    assert_eq!(&answer[..answered.expect("it is answered")], b"question");
}

#[cfg(unix)]
#[test]
fn a_changed_file_is_taken_at_once_and_at_a_signal_and_breaks_nothing_off() {
    let folder = Folder::new();
    let file = folder.write(&share("one", &format!("tcp://{}", serve(echo))));
    let up = up(&file);
    let (_connect, addr) = connect(&ticket(&up));
    let mut open = TcpStream::connect(addr).unwrap();
    let mut speak = |text: &[u8; 4]| {
        open.write_all(text).unwrap();
        let mut back = [0; 4];
        open.read_exact(&mut back).unwrap();
        assert_eq!(&back, text);
    };
    speak(b"mine");

    folder.write(&share("two", "tcp://127.0.0.1:9"));
    up.says("Reloaded: added share two; removed share one.");
    speak(b"more");

    // A file that is wrong changes nothing, and says where.
    let bad = folder.write("[[share]]\nname = \"three\"\ntraget = \"tcp://127.0.0.1:9\"\n");
    let said = up.says("Not reloaded, everything stays as it was:");
    assert!(said.contains(&format!("{}:8: share[0].traget", bad.display())) && said.contains("\"target\""), "{said}");
    speak(b"even");

    folder.write(&format!("watch = false\n{}", share("four", "tcp://127.0.0.1:9")));
    up.signal("HUP");
    up.says("added share four");
    up.says("after a restart also daemon.watch");
    speak(b"last");
}

#[test]
fn config_check_and_show_say_what_holds_and_where_it_came_from() {
    let folder = Folder::new();
    let file = folder.write(&share("web", "tcp://127.0.0.1:9"));
    let file = file.to_str().unwrap();
    let (code, stdout, stderr) = run(&["config", "check", file], &[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("1 share, 0 connects"), "{stdout}");

    let (code, stdout, _) =
        run(&["config", "show", file], &[("P2P_RELAY_SERVERS", "relay.example"), ("P2PD_DRAIN", "1min")]);
    assert_eq!(code, Some(0));
    let line =
        |key: &str| stdout.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{stdout}")).to_owned();
    assert!(line("network.relay_servers").ends_with("environment variable P2P_RELAY_SERVERS"), "{stdout}");
    assert!(line("daemon.drain").contains("60s") && line("daemon.drain").ends_with("P2PD_DRAIN"), "{stdout}");
    assert!(line("network.listen_port").ends_with("p2pd.toml:2"), "{stdout}");
    assert!(line("daemon.grace").ends_with("default"), "{stdout}");

    std::fs::write(folder.file(), "[daemon]\ndrain = 5x\n").unwrap();
    let (code, _, stderr) = run(&["config", "check", file], &[]);
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("p2pd.toml:2: "), "{stderr}");
    let (code, _, stderr) = run(&["up"], &[("P2PD_CONFIG", "/nowhere.toml")]);
    assert!(code == Some(2) && stderr.contains("/nowhere.toml: No such file"), "{stderr}");
}

#[test]
fn init_writes_a_file_that_is_all_right_and_never_a_second_time() {
    let folder = Folder::new();
    let file = folder.file();
    let file = file.to_str().unwrap();
    let (code, stdout, stderr) = run(&["init", file], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(&format!("p2pd up --config {file}")), "{stdout}");
    assert_eq!(run(&["config", "check", file], &[]).0, Some(0));
    let (code, _, stderr) = run(&["init", file], &[]);
    assert!(code == Some(1) && stderr.contains("exists"), "{stderr}");
}

#[test]
fn a_ticket_may_be_for_one_service_and_one_peer_and_is_made_while_the_daemon_runs() {
    let folder = Folder::new();
    let service = serve(echo);
    let file = folder.write(&(share("one", &format!("tcp://{service}")) + &share("two", &format!("tcp://{service}"))));
    let up = up(&file);
    let file = file.to_str().unwrap();
    let make = |more: &[&str]| {
        let (code, stdout, stderr) = run(&[&["ticket", "--config", file], more].concat(), &[]);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    let once = make(&["--service", "one", "--once", "--expires", "1h"]);
    let (_first, addr) = connect(&once);
    echoes(addr, b"hello");

    let connect = |ticket: &str| run(&["connect", ticket, "--listen", "127.0.0.1:0", "--admin", "off"], &[]);
    let (code, _, stderr) = connect(&once);
    assert!(code == Some(1) && stderr.contains("refused the connection"), "used by another: {stderr}");
    let (code, _, stderr) = connect(&make(&["--service", "one", "--expires", "0s"]));
    assert!(code == Some(1) && stderr.contains("no longer good"), "expired: {stderr}");
    up.stderr.wait_for("another has used").expect("the log says why");

    let qr = make(&["--qr"]);
    assert!(qr.lines().count() > 20 && qr.contains('█'), "{qr}");
    let (code, _, stderr) = run(&["ticket", "--config", file, "--service", "three"], &[]);
    assert!(code == Some(2) && stderr.contains("one, two"), "{stderr}");
}

#[test]
fn a_pipe_carries_what_is_typed_and_what_comes_back_and_nothing_else() {
    let counts = |mut tcp: TcpStream| {
        let mut text = Vec::new();
        tcp.read_to_end(&mut text).unwrap();
        tcp.write_all(format!("{} bytes", text.len()).as_bytes()).unwrap();
    };
    let (_share, ticket) = crate::service::share(serve(counts), &[]);
    let (code, stdout, stderr) = crate::process::run_with_input(&["pipe", &ticket], &vec![7; 300_000]);
    assert_eq!((code, stdout.as_str()), (Some(0), "300000 bytes"), "{stderr}");
}

#[test]
fn a_peer_that_may_be_dialled_gets_a_service_of_one_that_may_not() {
    let folder = Folder::new();
    let laptop_key = folder.0.path().join("laptop");
    let laptop_key = laptop_key.to_str().unwrap();
    let (_, laptop, _) = run(&["id", "--key-file", laptop_key], &[]);
    let server = P2pd::start(&[
        "connect",
        laptop.trim(),
        "--reverse",
        "--listen",
        "127.0.0.1:0",
        "--port",
        "0",
        "--admin",
        "off",
    ]);
    let addr = addr_in(&server.says("Listening on"));
    let ticket = ticket(&server);
    let target = format!("tcp://{}", serve(echo));
    let args = ["share", &target, "--reverse-to", &ticket, "--key-file", laptop_key, "--port", "0", "--admin", "off"];
    let _laptop = P2pd::start(&args);
    echoes(addr, b"hello");
}
