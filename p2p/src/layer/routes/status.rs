//! One status of several, and what is known of a peer by all routes.

use std::{future::poll_fn, sync::Arc, task::Poll};

use super::table::Table;
use crate::{Check, PeerAddr, PeerId, PeerInfo, ProviderStatus, Runtime, TaskHandle, Watch, WatchSender};

/// The status of all routes, kept by a task that ends with this.
#[derive(Debug)]
pub(super) struct Merged {
    sender: WatchSender<ProviderStatus>,
    _task: TaskHandle,
}

impl Merged {
    pub(super) fn start(table: &Arc<Table>, runtime: &Arc<dyn Runtime>) -> Self {
        let sender = WatchSender::new(merged(table));
        let mut watches: Vec<_> = table.entries.iter().map(|entry| entry.provider.status()).collect();
        let (table, updates) = (table.clone(), sender.clone());
        let task = async move {
            while !watches.is_empty() {
                // Whichever changes, all are looked at.
                let ended = {
                    let mut changes: Vec<_> = watches.iter_mut().map(|watch| Box::pin(watch.changed())).collect();
                    poll_fn(|cx| {
                        let mut polls =
                            changes.iter_mut().enumerate().map(|(place, change)| (place, change.as_mut().poll(cx)));
                        let ready = polls.find_map(|(place, poll)| match poll {
                            Poll::Ready(changed) => Some((place, changed.is_err())),
                            Poll::Pending => None,
                        });
                        ready.map_or(Poll::Pending, Poll::Ready)
                    })
                    .await
                };
                if let (place, true) = ended {
                    drop(watches.remove(place));
                }
                update(&updates, &table);
            }
        };
        Self { sender, _task: runtime.spawn("merge the routes' status", Box::pin(task)) }
    }

    /// Up to date, whether or not the task has had its turn.
    pub(super) fn watch(&self, table: &Table) -> Watch<ProviderStatus> {
        update(&self.sender, table);
        self.sender.subscribe()
    }
}

fn update(sender: &WatchSender<ProviderStatus>, table: &Table) {
    let status = merged(table);
    sender.modify(|present| {
        let changed = *present != status;
        *present = status;
        changed
    });
}

fn merged(table: &Table) -> ProviderStatus {
    let named = |name: &str, check: Check| Check { name: format!("{name}: {}", check.name), ..check };
    let statuses = table.entries.iter().map(|entry| {
        let status = entry.provider.status().get();
        let checks = status.checks.into_iter().map(|check| named(&entry.name, check)).collect();
        ProviderStatus { checks, ..status }
    });
    let merge = |mut all: ProviderStatus, one: ProviderStatus| {
        all.addr = merge_addr(all.addr, one.addr);
        all.checks.extend(one.checks);
        all.shut_down &= one.shut_down;
        all
    };
    statuses.reduce(merge).expect("there is at least one route")
}

/// The hints of both.
pub(super) fn merge_addr(mut all: PeerAddr, one: PeerAddr) -> PeerAddr {
    all.relays.extend(one.relays);
    all.direct.extend(one.direct);
    all
}

pub(super) fn peer_info(table: &Table, peer: PeerId) -> Option<PeerInfo> {
    let infos = table.entries.iter().filter_map(|entry| {
        let info = entry.provider.peer_info(peer)?;
        let notes = info.notes.into_iter().map(|(name, note)| (format!("{}: {name}", entry.name), note)).collect();
        Some(PeerInfo { notes, ..info })
    });
    infos.reduce(|mut all, one| {
        all.addr = merge_addr(all.addr, one.addr);
        all.connections += one.connections;
        all.last_seen = all.last_seen.max(one.last_seen);
        all.notes.extend(one.notes);
        all
    })
}
