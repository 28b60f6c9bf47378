//! What is answered at which path.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;
use tunnel_compat::migration::Control;

use super::{
    Controls, Health,
    guard::{Guard, Verdict},
    history::{History, Series},
    openmetrics, page,
};
use crate::{
    Daemon,
    daemon::{Event, Status},
};

/// A daemon, as it is asked.
pub(super) struct Routes {
    pub(super) daemon: Daemon,
    pub(super) health: Health,
    pub(super) history: History,
    pub(super) controls: Controls,
    pub(super) guard: Guard,
}

/// Everything that the page shows.
#[derive(Serialize)]
struct Overview {
    #[serde(flatten)]
    status: Status,
    /// Now, in seconds since the Unix epoch.
    at: f64,
    ready: bool,
    events: Vec<Arc<Event>>,
    history: Series,
    /// Of a tunnel server or a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    migration: Option<serde_json::Value>,
}

impl Routes {
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        match self.guard.check(&request) {
            Ok(verdict) => match (request.method(), request.uri().path()) {
                (method, path) if is_migration(path) => self.migrate(method, path),
                (&Method::GET | &Method::HEAD, path) => self.look(&request, path, verdict),
                (&Method::POST, path) => self.act(path).await,
                _ => not_allowed("GET, HEAD, POST"),
            },
            Err((status, why)) => {
                let mut response = respond(status, TEXT, why);
                if status == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(WWW_AUTHENTICATE, "Bearer".parse().expect("plain ASCII"));
                }
                response
            }
        }
    }

    fn look<B>(&self, request: &Request<B>, path: &str, verdict: Verdict) -> Response<Full<Bytes>> {
        match path {
            "/metrics" => self.metrics(request),
            "/livez" => respond(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => {
                let report = self.health.report();
                let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                match verdict {
                    Verdict::All => respond(status, JSON, json(&report)),
                    Verdict::YesOrNo => respond(status, TEXT, if report.ready { "ready\n" } else { "not ready\n" }),
                }
            }
            "/status.json" => respond(StatusCode::OK, JSON, json(&self.overview())),
            "/reload" | "/drain" => not_allowed("POST"),
            _ => page::file(path).unwrap_or_else(|| respond(StatusCode::NOT_FOUND, TEXT, PATHS)),
        }
    }

    async fn act(&self, path: &str) -> Response<Full<Bytes>> {
        let Some(action) = self.controls.at(path) else {
            return match path {
                "/reload" => respond(StatusCode::CONFLICT, TEXT, NO_RELOAD),
                "/drain" => respond(StatusCode::CONFLICT, TEXT, NO_DRAIN),
                _ => not_allowed("GET, HEAD"),
            };
        };
        match action().await {
            Ok(said) => respond(StatusCode::OK, TEXT, said + "\n"),
            Err(why) => respond(StatusCode::UNPROCESSABLE_ENTITY, TEXT, why + "\n"),
        }
    }

    fn migrate(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let Some(migration) = self.controls.migration() else {
            return respond(
                StatusCode::NOT_FOUND,
                TEXT,
                "nothing migrates here: `p2pd tunnel serve` and `p2pd gateway` have a router\n",
            );
        };
        let (status, said) = migration.ask(method, &path[MIGRATION.len()..]);
        respond(status, if status == StatusCode::OK { JSON } else { TEXT }, said)
    }

    fn overview(&self) -> Overview {
        let report = self.health.report();
        // The provider's checks are among all of them.
        let status = Status { checks: report.checks, ..self.daemon.status() };
        Overview {
            status,
            at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            ready: report.ready,
            events: self.daemon.events().since(0),
            history: self.history.series(),
            migration: self.controls.migration().map(Control::status),
        }
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let export = self.daemon.export();
        self.health.record(export.recorder());
        let mut text = export.render();
        if let Some(migration) = self.controls.migration() {
            text.push_str(&migration.metrics());
        }
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let mut response = if openmetrics::is_preferred(accept) {
            respond(StatusCode::OK, openmetrics::CONTENT_TYPE, openmetrics::from_prometheus(&text))
        } else {
            respond(StatusCode::OK, PROMETHEUS_TEXT, text)
        };
        response.headers_mut().insert(VARY, "Accept".parse().expect("plain ASCII"));
        response
    }
}

fn is_migration(path: &str) -> bool {
    path == MIGRATION || path.strip_prefix(MIGRATION).is_some_and(|rest| rest.starts_with('/'))
}

const MIGRATION: &str = "/migration";

fn not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("only {allowed} is answered here\n"));
    response.headers_mut().insert(ALLOW, allowed.parse().expect("plain ASCII"));
    response
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it is plain data") + "\n"
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Full::new(body.into()))
        .expect("constant headers are valid")
}

const NO_RELOAD: &str =
    "there is no configuration file to read again: this runs by its arguments, as `p2pd up` does not\n";

const NO_DRAIN: &str =
    "this cannot be drained from here: it ends with the program that it is a part of, as in `p2pd demo`\n";

const PATHS: &str = "there are /, /status.json, /metrics, /livez, /readyz, /migration, and by POST /reload, /drain and what is below /migration\n";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus's text format, version 0.0.4.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
