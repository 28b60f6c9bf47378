//! The last minutes, for the page's charts.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Daemon, daemon::Status};

/// Samples of the last five minutes. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct History(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    /// What was counted when the last sample was taken.
    counted: Option<[u64; 2]>,
    last: VecDeque<Sample>,
}

/// One look at everything together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    /// Bytes a second, received and sent.
    rates: [f64; 2],
    /// The median over the peers, in seconds.
    rtt: Option<f64>,
}

/// All samples, oldest first, as the page wants them.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    period_seconds: f64,
    bytes_in: Vec<f64>,
    bytes_out: Vec<f64>,
    rtt_seconds: Vec<Option<f64>>,
}

impl History {
    /// Takes samples for as long as it runs, which is for ever.
    pub(super) fn keep(&self, daemon: Daemon) -> impl Future<Output = ()> + Send + use<> {
        let history = self.clone();
        async move {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                history.sample(&daemon.status());
            }
        }
    }

    fn sample(&self, status: &Status) {
        let rules = || status.rules.iter().map(|rule| &rule.counters);
        let counted = [rules().map(|of| of.bytes_in).sum(), rules().map(|of| of.bytes_out).sum()];
        let mut rtts: Vec<f64> = status.peers.iter().filter_map(|peer| peer.rtt_seconds).collect();
        rtts.sort_by(f64::total_cmp);
        let rtt = rtts.get(rtts.len() / 2).copied();

        let mut samples = self.0.lock();
        if let Some(before) = samples.counted {
            // A rule that went took its bytes with it; that is no traffic.
            let rate = |at: usize| u64::saturating_sub(counted[at], before[at]) as f64 / PERIOD.as_secs_f64();
            let rates = [rate(0), rate(1)];
            if samples.last.len() == SAMPLES_MAX {
                samples.last.pop_front();
            }
            samples.last.push_back(Sample { rates, rtt });
        }
        samples.counted = Some(counted);
    }

    pub(super) fn series(&self) -> Series {
        let samples = self.0.lock();
        let rates = |at: usize| samples.last.iter().map(|sample| sample.rates[at]).collect();
        Series {
            period_seconds: PERIOD.as_secs_f64(),
            bytes_in: rates(0),
            bytes_out: rates(1),
            rtt_seconds: samples.last.iter().map(|sample| sample.rtt).collect(),
        }
    }
}

/// Between samples: what moves on the page moves by this.
const PERIOD: Duration = Duration::from_secs(2);

/// Five minutes.
const SAMPLES_MAX: usize = 150;
