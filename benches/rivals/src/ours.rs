//! Ours: messages on connections, through the trait, with the trace's hash on.

use p2p_simulator::{
    LinkConfig, Probability, Simulation,
    load::{Exchange, Ring},
};

use crate::{Game, clock::cpu_time};

pub fn delivered_per_second(game: Game) -> f64 {
    let Game { peers, under_way, deliveries } = game;
    let link = LinkConfig::default().with_dial_failure(Probability::NEVER);
    let run = Simulation::new(1).with_link(link).run(|network| async move {
        let ring = Ring::connect(&network, peers).await.expect("dials do not fail here");
        let start = cpu_time();
        let messages = deliveries as usize / peers;
        let exchange = Exchange { message_bytes: 64, in_flight: under_way, messages };
        let delivered = ring.exchange(exchange).await.expect("connections last");
        delivered as f64 / (cpu_time() - start).as_secs_f64()
    });
    run.output
}
