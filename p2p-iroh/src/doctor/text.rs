//! The report for people: what to do, and the text.

use std::fmt::{self, Display};

use super::{Family, Nat, PortMapping, Report};

/// What is wrong or could be better, the worst first.
pub(super) fn advice(report: &Report) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(clock) = report.clock.as_ref().filter(|clock| clock.is_off()) {
        let direction = if clock.ahead_s > 0.0 { "ahead of" } else { "behind" };
        advice.push(format!(
            "This machine's clock is {:.0} s {direction} the relay's: certificates and records are refused. Set the clock, or \
             let NTP do it.",
            clock.ahead_s.abs()
        ));
    }
    for relay in &report.relays {
        match &relay.problem {
            Some(problem) if is_about_time(problem) => advice.push(format!(
                "Relay {}: {problem}. By this machine's clock its certificate is not valid: one of the two is wrong.",
                relay.url
            )),
            Some(problem) => advice.push(format!("Relay {}: {problem}.", relay.url)),
            None if !relay.answers.iter().any(|way| way.starts_with("udp")) => advice.push(format!(
                "Relay {} does not answer by UDP, so it cannot tell this endpoint its public address. Open UDP port 7842 on the \
                 way there, or turn address discovery on at the relay (enable_quic_addr_discovery).",
                relay.url
            )),
            None => {}
        }
    }
    if report.captive_portal == Some(true) {
        advice.push("Somebody answers web requests in the relays' name: sign in to this network first.".into());
    }
    if report.relays.is_empty() {
        advice.push(
            "No relay is configured: only peers with a direct way here can connect, and no hole can be punched.".into(),
        );
    }
    if report.nat == Nat::EndpointDependent && report.port_mapping != PortMapping::Mapped {
        advice.push(
            "The NAT gives each destination another port: many connections will stay relayed. Forward a UDP port and set it as \
             an external address, turn port mapping on, or use IPv6."
                .into(),
        );
    }
    if let Some(buffers) = report.buffers.filter(|buffers| buffers.are_small()) {
        advice.push(format!("The kernel keeps UDP buffers small, which costs throughput: {}", buffers.sysctl()));
    }
    if let Some(descriptors) = report.descriptors.filter(|descriptors| descriptors.are_few()) {
        advice.push(format!(
            "The process may have {} files open, and has {}: raise the limit (ulimit -n, or LimitNOFILE= in systemd).",
            descriptors.max, descriptors.open
        ));
    }
    advice
}

/// Whether a TLS error is about the time, in rustls's words.
fn is_about_time(problem: &str) -> bool {
    ["NotValidYet", "not valid yet", "Expired", "expired"].iter().any(|word| problem.contains(word))
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "peer          {}", self.peer)?;
        writeln!(f, "sockets       {}", list(&self.sockets))?;
        writeln!(f, "addresses     {}", list(&self.addresses))?;
        writeln!(f, "nat           {}", self.nat)?;
        writeln!(f, "ipv4          {}", self.ipv4)?;
        writeln!(f, "ipv6          {}", self.ipv6)?;
        for relay in &self.relays {
            let home = if relay.is_home { " (home)" } else { "" };
            write!(f, "relay         {}{home}", relay.url)?;
            if let Some(latency) = relay.latency_ms {
                write!(f, ", {latency:.1} ms, by {}", relay.answers.join(", "))?;
            }
            match &relay.problem {
                Some(problem) => writeln!(f, ": {problem}")?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "port mapping  {}", self.port_mapping)?;
        if let Some(buffers) = self.buffers {
            let (receive, send) = (buffers.receive_bytes_max / 1024, buffers.send_bytes_max / 1024);
            writeln!(f, "udp buffers   {receive} KiB to receive, {send} KiB to send at most")?;
        }
        if let Some(clock) = &self.clock {
            writeln!(f, "clock         {:+.1} s beside {}", clock.ahead_s, clock.relay)?;
        }
        if let Some(descriptors) = self.descriptors {
            writeln!(f, "files         {} of {} open", descriptors.open, descriptors.max)?;
        }
        if !self.advice.is_empty() {
            writeln!(f)?;
        }
        self.advice.iter().try_for_each(|advice| writeln!(f, "- {advice}"))
    }
}

impl Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none: the public address is this machine's",
            Self::EndpointIndependent => "endpoint-independent mapping: holes can be punched",
            Self::EndpointDependent => "endpoint-dependent mapping (symmetric): punching works towards open peers only",
            Self::Some => "one of some kind: it takes two relays to know which",
            Self::Unknown => "unknown: no relay told a public address",
        })
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.udp, self.public) {
            (true, Some(public)) => write!(f, "udp works, seen as {public}"),
            (true, None) => f.write_str("udp works"),
            (false, _) => f.write_str("no relay answered by udp"),
        }
    }
}

impl Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Mapped => "the router gave a port",
            Self::Refused => "no router gave a port",
        })
    }
}

fn list(items: &[impl Display]) -> String {
    match items {
        [] => "none".into(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}
