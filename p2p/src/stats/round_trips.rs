//! Round trips, one by one.

use std::time::Duration;

use serde::Serialize;

/// Round trips as the keepalives of one side measured them, one per answered keepalive.
///
/// The first is measured one [`keepalive_interval`](crate::ConnectionConfig::keepalive_interval) after the connection
/// began. A keepalive waits its turn behind data that is under way, so these are the round trips that an application
/// sees, queues included; [`ConnectionStats::rtt`](crate::ConnectionStats::rtt) is the transport's own where it has one.
///
/// ```
/// use std::time::Duration;
/// use p2p::RoundTrips;
///
/// let mut round_trips = RoundTrips::default();
/// for ms in [30, 20, 90] {
///     round_trips.record(Duration::from_millis(ms));
/// }
/// assert_eq!(round_trips.min(), Some(Duration::from_millis(20)));
/// assert_eq!(round_trips.latest(), Some(Duration::from_millis(90)));
/// // Two above 10 ms and up to 50 ms, one above 50 ms and up to 100 ms.
/// let counted: Vec<_> = round_trips.histogram().filter(|(_, count)| *count > 0).collect();
/// assert_eq!(counted, [
///     (Some(Duration::from_millis(20)), 1), (Some(Duration::from_millis(50)), 1), (Some(Duration::from_millis(100)), 1),
/// ]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RoundTrips {
    latest: Option<Duration>,
    min: Option<Duration>,
    /// How many were up to each bound and above the one before; the last ones were above all bounds.
    counts: [u32; Self::BOUNDS.len() + 1],
}

impl RoundTrips {
    /// The upper bounds of the histogram, each included: 1, 2, 5 in each decade from 1 ms to 2 s, beyond which nobody calls a
    /// connection usable.
    pub const BOUNDS: [Duration; 11] = [
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(200),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_secs(2),
    ];

    /// Adds a round trip.
    pub fn record(&mut self, round_trip: Duration) {
        self.latest = Some(round_trip);
        self.min = Some(self.min.map_or(round_trip, |min| min.min(round_trip)));
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < round_trip);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
    }

    /// Adds all of `later`, which were measured after these: for layers whose connection outlives its transport.
    pub fn extend(&mut self, later: &Self) {
        self.latest = later.latest.or(self.latest);
        self.min = [self.min, later.min].into_iter().flatten().min();
        for (count, more) in self.counts.iter_mut().zip(later.counts) {
            *count = count.saturating_add(more);
        }
    }

    /// The last one.
    pub const fn latest(&self) -> Option<Duration> {
        self.latest
    }

    /// The shortest one.
    pub const fn min(&self) -> Option<Duration> {
        self.min
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// How many were up to each of [`BOUNDS`](Self::BOUNDS) and above the one before; with no bound, those above all.
    pub fn histogram(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = Self::BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.counts.iter().map(|count| u64::from(*count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: &[u64]) -> RoundTrips {
        let mut round_trips = RoundTrips::default();
        ms.iter().for_each(|ms| round_trips.record(Duration::from_millis(*ms)));
        round_trips
    }

    #[test]
    fn a_bound_belongs_to_what_it_bounds() {
        for (number, bound) in RoundTrips::BOUNDS.into_iter().enumerate() {
            for (round_trip, bucket) in [(bound, number), (bound + Duration::from_nanos(1), number + 1)] {
                let mut round_trips = RoundTrips::default();
                round_trips.record(round_trip);
                assert_eq!(round_trips.histogram().position(|(_, count)| count == 1), Some(bucket), "{round_trip:?}");
            }
        }
    }

    #[test]
    fn what_came_later_is_the_latest() {
        let mut all = of(&[30, 10]);
        all.extend(&of(&[70, 20]));
        assert_eq!(all, of(&[30, 10, 70, 20]));
        all.extend(&RoundTrips::default());
        assert_eq!(
            (all.latest(), all.min(), all.count()),
            (Some(Duration::from_millis(20)), Some(Duration::from_millis(10)), 4)
        );
    }
}
