//! Settings as rules.

use std::collections::{BTreeMap, BTreeSet};

use p2p::{PeerId, Ticket};

use super::{
    ConfigProblem,
    layers::Config,
    problem::nearest,
    settings::{ConnectSettings, ShareSettings},
};
use crate::{
    Error,
    access::{Allow, Token},
    forward::{Offer, ServiceName},
    http::{HttpRoute, HttpRoutes},
    proxy::Destinations,
    rule::{Bandwidth, ConnectRule, HostPort, Listen, Remote, Rules, ShareRule, Target, UDP_IDLE},
};

impl Config {
    /// What the daemon is to forward.
    ///
    /// # Errors
    /// Names the key that cannot be used, and its line.
    pub fn rules(&self) -> Result<Rules, ConfigProblem> {
        let peers = self.peers()?;
        let shares = self.settings.share.iter().enumerate().map(|(at, share)| self.share(at, share, &peers));
        let connects = self.settings.connect.iter().enumerate().map(|(at, connect)| self.connect(at, connect, &peers));
        let rules = Rules {
            shares: shares.collect::<Result<_, _>>()?,
            connects: connects.collect::<Result<_, _>>()?,
            peers: peers.iter().map(|(name, known)| (known.remote.addr.peer, name.clone())).collect(),
        };
        rules.check().map_err(|error| match &error {
            Error::Rules { rule: Some((kind, at)), .. } => self.problem(&[kind, &at.to_string()], error.to_string()),
            error => self.problem(&[], error.to_string()),
        })?;
        Ok(rules)
    }

    /// The peer that a name, an id or a ticket stands for, and what its ticket says that it shares.
    ///
    /// # Errors
    /// If it stands for nobody.
    pub(crate) fn peer(&self, text: &str) -> Result<(Remote, Vec<Offer>), Error> {
        let known = known(text, &self.peers()?).map_err(|why| Error::Peer { why })?;
        Ok((known.remote, known.offers))
    }

    fn peers(&self) -> Result<BTreeMap<String, Known>, ConfigProblem> {
        let mut ids = BTreeSet::new();
        let mut peers = BTreeMap::new();
        for (name, text) in &self.settings.peers {
            let known = Known::parse(text).map_err(|why| self.problem(&["peers", name], why))?;
            if !ids.insert(known.remote.addr.peer) {
                return Err(self.problem(&["peers", name], "another name stands for the same peer"));
            }
            peers.insert(name.clone(), known);
        }
        Ok(peers)
    }

    fn share(&self, at: usize, share: &ShareSettings, peers: &Peers) -> Result<ShareRule, ConfigProblem> {
        let at = at.to_string();
        let problem = |key: &str, why: String| self.problem(&["share", &at, key], why);
        let name: ServiceName = share.name.parse().map_err(|error: Error| problem("name", error.to_string()))?;
        let mut rule = ShareRule::new(name, self.target(&at, share)?);
        if let Some(words) = &share.allow {
            rule.allow = allow(words, peers).map_err(|why| problem("allow", why))?;
        }
        let reverse_to = share.reverse_to.iter().map(|text| Ok(known(text, peers)?.remote));
        rule.reverse_to = reverse_to.collect::<Result<_, String>>().map_err(|why| problem("reverse_to", why))?;
        rule.bandwidth = bandwidth(share.bandwidth.as_ref()).map_err(|why| problem("bandwidth", why))?;
        rule.udp_idle = share.udp_idle.unwrap_or(UDP_IDLE);
        Ok(rule)
    }

