//! Every property fails on a provider that breaks what it is about; otherwise it would prove nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use p2p::{
    P2PProvider,
    conformance::{Capabilities, Harness, PROPERTIES, Property, Silence, Verdict},
    memory::MemoryNetwork,
    mock::{Fault, Overlay, Saboteur},
};

/// Two in-memory peers, both sabotaged.
struct Sabotaged(Fault);

#[async_trait::async_trait]
impl Harness for Sabotaged {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let network = MemoryNetwork::new();
        let sabotaged = |name| Arc::new(Saboteur::new(network.provider(name), self.0));
        (sabotaged("alice"), sabotaged("bob"))
    }

    async fn silence(&self) -> Option<Silence> {
        let network = MemoryNetwork::new();
        let sabotaged = async |name| {
            let overlay = Overlay::new(network.provider(name)).await.expect("nobody listens yet");
            Arc::new(Saboteur::new(overlay, self.0))
        };
        Some(Silence {
            ours: sabotaged("alice").await,
            theirs: sabotaged("bob").await,
            silent: Overlay::silent(network.provider("carol")).await.expect("nobody listens yet"),
        })
    }

    fn capabilities(&self) -> Capabilities {
        match self.0 {
            Fault::HidesMissingDatagrams => Capabilities::default().without_datagrams(),
            _ => Capabilities::default(),
        }
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Runs the property in paused time: `Err` if it failed.
fn run(property: &Property, fault: Fault) -> std::thread::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(property.run(&Sabotaged(fault)))))
}

// A property that holds here would also hold on a provider that is broken in just that way.
#[test]
fn every_property_fails_on_its_saboteurs() {
    let mut unnoticed = Vec::new();
    for property in PROPERTIES {
        for &fault in property.faults {
            if let Ok(verdict) = run(property, fault) {
                unnoticed.push(format!("{}: {fault:?} was {verdict:?}", property.name));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

// The control: a saboteur that breaks nothing passes, so those that fail do so for what they break.
#[test]
fn every_property_holds_on_a_saboteur_that_breaks_nothing() {
    for property in PROPERTIES {
        let verdict = run(property, Fault::Nothing);
        let verdict = verdict.unwrap_or_else(|_| panic!("{property:?} fails, and nothing is broken"));
        assert!(!matches!(verdict, Verdict::CutShort(_)), "{property:?}: {verdict:?}");
    }
}

// `faults` is what the test above runs, so an empty list would pass it without a proof.
#[test]
fn no_property_lacks_a_saboteur() {
    let unproven: Vec<_> = PROPERTIES.iter().filter(|property| property.faults.is_empty()).collect();
    assert!(unproven.is_empty(), "{unproven:?}");
    assert!(PROPERTIES.len() >= 40);
}

// Two properties of one name would hide one of them from whoever looks a property up by it.
#[test]
fn names_are_unique() {
    let mut names: Vec<_> = PROPERTIES.iter().map(|property| property.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), PROPERTIES.len());
}
