//! This machine's time beside the relays'.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use iroh::Endpoint;
use p2p::{Runtime, chain};
use serde::Serialize;

use crate::RelayServer;

/// How far this machine's clock is from a relay's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Clock {
    /// The relay that was asked.
    pub relay: String,
    /// Seconds that this machine is ahead; less than 0 where it is behind. Right to about a second.
    pub ahead_s: f64,
}

impl Clock {
    /// Whether certificates and signed records may be refused for it.
    pub fn is_off(&self) -> bool {
        self.ahead_s.abs() > OFF_S
    }

    fn between(relay: String, ours: SystemTime, theirs: SystemTime) -> Self {
        let ahead_s = match ours.duration_since(theirs) {
            Ok(ahead) => ahead.as_secs_f64(),
            Err(behind) => -behind.duration().as_secs_f64(),
        };
        Self { relay, ahead_s }
    }
}

/// As much as certificates are commonly dated back by.
const OFF_S: f64 = 300.0;

/// Asks every relay for the time. The nearest to this machine's counts; of those that did not answer is said why, by URL.
pub(super) async fn compare(
    endpoint: &Endpoint,
    relays: &[RelayServer],
    runtime: &dyn Runtime,
) -> (Option<Clock>, BTreeMap<String, String>) {
    let builder = reqwest::Client::builder().tls_backend_preconfigured(endpoint.tls_config().clone());
    let client = match builder.no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(_) => return Default::default(),
    };
    let ask = |relay: &RelayServer| {
        let (client, url) = (client.clone(), relay.url());
        async move {
            let before = runtime.wall_time();
            let answer = client.get(&url).send().await;
            let after = runtime.wall_time();
            let ours = before + after.duration_since(before).unwrap_or_default() / 2;
            match answer {
                Ok(answer) => {
                    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
                    let theirs = date.and_then(|date| httpdate::parse_http_date(date).ok());
                    // A date is cut to the second, so half of one is what it lacks on average.
                    let theirs = theirs.map(|theirs| theirs + Duration::from_millis(500));
                    Ok(theirs.map(|theirs| Clock::between(url, ours, theirs)))
                }
                Err(error) => Err((url, chain(&error.without_url()))),
            }
        }
    };
    let mut clock: Option<Clock> = None;
    let mut problems = BTreeMap::new();
    for answer in join_all(relays.iter().map(ask)).await {
        match answer {
            Ok(Some(found)) if clock.as_ref().is_none_or(|known| found.ahead_s.abs() < known.ahead_s.abs()) => {
                clock = Some(found);
            }
            Ok(_) => {}
            Err((url, why)) => drop(problems.insert(url, why)),
        }
    }
    (clock, problems)
}

/// For one relay.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_off_in_either_direction_is_said_with_its_sign() {
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hour = Duration::from_secs(3600);
        let between = |ours| Clock::between("https://relay.example".into(), ours, theirs);
        assert_eq!(between(theirs + hour).ahead_s, 3600.0);
        assert_eq!(between(theirs - hour).ahead_s, -3600.0);
        assert!(between(theirs + hour).is_off() && between(theirs - hour).is_off() && !between(theirs).is_off());
    }
}
