//! The tunnel server, in virtual time, with homes and apps that say anything.

#![allow(unreachable_pub, reason = "modules of one program")]

mod apps;
#[path = "../common/mod.rs"]
mod common;
mod gateway;
mod requests;
mod responses;
mod security;
mod sender;
mod sender_life;
mod tokens;
mod tunnel;
