//! What an operator asks a running daemon, over HTTP on loopback.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | Prometheus text, or OpenMetrics for who asks for that |
//! | `/livez` | 200 for as long as the process answers at all |
//! | `/readyz` | each check by name and problem, as JSON; 200 if all are well, 503 if not |
//!
//! There is no authentication, so [`AdminServer`] refuses to listen anywhere but on loopback. [`Health`] and
//! [`MetricsExport`] are what it shows.

#[cfg(test)]
mod golden;
mod health;
mod metrics;
mod openmetrics;
mod server;

pub use self::{
    health::Health,
    metrics::MetricsExport,
    server::{AdminAddr, AdminServer},
};
