//! What stands behind a layer that has a say in a listener's handshakes.

use std::sync::Arc;

use crate::{Answer, Capability, ListenConfig, PeerId, Refusal};

/// The listener's own answer, or one that does what having none does. A layer asks it once it has said yes itself.
pub(super) fn behind(config: &ListenConfig) -> Arc<dyn Answer> {
    match &config.answer {
        Some(answer) => answer.clone(),
        None => Arc::new(TakesWhatItKnows(config.connection.capabilities.clone())),
    }
}

/// Welcomes everybody, and takes offered capabilities as they are if it has one of the same name. See
/// [`ListenConfig::answer`].
#[derive(Debug)]
struct TakesWhatItKnows(Vec<Capability>);

impl Answer for TakesWhatItKnows {
    fn answer(&self, _: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
        let known = |offered: &&Capability| self.0.iter().any(|own| own.name == offered.name);
        Ok(offered.iter().filter(known).cloned().collect())
    }
}
