//! A router's commands and figures over HTTP, for its operator.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use p2p::P2PError;
use serde_json::json;

use super::{Phase, Router};
use crate::{
    http::Handler,
    route::{Body, ClientId, text},
};

/// Answers what an operator asks of a router. Serve it on loopback, or where nobody else comes.
///
/// | request | does |
/// |---|---|
/// | `GET /` | says how things are, as JSON |
/// | `GET /metrics` | says so to Prometheus |
/// | `POST /phase/2` | goes to phase 1, 2, 3 or 4 |
/// | `POST /rollback` | goes back to phase 1, whatever happens to the state file |
/// | `POST /percentage/25` | has 25% of the clients take part |
/// | `POST /shadow/5` | sends 5% of the requests that are safe to repeat over both routes |
/// | `POST /allow/CLIENT`, `POST /deny/CLIENT`, `POST /forget/CLIENT` | puts a client on a list, or off both |
///
/// What changes something answers as `GET /` does. A page of another origin, in a browser on the same machine, is refused.
#[derive(Debug)]
pub struct Control(Router);

impl Control {
    /// Of that router.
    pub const fn new(router: Router) -> Self {
        Self(router)
    }

    /// The answer to a request: status, and JSON if the status is 200 and it was not for metrics, else text. For a server that has
    /// seen to who asks.
    pub fn ask(&self, method: &Method, path: &str) -> (StatusCode, String) {
        match self.answer(method, path) {
            Ok(answer) => (StatusCode::OK, answer),
            Err(Problem::NoSuchCommand) => (StatusCode::NOT_FOUND, format!("no such command; there are\n{COMMANDS}\n")),
            Err(Problem::Refused(error @ (P2PError::InvalidInput { .. } | P2PError::LimitReached { .. }))) => {
                (StatusCode::BAD_REQUEST, format!("{error}\n"))
            }
            Err(Problem::Refused(error)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("nothing has changed: {}\n", error.chain()))
            }
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Result<String, Problem> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, &*parts) {
            (&Method::GET, [""]) => Ok(format!("{:#}\n", self.status())),
            (&Method::GET, ["metrics"]) => Ok(self.metrics()),
            (&Method::POST, parts) => {
                self.command(parts)?;
                Ok(format!("{:#}\n", self.status()))
            }
            _ => Err(Problem::NoSuchCommand),
        }
    }

    fn command(&self, parts: &[&str]) -> Result<(), Problem> {
        let client = |name: &str| {
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            let parsed = name.parse::<ClientId>();
            parsed.map_err(|error| P2PError::invalid_input(format_args!("clientId {name:?}"), error))
        };
        let router = &self.0;
        match *parts {
            ["phase", phase] => router.set_phase(phase.parse::<Phase>()?)?,
            ["rollback"] => router.roll_back("the operator asked for it"),
            ["percentage", percent] => {
                let percentage = percent.parse()?;
                router.change(|policy| {
                    policy.percentage = percentage;
                    Ok(())
                })?;
            }
            ["shadow", percent] => {
                let shadow = percent.parse()?;
                router.change(|policy| {
                    policy.shadow = shadow;
                    Ok(())
                })?;
            }
            ["allow", name] => {
                let client = client(name)?;
                router.change(|policy| policy.allow(client))?;
            }
            ["deny", name] => {
                let client = client(name)?;
                router.change(|policy| policy.deny(client))?;
            }
            ["forget", name] => {
                let client = client(name)?;
                router.change(|policy| {
                    policy.forget(&client);
                    Ok(())
                })?;
            }
            _ => return Err(Problem::NoSuchCommand),
        }
        Ok(())
    }

    /// How things are.
    pub fn status(&self) -> serde_json::Value {
        let policy = self.0.policy();
        let now = self.0.runtime().wall_time();
        let drain_left = policy.drain_until.map(|until| until.duration_since(now).unwrap_or_default().as_secs());
        json!({
            "phase": policy.phase,
            "percentage": policy.percentage,
            "shadow": policy.shadow,
            "allow": policy.allow.iter().map(ClientId::as_str).collect::<Vec<_>>(),
            "deny": policy.deny.iter().map(ClientId::as_str).collect::<Vec<_>>(),
            "rolled_back": policy.rolled_back,
            "drain_seconds_left": drain_left,
            "tunnel_is_refused": self.0.tunnel_is_closed(),
            "p2p_is_left_alone": self.0.breaker_is_open(),
            "decisions": self.0.decisions().map(|(why, count)| (why.name(), count)).collect::<BTreeMap<_, _>>(),
            "figures": self.0.figures(),
        })
    }

    /// The same for Prometheus: its text format, version 0.0.4.
    pub fn metrics(&self) -> String {
        let figures = self.0.figures();
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for (labels, value) in samples {
                text.push_str(&format!("{name}{labels} {value}\n"));
            }
        };
        let (legacy, p2p) = (figures.legacy, figures.p2p);
        let routes = |legacy, p2p| [("{route=\"legacy\"}", legacy), ("{route=\"p2p\"}", p2p)];
        let phase = u64::from(self.0.policy().phase.number());
        family("migration_phase", "gauge", "The phase, 1 to 4.", &[("", phase)]);
        let help = "Whether P2P is left alone because it has failed.";
        family("migration_breaker_open", "gauge", help, &[("", self.0.breaker_is_open().into())]);
        let help = "Requests and WebSockets by the route they took.";
        family("requests_routed_total", "counter", help, &routes(legacy.routed, p2p.routed));
        let help = "Those that got no answer, or one that broke off.";
        family("requests_failed_total", "counter", help, &routes(legacy.failed, p2p.failed));
        let help = "Requests under way.";
        family("requests_in_flight", "gauge", help, &routes(legacy.requests_in_flight, p2p.requests_in_flight));
        let help = "WebSockets that are open.";
        family("websockets_in_flight", "gauge", help, &routes(legacy.websockets_in_flight, p2p.websockets_in_flight));
        let help = "Requests that took the other route because theirs failed.";
        family("migration_fallbacks_total", "counter", help, &[("", figures.fallbacks)]);
        let help = "Requests with no route at all.";
        family("migration_refused_total", "counter", help, &[("", figures.refused)]);
        let help = "What was cut at a drain deadline.";
        let cut = [("{kind=\"request\"}", figures.cut_requests), ("{kind=\"websocket\"}", figures.cut_websockets)];
        family("migration_cut_total", "counter", help, &cut);
        let help = "Times that the phase went back to 1 by a rollback.";
        family("migration_rollbacks_total", "counter", help, &[("", figures.rollbacks)]);
        let shadows = [
            ("{outcome=\"same\"}", figures.shadow_same),
            ("{outcome=\"different\"}", figures.shadow_different),
            ("{outcome=\"failed\"}", figures.shadow_failed),
            ("{outcome=\"skipped\"}", figures.shadow_skipped),
        ];
        family("migration_shadow_total", "counter", "Requests sent over both routes, by what came of it.", &shadows);
        let decisions: Vec<(String, u64)> =
            self.0.decisions().map(|(why, count)| (format!("{{why=\"{}\"}}", why.name()), count)).collect();
        let decisions: Vec<(&str, u64)> = decisions.iter().map(|(labels, count)| (&**labels, *count)).collect();
        family(
            "migration_decisions_total",
            "counter",
            "Requests and WebSockets by why they took their route.",
            &decisions,
        );
        text
    }
}