    fn target(&self, at: &str, share: &ShareSettings) -> Result<Target, ConfigProblem> {
        let problem = |key: &str, why: String| self.problem(&["share", at, key], why);
        match (&share.target, share.route.is_empty(), share.destinations.is_empty()) {
            (Some(target), true, true) => target.parse().map_err(|error: Error| problem("target", error.to_string())),
            (None, false, true) => {
                let routes = share.route.iter().enumerate().map(|(place, route)| {
                    let server = route.target.strip_prefix("http://").unwrap_or(&route.target).trim_end_matches('/');
                    let target = HostPort::parse_single(server).map_err(|why| {
                        let what = format!("{:?} is invalid ({why}): expected http://HOST:PORT", route.target);
                        self.problem(&["share", at, "route", &place.to_string(), "target"], what)
                    })?;
                    let path = route.path.clone().unwrap_or_else(|| "/".to_owned());
                    if !path.starts_with('/') {
                        let what = format!("{path:?} is invalid: expected a path that begins with /");
                        return Err(self.problem(&["share", at, "route", &place.to_string(), "path"], what));
                    }
                    Ok(HttpRoute { host: route.host.clone(), path, target })
                });
                Ok(Target::Http(HttpRoutes::new(routes.collect::<Result<_, _>>()?)))
            }
            (None, true, false) => {
                let destinations = share.destinations.iter().map(String::as_str);
                Ok(Target::Proxy(Destinations::parse(destinations).map_err(|why| problem("destinations", why))?))
            }
            _ => Err(self.problem(
                &["share", at],
                "expected one of target, route (for HTTP by host and path) and destinations (for a proxy)",
            )),
        }
    }

    fn connect(&self, at: usize, connect: &ConnectSettings, peers: &Peers) -> Result<ConnectRule, ConfigProblem> {
        let at = at.to_string();
        let problem = |key: &str, why: String| self.problem(&["connect", &at, key], why);
        let peer = known(&connect.peer, peers).map_err(|why| problem("peer", why))?;
        let asked = connect.service.as_ref().map(|name| name.parse::<ServiceName>()).transpose();
        let asked = asked.map_err(|error| problem("service", error.to_string()))?;
        let offer = Offer::choose(&peer.offers, asked.as_ref())
            .map_err(|error| problem("service", error.to_string().replace("--service", "service")))?;
        let mut listen: Listen = connect.listen.parse().map_err(|error: Error| problem("listen", error.to_string()))?;
        if !peer.offers.is_empty() {
            listen.fit(&offer).map_err(|error| problem("listen", error.to_string()))?;
        }
        let mut rule = ConnectRule::new(peer.remote, offer.name, listen);
        if let Some(name) = &connect.name {
            rule.name = name.parse().map_err(|error: Error| problem("name", error.to_string()))?;
        }
        rule.reverse = connect.reverse;
        rule.bandwidth = bandwidth(connect.bandwidth.as_ref()).map_err(|why| problem("bandwidth", why))?;
        rule.udp_idle = connect.udp_idle.unwrap_or(UDP_IDLE);
        Ok(rule)
    }
}

type Peers = BTreeMap<String, Known>;

/// A peer, and what its ticket says that it shares.
#[derive(Debug, Clone)]
struct Known {
    remote: Remote,
    offers: Vec<Offer>,
}

impl Known {
    /// An id or a ticket.
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(peer) = text.parse::<PeerId>() {
            return Ok(Self { remote: peer.into(), offers: Vec::new() });
        }
        let ticket: Ticket =
            text.parse().map_err(|error: p2p::P2PError| format!("{error}; or a peer's id, which has 64 hex digits"))?;
        let offers = Offer::from_ticket(&ticket).map_err(|error| error.to_string())?;
        Ok(Self { remote: Remote { token: Token::from_ticket(&ticket), addr: ticket.addr }, offers })
    }
}

/// A name, an id or a ticket.
fn known(text: &str, peers: &Peers) -> Result<Known, String> {
    if let Some(known) = peers.get(text) {
        return Ok(known.clone());
    }
    Known::parse(text).map_err(|why| match nearest(text, peers.keys().map(String::as_str)) {
        Some(nearest) => format!("{text:?} is nobody's name; did you mean {nearest:?}?"),
        None if text.len() < 40 => format!("{text:?} is nobody's name under [peers], no id and no ticket"),
        None => why,
    })
}

fn allow(words: &[String], peers: &Peers) -> Result<Allow, String> {
    let mut allow = Allow::peers([]);
    for word in words {
        match word.as_str() {
            "anyone" => allow.anyone = true,
            "ticket" => allow.ticket = true,
            text => {
                allow.peers.insert(known(text, peers)?.remote.addr.peer);
            }
        }
    }
    Ok(allow)
}

fn bandwidth(text: Option<&String>) -> Result<Option<Bandwidth>, String> {
    text.map(|text| text.parse()).transpose()
}
