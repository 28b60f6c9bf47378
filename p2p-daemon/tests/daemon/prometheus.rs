//! A real Prometheus scrapes, and its linter finds nothing to improve.
//!
//! Needs `prometheus` and `promtool` (Debian's package `prometheus`). Without them these tests say so and pass, unless
//! `PROMETHEUS=required`.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    process::{P2pd, PATIENCE, addr_in},
    service::{connect, echo, get, serve, share},
    tool,
};

fn admin(side: &P2pd) -> SocketAddr {
    addr_in(&side.says("Watch it at"))
}

/// A Prometheus that scrapes one target each second, ended when it is dropped.
struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn scraping(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: p2pd\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text).unwrap();
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, addr, _folder: folder }
    }

    /// Asks the API until the answer has `part` in it.
    #[track_caller]
    fn says(&self, path: &str, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // It listens only after it has read its database.
            let answer = match TcpStream::connect(self.addr) {
                Ok(_) => String::from_utf8(get(self.addr, path).1).unwrap(),
                Err(error) => error.to_string(),
            };
            if answer.contains(part) {
                return;
            }
            assert!(Instant::now() < deadline, "no {part:?} in {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

// Prometheus asks for OpenMetrics and takes nothing that is not whole and in order, so a value that it knows has passed
// its parser.
#[test]
fn prometheus_knows_what_was_forwarded() {
    use std::io::Read;
    if !tool::is_here("prometheus", "PROMETHEUS") {
        return;
    }
    let (share, ticket) = share(serve(echo), &["--name", "echo"]);
    let (_connect, addr) = connect(&ticket);
    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(&[1; 1234]).unwrap();
    tcp.read_exact(&mut [0; 1234]).unwrap();

    let prometheus = Prometheus::scraping(admin(&share));
    prometheus.says("/api/v1/query?query=p2p_forward_bytes_total%7Bdir%3D%22in%22%7D", "\"1234\"]");
    prometheus.says("/api/v1/query?query=p2p_build_info", "\"version\":");
    prometheus.says("/api/v1/query?query=process_resident_memory_bytes%3E0", "\"job\":\"p2pd\"");
    prometheus.says("/api/v1/query?query=up", "\"1\"]");
    // OpenMetrics' name of the family: this is what was scraped, and the counter is known for one.
    prometheus.says("/api/v1/metadata?metric=p2p_forward_bytes", "\"type\":\"counter\"");
}

#[test]
fn promtool_finds_nothing_to_improve() {
    if !tool::is_here("promtool", "PROMETHEUS") {
        return;
    }
    let (share, _) = share(serve(echo), &[]);
    let (_, metrics) = get(admin(&share), "/metrics");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(&metrics).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
