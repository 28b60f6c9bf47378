//! The router between the tunnel and P2P, with its state on disk.

use std::sync::Arc;

use tunnel_compat::{
    migration::{MigrationConfig, Router, StateFile},
    route::Route,
};

use super::{args::MigrationArgs, run::Part};
use crate::Error;

/// Between these two, with what was set before.
pub(super) fn router(
    part: &Part,
    tunnel: Arc<dyn Route>,
    p2p: Arc<dyn Route>,
    args: &MigrationArgs,
) -> Result<Router, Error> {
    let config = MigrationConfig {
        drain: args.tunnel_drain,
        move_over: args.move_over,
        idle_after: args.idle_after,
        fallback_after: args.fallback_after,
        error_rate_max: args.errors_max,
        slow_rate_max: args.slow_max,
        latency_max: args.slow_after,
        ..MigrationConfig::default()
    };
    let file = StateFile::new(args.state.clone().unwrap_or_else(|| part.state.clone()));
    let path = file.path().display().to_string();
    let router = Router::new(tunnel, p2p, config, Some(file), part.runtime())?;
    let phase = router.policy().phase;
    part.console.line(format_args!("The migration is in phase {phase}; {path} keeps that."));
    Ok(router)
}