#[async_trait]
impl Handler for Control {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        if request.headers().contains_key(header::ORIGIN) {
            return text(StatusCode::FORBIDDEN, "this is for programs, not for pages\n");
        }
        let (status, said) = self.ask(request.method(), request.uri().path());
        let mut answer = text(status, said);
        if status == StatusCode::OK && request.uri().path() != "/metrics" {
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        answer
    }
}

const COMMANDS: &str = "GET /, GET /metrics, POST /phase/1 to /phase/4, POST /rollback, POST /percentage/N, POST /shadow/N, \
     POST /allow/CLIENT, POST /deny/CLIENT, POST /forget/CLIENT";

/// Why a command was not carried out.
enum Problem {
    NoSuchCommand,
    Refused(P2PError),
}

impl From<P2PError> for Problem {
    fn from(error: P2PError) -> Self {
        Self::Refused(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use p2p::P2PProvider;
    use p2p_simulator::Simulation;

    use super::*;
    use crate::{
        migration::MigrationConfig,
        route::{Failure, Route, RouteError},
        socket::BoxSocket,
    };

    /// A way to nowhere.
    #[derive(Debug)]
    struct Nowhere;

    #[async_trait]
    impl Route for Nowhere {
        fn name(&self) -> &'static str {
            "nowhere"
        }

        async fn http(&self, _: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
            Err(RouteError::unsent(Failure::NotConnected("nowhere".into()), request))
        }

        async fn websocket(&self, _: &ClientId, _: Request<()>) -> Result<BoxSocket, RouteError> {
            Err(RouteError::sent(Failure::NotConnected("nowhere".into())))
        }
    }

    fn run<F: Future<Output = ()>>(test: impl Fn(Control) -> F + Copy) {
        Simulation::new(1).run(|network| async move {
            let runtime = network.provider("server").runtime().clone();
            let (tunnel, p2p) = (Arc::new(Nowhere), Arc::new(Nowhere));
            test(Control::new(Router::new(tunnel, p2p, MigrationConfig::default(), None, runtime).unwrap())).await;
        });
    }

    fn ask(control: &Control, method: Method, path: &str) -> Result<String, Problem> {
        control.answer(&method, path)
    }

    #[test]
    fn a_command_changes_what_it_says_and_shows_how_things_are() {
        run(|control| async move {
            for (path, said) in [
                ("/phase/3", "\"phase\": 3"),
                ("/percentage/25", "\"percentage\": 25"),
                ("/shadow/5", "\"shadow\": 5"),
                ("/allow/home", "\"home\""),
                ("/rollback", "the operator asked for it"),
            ] {
                let status = ask(&control, Method::POST, path).unwrap_or_else(|_| panic!("{path}"));
                assert!(status.contains(said), "{path}: {status}");
            }
            let metrics = ask(&control, Method::GET, "/metrics").unwrap_or_default();
            for line in ["migration_phase 1", "requests_routed_total{route=\"p2p\"} 0", "migration_rollbacks_total 1"] {
                assert!(metrics.lines().any(|said| said == line), "no {line} in {metrics}");
            }
        });
    }

    #[test]
    fn a_command_that_makes_no_sense_changes_nothing_and_names_what_was_wrong() {
        run(|control| async move {
            let before = ask(&control, Method::GET, "/").unwrap_or_default();
            for (path, named) in [
                ("/phase/5", "5"),
                ("/phase/x", "x"),
                ("/percentage/101", "101"),
                ("/percentage/-1", "-1"),
                ("/deny/a b", "a b"),
            ] {
                match ask(&control, Method::POST, path) {
                    Err(Problem::Refused(error)) => assert!(error.to_string().contains(named), "{path}: {error}"),
                    Err(Problem::NoSuchCommand) => panic!("{path} is a command"),
                    Ok(status) => panic!("{path}: {status}"),
                }
            }
            assert_eq!(ask(&control, Method::GET, "/").unwrap_or_default(), before);
            assert!(matches!(ask(&control, Method::POST, "/phaze/2"), Err(Problem::NoSuchCommand)));
            assert!(matches!(ask(&control, Method::DELETE, "/"), Err(Problem::NoSuchCommand)));
            assert!(before.contains("\"phase\": 1"), "{before}");
        });
    }
}
