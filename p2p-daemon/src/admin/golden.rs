//! The one list of what is exported, and everything that is written against it: dashboards and alerts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use p2p::{TokioRuntime, memory::MemoryNetwork};
use serde_json::Value;
use tunnel_compat::{
    homes::Homes,
    migration::{Control, MigrationConfig, Router},
};

use super::Health;
use crate::{
    Daemon, Shutdown,
    access::Access,
    stack::{GRACE, Stack},
};

// No name changes or vanishes by accident, and all are there before anything has happened.
const GOLDEN: &[(&str, &str)] = &[
    ("p2p_backpressure_seconds_total", "counter"),
    ("p2p_build_info", "gauge"),
    ("p2p_bytes_total", "counter"),
    ("p2p_connect_attempts_total", "counter"),
    ("p2p_connect_duration_seconds", "histogram"),
    ("p2p_connections", "gauge"),
    ("p2p_connections_closed_total", "counter"),
    ("p2p_connections_opened_total", "counter"),
    ("p2p_datagrams_dropped_total", "counter"),
    ("p2p_datagrams_total", "counter"),
    ("p2p_forward_bytes_total", "counter"),
    ("p2p_forward_datagrams_dropped_total", "counter"),
    ("p2p_forward_datagrams_total", "counter"),
    ("p2p_forward_errors_total", "counter"),
    ("p2p_forward_flows", "gauge"),
    ("p2p_forward_flows_opened_total", "counter"),
    ("p2p_forward_streams", "gauge"),
    ("p2p_forward_streams_opened_total", "counter"),
    ("p2p_health_status", "gauge"),
    ("p2p_messages_total", "counter"),
    ("p2p_path_changes_total", "counter"),
    ("p2p_path_rtt_seconds", "histogram"),
    ("p2p_send_queue_full_total", "counter"),
    ("p2p_sends_waiting", "gauge"),
    ("p2p_streams_opened_total", "counter"),
    ("p2p_time_to_direct_seconds", "histogram"),
    ("process_cpu_seconds_total", "counter"),
    ("process_max_fds", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
    ("process_threads", "gauge"),
    ("process_virtual_memory_bytes", "gauge"),
    ("process_virtual_memory_max_bytes", "gauge"),
];

// What a tunnel server and a gateway have besides.
const MIGRATION: &[(&str, &str)] = &[
    ("migration_breaker_open", "gauge"),
    ("migration_cut_total", "counter"),
    ("migration_decisions_total", "counter"),
    ("migration_fallbacks_total", "counter"),
    ("migration_phase", "gauge"),
    ("migration_refused_total", "counter"),
    ("migration_rollbacks_total", "counter"),
    ("migration_shadow_total", "counter"),
    ("requests_failed_total", "counter"),
    ("requests_in_flight", "gauge"),
    ("requests_routed_total", "counter"),
    ("websockets_in_flight", "gauge"),
];

// What a daemon over iroh has besides, of iroh's own only what the dashboard shows.
const IROH: &[(&str, &str)] = &[
    ("iroh_socket_holepunch_attempts_total", "counter"),
    ("iroh_socket_paths_direct_total", "counter"),
    ("iroh_socket_paths_relay_total", "counter"),
    ("iroh_socket_recv_data_ipv4_total", "counter"),
    ("iroh_socket_recv_data_ipv6_total", "counter"),
    ("iroh_socket_recv_data_relay_total", "counter"),
    ("iroh_socket_relay_conns_closed_total", "counter"),
    ("iroh_socket_relay_conns_failed_total", "counter"),
    ("iroh_socket_relay_conns_ratelimited_total", "counter"),
    ("iroh_socket_relay_conns_success_total", "counter"),
    ("iroh_socket_relay_home_change_total", "counter"),
    ("iroh_socket_send_ipv4_total", "counter"),
    ("iroh_socket_send_ipv6_total", "counter"),
    ("iroh_socket_send_relay_total", "counter"),
    ("p2p_holepunch_attempts_total", "counter"),
    ("p2p_relay_connected", "gauge"),
    ("p2p_turned_away_total", "counter"),
];

#[cfg(feature = "p2p-iroh")]
#[tokio::test]
async fn what_the_list_has_of_iroh_is_exported_from_the_start() {
    let config = p2p_iroh::IrohConfig::default()
        .with_bind([([127, 0, 0, 1], 0).into()])
        .with_relays([p2p_iroh::RelayServer::new("https://127.0.0.1:1").unwrap()]);
    let iroh = Arc::new(p2p_iroh::IrohP2P::bind(config).await.unwrap());
    let stack = Stack::new(iroh.clone(), GRACE).unwrap();
    iroh.export_metrics(stack.export.recorder());
    let text = stack.export.render();
    for (name, kind) in IROH {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "no {name} in {text}");
    }
    stack.end().await;
}

#[tokio::test]
async fn a_routers_names_are_those_of_the_golden_list_from_the_start() {
    let (tunnel, p2p) = (Arc::new(Homes::new("legacy", [])), Arc::new(Homes::new("p2p", [])));
    let router = Router::new(tunnel, p2p, MigrationConfig::default(), None, Arc::new(TokioRuntime)).unwrap();
    let text = Control::new(router).metrics();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    assert_eq!(types.collect::<BTreeMap<_, _>>(), MIGRATION.iter().copied().collect(), "{text}");
    for route in ["legacy", "p2p"] {
        assert!(text.contains(&format!("requests_routed_total{{route=\"{route}\"}} 0\n")), "{text}");
    }
}

#[tokio::test]
async fn the_names_are_those_of_the_golden_list_from_the_start() {
    let stack = Stack::new(Arc::new(MemoryNetwork::new().provider("alice")), GRACE).unwrap();
    let export = stack.export.clone();
    let daemon = Daemon::start(&stack, Access::ephemeral(), Shutdown::new(Duration::ZERO).1);
    Health::of(&daemon).record(export.recorder());

    let text = export.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<_, _> = types.collect();
    assert_eq!(types, GOLDEN.iter().copied().collect(), "{text}");
    for (name, _) in GOLDEN {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[test]
fn the_dashboard_names_only_what_is_exported() {
    let dashboard: Value = serde_json::from_str(include_str!("../../deploy/grafana/p2pd.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 20, "{}", expressions.len());
    expressions.iter().for_each(|expression| exported(expression));
    // What only one kind of daemon has is shown, too.
    let shown = expressions.join(" ");
    for name in
        ["p2p_forward_flows", "iroh_socket_holepunch_attempts_total", "requests_routed_total", "migration_phase"]
    {
        assert!(shown.contains(name), "no panel shows {name}");
    }
    exported(dashboard["templating"]["list"][1]["definition"].as_str().unwrap());
}

#[test]
fn the_alerts_name_only_what_is_exported() {
    exported(include_str!("../../deploy/prometheus/alerts.yml"));
}

/// Panics at a name of ours that is not in the list.
#[track_caller]
fn exported(expressions: &str) {
    let words = expressions.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for name in words.filter(|word| {
        ["p2p_", "iroh_", "process_", "migration_", "requests_"].iter().any(|ours| word.starts_with(ours))
    }) {
        let known = GOLDEN.iter().chain(MIGRATION).chain(IROH).any(|&(family, kind)| match kind {
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|part| name.strip_suffix(part) == Some(family)),
            _ => family == name,
        });
        assert!(known, "nothing exports {name}, which stands in {expressions}");
    }
}
