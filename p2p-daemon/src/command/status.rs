//! `p2pd status`.

use std::{
    io::{self, Write},
    time::Duration,
};

use p2p::chain;
use p2p_providers::process_vars;

use super::on_signals;
use crate::{
    Console, Error, Shutdown,
    ask::{Client, State, View},
    cli::StatusArgs,
    config::{Config, Flags, admin_token, default_config_file},
};

pub(super) async fn status(args: StatusArgs, console: Console) -> Result<(), Error> {
    let client = client(&args)?;
    if args.watch {
        let shutdown = on_signals(Duration::ZERO, Console::silent())?;
        return watch(&client, args.period, shutdown, console).await;
    }
    let answer = client.get(PATH).await?;
    if args.json {
        console.line(String::from_utf8_lossy(&answer).trim_end());
        return Ok(());
    }
    let view = View { console, events_max: 0 };
    view.lines(&parse(&client, &answer)?, None).iter().for_each(|line| console.line(line));
    Ok(())
}

/// The daemon that is meant: by the flag, by a variable or the file as `p2pd up` takes them, or at a usual port.
fn client(args: &StatusArgs) -> Result<Client, Error> {
    let flags = Flags::default().with("daemon.admin", "--admin", args.admin.as_ref());
    let file = match &args.config {
        Some(path) => Some(path.clone()),
        None => default_config_file().ok().filter(|path| path.exists()),
    };
    // A flag says it all; a file that is wrong elsewhere is in nobody's way.
    let file = file.filter(|_| args.admin.is_none());
    Client::new(Config::load(file.as_deref(), process_vars(), &flags)?.admin()?, admin_token())
}

fn parse(client: &Client, answer: &[u8]) -> Result<State, Error> {
    State::parse(answer).map_err(|problem| Error::Ask { place: client.to_string(), problem })
}

/// Looks again and again until Ctrl-C. A daemon that is away is said to be, and shown again when it is back.
async fn watch(client: &Client, period: Duration, shutdown: Shutdown, console: Console) -> Result<(), Error> {
    let screen = Screen::enter(console);
    let view = View { console, events_max: EVENTS_MAX };
    let mut before: Option<State> = None;
    loop {
        let lines = match client.get(PATH).await.and_then(|answer| parse(client, &answer)) {
            Ok(state) => {
                let lines = view.lines(&state, before.as_ref());
                before = Some(state);
                lines
            }
            Err(error) => {
                before = None;
                vec![format!("{} {}", console.yellow("✖"), chain(&error))]
            }
        };
        screen.show(&lines);
        p2p::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(period) => {}
        }
    }
}

/// A terminal's other screen, which gives back what was there before. Where no terminal is, one look follows another.
struct Screen(Console);

impl Screen {
    fn enter(console: Console) -> Self {
        if console.is_terminal() {
            // The alternate screen, no cursor, and long lines are cut (xterm's control sequences 1049, 25, 7).
            print("\x1b[?1049h\x1b[?25l\x1b[?7l");
        }
        Self(console)
    }

    fn show(&self, lines: &[String]) {
        if !self.0.is_terminal() {
            lines.iter().for_each(|line| self.0.line(line));
            return self.0.line("");
        }
        // Over what stands there, so that nothing flickers; one screenful, so that nothing scrolls.
        let rows = self.0.rows().saturating_sub(1);
        let text: String = lines.iter().take(rows).map(|line| format!("{line}\x1b[K\r\n")).collect();
        print(&format!("\x1b[H{text}\x1b[J"));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.0.is_terminal() {
            print("\x1b[?7h\x1b[?25h\x1b[?1049l");
        }
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).ok();
}

const PATH: &str = "/status.json";

/// The newest events that `--watch` shows.
const EVENTS_MAX: usize = 10;
