//! The tunnel and the way off it, by the programs that an operator runs, in the order of `docs/MIGRATION.md`.

mod bad_input;
mod ground;
mod phases;
mod tls;
