//! Providers for tests: one that follows a script, one that is broken in exactly one way, one that lets a test hold the
//! transport.
//!
//! - [`Scripted`], with its [`ScriptedConnection`]s: for tests of code that *uses* connections. The test says what each
//!   dial, accept and recv yields, and looks at what was sent.
//! - `Saboteur` (feature `conformance`): for tests of tests. It wraps a good provider and breaks one promise of the
//!   contract, its `Fault`; the conformance suite has to notice.
//! - `Overlay` (feature `conformance`): a provider on top of another, whose connections are its transports. A test that
//!   holds one of them can be silent, or write what no honest peer would.

#[cfg(feature = "conformance")]
mod overlay;
#[cfg(feature = "conformance")]
mod saboteur;
mod scripted;
mod transport;

#[cfg(feature = "conformance")]
pub use self::{
    overlay::Overlay,
    saboteur::{Call, Fault, Saboteur},
};
pub use self::{
    scripted::{Scripted, ScriptedConnection},
    transport::{OverlayRecv, OverlaySend, OverlayTransport},
};
