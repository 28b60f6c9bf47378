//! Links as people have them: figures for an access network, each with where it comes from.

use std::{str::FromStr, time::Duration};

use p2p::P2PError;

use crate::{Latency, LinkConfig, Probability, latency::Quantiles, nearest::nearest};

/// A named kind of network, as two links: up, from its peer, and down, to it.
///
/// The figures are round numbers of the right size, not measurements of one network. Latency is one way, to a peer that is
/// well connected; dials fail as seldom as by default.
///
/// ```
/// use p2p_simulator::Profile;
///
/// let profile: Profile = "4g".parse()?;
/// assert!(profile.down().bandwidth > profile.up().bandwidth);
/// # Ok::<(), p2p::P2PError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Switched Ethernet in one building.
    Lan,
    /// A shared radio channel, then a fast line.
    Wifi,
    /// A phone on LTE.
    FourG,
    /// Europe to the east of North America, on wires.
    Transatlantic,
    /// A geostationary satellite.
    Satellite,
    /// A home line behind its operator's address translation.
    Cgnat,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 6] = [Self::Lan, Self::Wifi, Self::FourG, Self::Transatlantic, Self::Satellite, Self::Cgnat];

    /// The name, as it is written in plans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wifi => "wifi",
            Self::FourG => "4g",
            Self::Transatlantic => "transatlantic",
            Self::Satellite => "satellite",
            Self::Cgnat => "cgnat",
        }
    }

    /// The link from the peer.
    pub fn up(self) -> LinkConfig {
        let link = LinkConfig::default();
        match self {
            // Gigabit Ethernet; a switch port has some 512 KiB; cables lose nothing to speak of.
            Self::Lan => {
                link.with_latency(micros(200)).with_loss(Probability::NEVER).with_bandwidth(125_000_000, 512 * KIB)
            }
            // Contention makes the tail: a few ms mostly, tens when the channel is busy. 802.11n at mid range, 50 Mbit/s.
            Self::Wifi => link
                .with_latency(Latency::Quantiles(Quantiles::from_micros([
                    1_000, 2_000, 3_000, 5_000, 12_000, 40_000, 120_000,
                ])))
                .with_loss(Probability::per_million(5_000))
                .with_reorder(Probability::per_million(1_000))
                .with_bandwidth(6_250_000, 256 * KIB),
            // The uplink waits for a grant every 10 to 20 ms; radio retransmits, so loss shows as delay. 10 Mbit/s up.
            Self::FourG => link
                .with_latency(Latency::Quantiles(Quantiles::from_micros([
                    15_000, 25_000, 32_000, 42_000, 65_000, 150_000, 600_000,
                ])))
                .with_loss(Probability::per_million(2_000))
                .with_bandwidth(1_250_000, 512 * KIB),
            // 6,000 km of fibre at 5 µs/km and detours make 40 ms; backbones lose about 0.1 % at busy hours.
            Self::Transatlantic => link
                .with_latency(Duration::from_millis(40))
                .with_jitter(Duration::from_millis(2))
                .with_loss(Probability::per_million(1_000)),
            // 2 × 35,786 km at the speed of light is 239 ms, and 30 ms for framing; consumer plans send 3 Mbit/s.
            Self::Satellite => link
                .with_latency(Duration::from_millis(270))
                .with_jitter(Duration::from_millis(30))
                .with_loss(Probability::per_million(5_000))
                .with_bandwidth(375_000, 256 * KIB),
            // A DSL or cable line: interleaving costs some 8 ms, the operator's translator 2 ms. 10 Mbit/s up.
            Self::Cgnat => link
                .with_latency(Duration::from_millis(20))
                .with_jitter(Duration::from_millis(6))
                .with_loss(Probability::per_million(3_000))
                .with_bandwidth(1_250_000, 256 * KIB)
                // Tunnels to the translator (DS-Lite, RFC 6333) take 40 bytes of each packet.
                .with_mtu(1160),
        }
    }

    /// The link to the peer.
    pub fn down(self) -> LinkConfig {
        let up = self.up();
        match self {
            // The same both ways.
            Self::Lan | Self::Wifi | Self::Transatlantic => up,
            // 40 Mbit/s, without waiting for grants; operators' queues hold a second and more ("bufferbloat").
            Self::FourG => up
                .with_latency(Latency::Quantiles(Quantiles::from_micros([
                    10_000, 15_000, 20_000, 28_000, 45_000, 120_000, 500_000,
                ])))
                .with_bandwidth(5_000_000, 4096 * KIB),
            // Consumer plans receive 25 Mbit/s.
            Self::Satellite => up.with_bandwidth(3_125_000, 1024 * KIB),
            // 100 Mbit/s, a common cable plan.
            Self::Cgnat => up.with_bandwidth(12_500_000, 256 * KIB),
        }
    }
}

const KIB: u64 = 1024;

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

impl FromStr for Profile {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|profile| profile.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let nearest = nearest(text, names).expect("there are profiles");
            P2PError::invalid_input(
                format_args!("profile {text:?}"),
                format_args!("one of {}; the nearest is {nearest:?}", names.join(", ")),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_name_and_another_names_the_nearest() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse::<Profile>().unwrap(), profile);
        }
        let error = "wify".parse::<Profile>().unwrap_err().to_string();
        assert!(error.contains("\"wify\"") && error.contains("the nearest is \"wifi\""), "{error}");
    }

    #[test]
    fn profiles_are_ordered_as_everybody_expects() {
        let typical = |profile: Profile| profile.up().latency.typical();
        for pair in
            [Profile::Lan, Profile::Wifi, Profile::Cgnat, Profile::FourG, Profile::Transatlantic, Profile::Satellite]
                .windows(2)
        {
            assert!(typical(pair[0]) < typical(pair[1]), "{pair:?}");
        }
    }
}
