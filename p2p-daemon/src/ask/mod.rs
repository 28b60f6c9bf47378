//! Asking a running daemon from another process, by its admin interface.
//!
//! [`Client`] asks. `state` is what `/status.json` says, as far as a terminal shows it, and `view` shows it.

mod client;
mod state;
mod view;

pub(crate) use self::{
    client::Client,
    state::State,
    view::{View, bytes, rate},
};
