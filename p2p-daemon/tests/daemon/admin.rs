//! What an operator sees.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    process::{P2pd, PATIENCE, addr_in},
    service::{connect, echo, get, serve, share},
};

fn admin(side: &P2pd) -> SocketAddr {
    addr_in(&side.says("Watch it at"))
}

fn text(addr: SocketAddr, path: &str) -> String {
    let (status, body) = get(addr, path);
    assert_eq!(status, "HTTP/1.1 200 OK");
    String::from_utf8(body).unwrap()
}

fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
}

#[test]
fn health_is_told_by_check_and_reason() {
    let (mut share, ticket) = share(serve(echo), &[]);
    let (connect, _) = connect(&ticket);
    for side in [&share, &connect] {
        assert_eq!(text(admin(side), "/livez"), "ok\n");
        assert!(text(admin(side), "/readyz").contains("\"ready\": true"));
    }
    assert_eq!(get(admin(&connect), "/nothing").0, "HTTP/1.1 404 Not Found");

    // A peer that leaves says so, so this takes no timeout.
    #[cfg(unix)]
    share.signal("TERM");
    #[cfg(not(unix))]
    share.kill();
    share.ends();
    connect.says("The peer is gone");
    let (status, body) = get(admin(&connect), "/readyz");
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.contains("\"ready\": false") && body.contains("\"name\": \"peer of default\""), "{body}");
}

#[test]
fn counters_move_while_a_stream_is_open() {
    let (share, ticket) = share(serve(echo), &["--name", "echo"]);
    let (connect, addr) = connect(&ticket);
    let before = text(admin(&connect), "/metrics");
    for reason in ["accept", "busy", "target_unreachable", "local_broke"] {
        let series = format!("p2p_forward_errors_total{{rule=\"echo\",reason=\"{reason}\"}}");
        assert_eq!(value(&before, &series), 0.0, "every series is there from the start");
    }

    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(&[1; 1000]).unwrap();
    tcp.read_exact(&mut [0; 1000]).unwrap();
    for side in [&share, &connect] {
        let bytes = |metrics: &str, dir: &str| {
            value(metrics, &format!("p2p_forward_bytes_total{{rule=\"echo\",dir=\"{dir}\"}}"))
        };
        let metrics = until(admin(side), |metrics| {
            ["out", "in"].iter().all(|dir| bytes(metrics, dir) == 1000.0)
                && value(metrics, "p2p_connections{path=\"direct\"}") == 1.0
        });
        assert_eq!(value(&metrics, "p2p_forward_streams{rule=\"echo\"}"), 1.0);
        assert_eq!(value(&metrics, "p2p_forward_streams_opened_total{rule=\"echo\"}"), 1.0);
        assert!(metrics.contains("# TYPE p2p_connect_duration_seconds histogram"), "{metrics}");
    }
    drop(tcp);
    until(admin(&connect), |metrics| value(metrics, "p2p_forward_streams{rule=\"echo\"}") == 0.0);
}

/// The metrics once they are as `wanted`.
pub(crate) fn until(addr: SocketAddr, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = text(addr, "/metrics");
        if wanted(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `POST`s to a path: status line and body.
pub(crate) fn post(addr: SocketAddr, path: &str, header: &str) -> (String, String) {
    let mut tcp = TcpStream::connect(addr).unwrap();
    write!(tcp, "POST {path} HTTP/1.1\r\nHost: {addr}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    tcp.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[test]
fn a_reload_by_the_admin_interface_takes_the_file_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p2pd.toml");
    let text = |name: &str| {
        format!(
            "[network]\nlisten_port = 0\n[daemon]\nwatch = false\nadmin = \"127.0.0.1:0\"\n[[share]]\nname = \"{name}\"\ntarget = \"tcp://127.0.0.1:9\"\n"
        )
    };
    std::fs::write(&file, text("one")).unwrap();
    let mut up = P2pd::start(&["up", "--config", file.to_str().unwrap()]);
    let admin = admin(&up);

    std::fs::write(&file, text("two")).unwrap();
    let (status, said) = post(admin, "/reload", "");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(said.contains("added share two") && said.contains("removed share one"), "{said}");
    std::fs::write(&file, text("no good name")).unwrap();
    let (status, said) = post(admin, "/reload", "");
    assert_eq!(status, "HTTP/1.1 422 Unprocessable Entity");
    assert!(said.contains("no good name") && said.contains("p2pd.toml"), "{said}");
    assert!(super::service::get(admin, "/status.json").1.windows(13).any(|part| part == b"\"name\": \"two\""));
    assert_eq!(post(admin, "/reload", "Origin: https://evil.example\r\n").0, "HTTP/1.1 403 Forbidden");

    assert_eq!(post(admin, "/drain", "").0, "HTTP/1.1 200 OK");
    assert!(up.ends().success());
}

#[cfg(unix)]
#[test]
fn a_unix_domain_socket_answers_its_owner() {
    use std::os::unix::{fs::PermissionsExt, net::UnixStream};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let target = format!("tcp://{}", serve(echo));
    let share = P2pd::start(&["share", &target, "--port", "0", "--admin", &format!("unix:{}", path.display())]);
    share.says("Watch it at unix:");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut unix = UnixStream::connect(&path).unwrap();
    unix.write_all(b"GET /livez HTTP/1.1\r\nHost: p2pd\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    unix.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
