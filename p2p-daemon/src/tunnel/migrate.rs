//! `p2pd migrate`: tells a router what to do, and shows how it is.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::args::{MigrateArgs, MigrateCommand};
use crate::{
    Console, Error,
    ask::Client,
    config::{ADMIN_PORT_GATEWAY, ADMIN_PORT_TUNNEL, admin_token},
};

pub(crate) async fn migrate(args: MigrateArgs, console: Console) -> Result<(), Error> {
    let client = Client::at_ports(args.admin, [ADMIN_PORT_TUNNEL, ADMIN_PORT_GATEWAY], admin_token())?;
    let answer = match path(&args.command) {
        None => client.get("/migration").await?,
        Some(path) => client.post(&format!("/migration/{path}")).await?,
    };
    if args.json {
        console.line(String::from_utf8_lossy(&answer).trim_end());
        return Ok(());
    }
    let state: State = serde_json::from_slice(&answer).map_err(|error| Error::Ask {
        place: client.to_string(),
        problem: format!("another version of p2pd, or no p2pd, answers: {error}"),
    })?;
    state.lines(console).iter().for_each(|line| console.line(line));
    Ok(())
}

/// What is posted to; nothing if it is only looked at.
fn path(command: &MigrateCommand) -> Option<String> {
    let path = match command {
        MigrateCommand::Status => return None,
        MigrateCommand::Phase { phase } => format!("phase/{phase}"),
        MigrateCommand::Percent { percent } => format!("percentage/{}", percent.get()),
        MigrateCommand::Shadow { share } => format!("shadow/{}", share.get()),
        MigrateCommand::Rollback => "rollback".to_owned(),
        MigrateCommand::Allow { client } => format!("allow/{}", encoded(client.as_str())),
        MigrateCommand::Deny { client } => format!("deny/{}", encoded(client.as_str())),
        MigrateCommand::Forget { client } => format!("forget/{}", encoded(client.as_str())),
    };
    Some(path)
}

/// A clientId as a part of a path: it may have any visible character in it.
fn encoded(client: &str) -> String {
    percent_encoding::utf8_percent_encode(client, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What a router says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct State {
    phase: u8,
    percentage: u8,
    shadow: u8,
    allow: Vec<String>,
    deny: Vec<String>,
    rolled_back: Option<String>,
    drain_seconds_left: Option<u64>,
    tunnel_is_refused: bool,
    p2p_is_left_alone: bool,
    decisions: BTreeMap<String, u64>,
    figures: Figures,
}

#[derive(Debug, Clone, Deserialize)]
struct Figures {
    legacy: Side,
    p2p: Side,
    refused: u64,
    fallbacks: u64,
    cut_requests: u64,
    cut_websockets: u64,
    rollbacks: u64,
    shadow_same: u64,
    shadow_different: u64,
    shadow_failed: u64,
    shadow_skipped: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Side {
    routed: u64,
    failed: u64,
    requests_in_flight: u64,
    websockets_in_flight: u64,
}

impl State {
    /// As lines for a person.
    pub(crate) fn lines(&self, console: Console) -> Vec<String> {
        let what = match self.phase {
            1 => "everything over the tunnel",
            2 => "what begins anew goes over P2P",
            3 => "existing clients move to P2P",
            _ => "P2P alone",
        };
        let mut lines = vec![format!("Migration phase {}: {what}", console.bold(self.phase))];
        if let Some(why) = &self.rolled_back {
            lines.push(format!("  {} {why}", console.yellow("rolled back:")));
        }
        match (self.tunnel_is_refused, self.drain_seconds_left) {
            (true, _) => lines.push("  the tunnel is refused".to_owned()),
            (false, Some(left)) => lines.push(format!("  the tunnel is served for another {left} s")),
            (false, None) => {}
        }
        if self.p2p_is_left_alone {
            lines.push(format!("  {}: it failed too often in a row", console.yellow("P2P is left alone for a while")));
        }
        lines.push(format!(
            "  {}% of the clients take part, {}% of the requests are shadowed",
            self.percentage, self.shadow
        ));
        for (what, clients) in [("always take part", &self.allow), ("stay on the tunnel", &self.deny)] {
            if !clients.is_empty() {
                lines.push(format!("  {what}: {}", clients.join(", ")));
            }
        }
        let Figures { legacy, p2p, .. } = &self.figures;
        lines.push(
            console
                .dim(format!("{:<10}{:>10}{:>10}{:>12}{:>12}", "ROUTE", "SO FAR", "FAILED", "REQUESTS", "WEBSOCKETS"))
                .to_string(),
        );
        for (name, side) in [("tunnel", legacy), ("p2p", p2p)] {
            let Side { routed, failed, requests_in_flight, websockets_in_flight } = side;
            lines.push(format!("{name:<10}{routed:>10}{failed:>10}{requests_in_flight:>12}{websockets_in_flight:>12}"));
        }
        let figures = &self.figures;
        lines.push(format!(
            "{} took the other route, {} had none, {} requests and {} WebSockets were cut, {} rollbacks",
            figures.fallbacks, figures.refused, figures.cut_requests, figures.cut_websockets, figures.rollbacks
        ));
        if self.shadow > 0 || figures.shadow_same + figures.shadow_different + figures.shadow_failed > 0 {
            lines.push(format!(
                "shadowed: {} same, {} different, {} failed, {} skipped",
                figures.shadow_same, figures.shadow_different, figures.shadow_failed, figures.shadow_skipped
            ));
        }
        let why: Vec<_> = self
            .decisions
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(why, count)| format!("{why} {count}"))
            .collect();
        if !why.is_empty() {
            lines.push(format!("why: {}", why.join(", ")));
        }
        lines
    }
}
