//! `Reconnect` where transports fail: what a user sees of it, and a sweep over many seeds in which nothing may be lost.

mod killable;
mod lines;
mod many;
mod sweep;
mod traffic;
