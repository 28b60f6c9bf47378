//! A headless Chromium, driven over the loopback interface by WebDriver, as far as the tests need it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// A page in a browser of its own, which ends with this.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// For the browser to start, or a page to be ready, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(120);

impl Browser {
    /// Starts a browser with an empty page of 1500 × 950. Nothing if there is none on this machine; `CHROMIUM=required` makes
    /// that a failure.
    pub(crate) fn start() -> Option<Self> {
        let driver =
            Command::new("chromedriver").args(["--port=0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) if std::env::var("CHROMIUM").is_ok_and(|value| value == "required") => {
                panic!("CHROMIUM=required, and chromedriver does not start: {error}");
            }
            Err(error) => {
                skip(&error);
                return None;
            }
        };
        let lines = BufReader::new(driver.stdout.take().expect("piped above")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let port = port.expect("chromedriver says on which port it listens");
        let mut browser = Self { driver, port, session: String::new() };
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
        let options = json!({ "args": arguments.into_iter().chain(["--window-size=1500,950"]).collect::<Vec<_>>() });
        let wished = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let session = browser.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wished } }));
        browser.session = session["sessionId"].as_str().expect("a session has an id").into();
        Some(browser)
    }

    /// Opens a file and waits until its script says that it is ready.
    pub(crate) fn open(&self, file: &Path, fragment: &str) {
        self.open_url(&format!("file://{}{fragment}", file.display()));
        self.wait("document.documentElement.dataset.ready === 'yes'");
    }

    /// Opens a page.
    pub(crate) fn open_url(&self, url: &str) {
        self.command("POST", "url", &json!({ "url": url }));
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn wait(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(&format!("return {expression}")) != true {
            assert!(Instant::now() < deadline, "it never came that {expression}: {:?}", self.complaints());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a script in the page returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("POST", "execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Types on an element.
    pub(crate) fn type_on(&self, selector: &str, keys: &str) {
        let found = self.command("POST", "element", &json!({ "using": "css selector", "value": selector }));
        let element = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        let path = format!("element/{}/value", element.expect("an element has an id"));
        self.command("POST", &path, &json!({ "text": keys }));
    }

    /// Clicks on a point of the window.
    pub(crate) fn click(&self, x: f64, y: f64) {
        let (x, y) = (x.round(), y.round());
        let to = json!({ "type": "pointerMove", "duration": 0, "x": x, "y": y });
        let actions = [to, json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 })];
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.command("POST", "actions", &json!({ "actions": [mouse] }));
    }

    /// What the page complained about on its console.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().into_iter().flatten();
        entries.filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}/{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration that is not zero");
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("chromedriver reads");
        let (status, answer) = read_answer(BufReader::new(stream));
        let answer: Value = serde_json::from_slice(&answer).expect("WebDriver speaks JSON");
        assert!(status.contains(" 200 "), "{method} {path}: {answer}");
        answer["value"].clone()
    }
}

/// The first line, and the body, which is as long as the head says: the connection may stay open.
fn read_answer(mut stream: impl BufRead) -> (String, Vec<u8>) {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).expect("chromedriver answers in time");
        line.trim_end().to_string()
    };
    let status = line();
    let mut len = 0;
    loop {
        let header = line().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            len = value.trim().parse().expect("a length is a number");
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).expect("chromedriver answers in time");
    (status, body)
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(error: &std::io::Error) {
    eprintln!("skipped: chromedriver does not start: {error}. CHROMIUM=required makes this a failure.");
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser with its session, also when a test fails.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let request =
                format!("DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            // Answered once the browser has ended.
            let _ = stream.read(&mut [0; 1]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
