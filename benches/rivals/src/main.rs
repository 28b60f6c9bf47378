//! Our simulator, turmoil and madsim at the same game: peers in a ring throw messages of 64 B back and forth.
//!
//! `cd benches/rivals && cargo run --release [-- ROUNDS]` (the folder sets madsim's flag). Each sample runs in a process of its
//! own, and a round takes one sample of everything, in an order that rotates, so that a machine that is busy for a while is so
//! for all. The ratio is taken within a round. Figures are messages delivered per second of the simulating thread's CPU
//! time, setting up apart.
//!
//! The game is the nearest thing that each of them has:
//!
//! | | message | latency | loss | trace |
//! |---|---|---|---|---|
//! | ours | on a reliable connection, through the trait | 50 ms | 1 %, so some are sent again | BLAKE3 of all events |
//! | turmoil | a UDP datagram, which is its cheapest | 50 ms, ticks of 1 ms as by default | none | none |
//! | madsim, TCP | on a TCP connection, reliable as ours | 50 ms | 1 %, so some are sent again | none |
//! | madsim, datagrams | of its `Endpoint`, which is its cheapest | 50 ms | none | none |

mod clock;
mod madsim;
mod ours;
mod summary;
mod turmoil;

use std::process::{Command, ExitCode};

use summary::Summary;

/// One size of the game.
#[derive(Clone, Copy)]
pub struct Game {
    /// Peers, each of which throws to the next.
    pub peers: usize,
    /// Messages under way between each two.
    pub under_way: usize,
    /// Deliveries of a sample.
    pub deliveries: u64,
}

/// Messages under way as a program has that asks and waits, and one that streams.
const GAMES: [(usize, usize); 6] = [(10, 1), (10, 16), (100, 1), (100, 16), (1000, 1), (1000, 16)];
/// Peers beyond which turmoil takes minutes to deliver a first message: it looks at every pair of hosts in each step.
const TURMOIL_PEERS_MAX: usize = 100;

/// A simulator: its name, and what it delivers per second of CPU time.
type Contestant = (&'static str, fn(Game) -> f64);

const CONTESTANTS: [Contestant; 4] = [
    ("ours", ours::delivered_per_second),
    ("turmoil", turmoil::delivered_per_second),
    ("madsim-tcp", madsim::by_connections),
    ("madsim-datagrams", madsim::by_datagrams),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => compare(5),
        [rounds] => match rounds.parse() {
            Ok(rounds) if rounds > 0 => compare(rounds),
            _ => {
                eprintln!("rounds: {rounds:?} is not a number from 1");
                return ExitCode::from(2);
            }
        },
        [name, peers, under_way] => {
            let number = |text: &str| text.parse().expect("this program writes its own arguments");
            let (_, play) = CONTESTANTS.iter().find(|(known, _)| known == name).expect("one of the contestants");
            println!("{}", play(game(number(peers), number(under_way))));
        }
        _ => {
            eprintln!("usage: rivals [ROUNDS]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn game(peers: usize, under_way: usize) -> Game {
    // Each message is thrown at least twice, and what is cheap is thrown often enough to take a second or so.
    let thrown = (2 * peers * under_way) as u64;
    Game { peers, under_way, deliveries: thrown * (600_000 / thrown).max(1) }
}

fn compare(rounds: usize) {
    println!("load {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    println!(
        "messages of 64 B delivered per second of CPU time; ratios within a round; {rounds} rounds, medians and quartiles\n"
    );
    println!("| peers | under way | ours | turmoil | ratio | madsim, TCP | ratio | madsim, datagrams | ratio |");
    println!("|--:|--:|--:|--:|---|--:|---|--:|---|");
    for (peers, under_way) in GAMES {
        let mut rates: [Vec<f64>; CONTESTANTS.len()] = Default::default();
        for round in 0..rounds {
            for turn in 0..CONTESTANTS.len() {
                let which = (round + turn) % CONTESTANTS.len();
                let (name, _) = CONTESTANTS[which];
                if name != "turmoil" || peers <= TURMOIL_PEERS_MAX {
                    rates[which].push(sample(name, peers, under_way));
                }
            }
        }
        let ratio = |other: usize| {
            let ratios: Vec<f64> = rates[0].iter().zip(&rates[other]).map(|(ours, theirs)| ours / theirs).collect();
            Summary::of(ratios).map_or("-".into(), |ratio| ratio.with_quartiles())
        };
        let rate = |which: usize| Summary::of(rates[which].clone()).map_or("-".into(), |rate| rate.with_spread());
        let theirs: Vec<String> =
            (1..CONTESTANTS.len()).map(|other| format!("{} | {}", rate(other), ratio(other))).collect();
        println!("| {peers} | {under_way} | {} | {} |", rate(0), theirs.join(" | "));
    }
    println!("\nload {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

/// One sample, in a process of its own.
fn sample(name: &str, peers: usize, under_way: usize) -> f64 {
    let program = std::env::current_exe().expect("a program knows where it is");
    let arguments = [name.into(), peers.to_string(), under_way.to_string()];
    let output = Command::new(program).args(&arguments).output().expect("it runs again");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("a number");
    text.trim().parse().unwrap_or_else(|error| panic!("{arguments:?} printed {text:?}: {error}"))
}
