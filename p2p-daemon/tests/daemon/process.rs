//! `p2pd` as a child process.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running `p2pd`, killed when it is dropped.
pub(crate) struct P2pd {
    child: Child,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    /// Its home folder.
    _home: Option<tempfile::TempDir>,
}

impl P2pd {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    pub(crate) fn start_with(args: &[&str], vars: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pd"));
        command.args(args);
        Self::spawn(command, vars)
    }

    /// Runs it with at most so many open files.
    #[cfg(all(feature = "p2p-iroh", unix))]
    pub(crate) fn start_with_files_max(files_max: u32, args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files_max} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_p2pd")).args(args);
        Self::spawn(command, &[])
    }

    fn spawn(command: Command, vars: &[(&str, &str)]) -> Self {
        Self::spawn_with(command, vars, Stdio::null())
    }

    fn spawn_with(mut command: Command, vars: &[(&str, &str)], stdin: Stdio) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.contains("P2P_") || name.contains("P2PD_") || name == "RUST_LOG") {
                command.env_remove(name);
            }
        }
        let home = tempfile::tempdir().expect("a folder for temporary files");
        command
            .env("HOME", home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            // These speak with the network around the machine, which is nothing to a test.
            .env("P2P_LAN_DISCOVERY", "off")
            .env("P2P_PORT_MAPPING", "off")
            .envs(vars.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("p2pd was built for this test");
        let stdout = Output::of(child.stdout.take().expect("it is piped"));
        let stderr = Output::of(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr, _home: Some(home) }
    }

    /// Waits for a line of stdout that has `part` in it, and returns the line.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> String {
        match self.stdout.wait_for(part) {
            Some(line) => line,
            None => panic!("no {part:?} in\n{}\nand on stderr\n{}", self.stdout.text(), self.stderr.text()),
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("p2pd did not end; stdout\n{}\nstderr\n{}", self.stdout.text(), self.stderr.text());
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    #[cfg(all(feature = "p2p-iroh", unix))]
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let status = Command::new("kill").args([&signal, &self.child.id().to_string()]).status();
        assert!(status.expect("there is `kill`").success());
    }
}

impl Drop for P2pd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs to the end: exit code, stdout, stderr.
pub(crate) fn run(args: &[&str], vars: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut p2pd = P2pd::start_with(args, vars);
    let status = p2pd.ends();
    (status.code(), p2pd.stdout.complete(), p2pd.stderr.complete())
}

/// The same, with something to read on stdin.
#[cfg(feature = "p2p-iroh")]
pub(crate) fn run_with_input(args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pd"));
    command.args(args);
    let mut p2pd = P2pd::spawn_with(command, &[], Stdio::piped());
    let mut stdin = p2pd.child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    let status = p2pd.ends();
    (status.code(), p2pd.stdout.complete(), p2pd.stderr.complete())
}

/// What a process prints, as it comes.
#[derive(Clone)]
pub(crate) struct Output(Arc<(Mutex<Printed>, Condvar)>);

#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    ended: bool,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let output = Self(Arc::default());
        let filled = output.clone();
        thread::spawn(move || {
            let (printed, changed) = &*filled.0;
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                printed.lock().unwrap().lines.push(line);
                changed.notify_all();
            }
            printed.lock().unwrap().ended = true;
            changed.notify_all();
        });
        output
    }

    pub(crate) fn wait_for(&self, part: &str) -> Option<String> {
        let (printed, changed) = &*self.0;
        let find = |printed: &Printed| printed.lines.iter().find(|line| line.contains(part)).cloned();
        let waiting = |printed: &mut Printed| find(printed).is_none() && !printed.ended;
        let (printed, _) = changed.wait_timeout_while(printed.lock().unwrap(), PATIENCE, waiting).unwrap();
        find(&printed)
    }

    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// All of it, once the process has ended.
    fn complete(&self) -> String {
        let (printed, changed) = &*self.0;
        let printed = changed.wait_timeout_while(printed.lock().unwrap(), PATIENCE, |printed| !printed.ended).unwrap();
        printed.0.lines.join("\n")
    }
}

/// The first `127.0.0.1:PORT` in a line.
pub(crate) fn addr_in(line: &str) -> SocketAddr {
    let addr = line
        .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
        .find_map(|word| word.trim_matches('.').parse().ok());
    addr.unwrap_or_else(|| panic!("no address in {line:?}"))
}
