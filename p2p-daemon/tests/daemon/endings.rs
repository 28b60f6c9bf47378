//! How the program ends.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use crate::{
    process::P2pd,
    service::{connect, echo, serve, share},
};

#[test]
fn an_interrupt_ends_both_sides_with_0() {
    let (mut share, ticket) = share(serve(echo), &[]);
    let (mut connect, _) = connect(&ticket);
    for (side, signal) in [(&mut connect, "INT"), (&mut share, "TERM")] {
        side.signal(signal);
        assert_eq!(side.ends().code(), Some(0), "{}", side.stderr.text());
        side.says("Ending.");
    }
}

#[test]
fn what_is_open_may_finish_while_nothing_new_begins() {
    let (_share, ticket) = share(serve(echo), &[]);
    let (mut connect, addr) = connect(&ticket);
    let mut open = TcpStream::connect(addr).unwrap();
    let mut answer = [0; 5];
    open.write_all(b"first").unwrap();
    open.read_exact(&mut answer).unwrap();

    connect.signal("INT");
    connect.says("Ending.");
    open.write_all(b"later").unwrap();
    open.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"later");
    open.shutdown(Shutdown::Write).unwrap();
    assert_eq!(connect.ends().code(), Some(0));
    TcpStream::connect(addr).expect_err("nobody listens there any more");
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let (_share, ticket) = share(serve(echo), &[]);
    let args = ["connect", &ticket, "--listen", "127.0.0.1:0", "--admin", "off", "--drain", "86400"];
    let mut connect = P2pd::start(&args);
    let addr = crate::process::addr_in(&connect.says("Listening on"));
    connect.says("Connected in");
    let mut open = TcpStream::connect(addr).unwrap();
    open.write_all(b"x").unwrap();
    open.read_exact(&mut [0]).unwrap();

    connect.signal("INT");
    connect.says("Ending.");
    connect.signal("INT");
    assert_eq!(connect.ends().code(), Some(130));
}

// The ordinary end of a torn-off answer would be taken for the whole of it.
#[test]
fn what_is_open_at_the_deadline_is_reset() {
    let (_share, ticket) = share(serve(echo), &[]);
    let args = ["connect", &ticket, "--listen", "127.0.0.1:0", "--admin", "off", "--drain", "0.1"];
    let mut connect = P2pd::start(&args);
    let addr = crate::process::addr_in(&connect.says("Listening on"));
    connect.says("Connected in");
    let mut open = TcpStream::connect(addr).unwrap();
    open.write_all(b"x").unwrap();
    open.read_exact(&mut [0]).unwrap();

    connect.signal("TERM");
    let error = open.read(&mut [0]).expect_err("a reset is an error");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(connect.ends().code(), Some(0));
}
