//! What an operator asks a running daemon, over HTTP, and what a person looks at.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a page: peers and their paths, traffic, rules, health, events, as they are now |
//! | `/status.json` | the same as data |
//! | `/metrics` | Prometheus text, or OpenMetrics for who asks for that |
//! | `/livez` | 200 for as long as the process answers at all |
//! | `/readyz` | each check by name and problem, as JSON; 200 if all are well, 503 if not |
//! | `POST /reload` | the configuration is read again; 422 says why it was not taken, and nothing has changed |
//! | `/migration` | of a tunnel server or a gateway, how its migration is; `POST` below it, like `/migration/phase/2`, changes that |
//! | `POST /drain` | nothing new from now on, and the end when what is open has ended, or at the drain's deadline |
//!
//! It listens on loopback or at a Unix domain socket. Anywhere else it needs a token, which is then asked for; `guard` is
//! who may ask what. The server is `server`, the paths are `routes`.
//!
//! - [`Health`] and [`MetricsExport`]: checks and numbers; `openmetrics`: another way to write them.
//! - `history`: the last minutes. `page`: the files of the page. [`Controls`]: what can be done.

mod controls;
#[cfg(test)]
mod golden;
mod guard;
mod health;
mod history;
mod metrics;
mod openmetrics;
mod page;
mod routes;
mod server;

pub use self::{
    controls::Controls,
    health::Health,
    metrics::MetricsExport,
    server::{AdminAddr, AdminOptions, AdminServer},
};
