//! Requests that say in two ways how long they are.
//!
//! `Content-Length` beside `Transfer-Encoding` is how requests are smuggled past one program to another that counts the
//! other way (RFC 9112 §11.2). hyper believes the one and hides the other; here such a request is refused, and so is
//! whatever comes behind it. For that, requests are told apart by their lengths, as hyper does it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

/// Passes requests on to `W`, but for those that are refused.
#[derive(Debug)]
pub(super) struct Screened<W> {
    inner: W,
    screen: Screen,
    /// What may pass and has not yet.
    out: BytesMut,
    /// Bytes of the present write that have been looked at.
    taken: Option<usize>,
}

impl<W> Screened<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, screen: Screen::default(), out: BytesMut::new(), taken: None }
    }
}

impl<W: AsyncWrite + Unpin> Screened<W> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Screened<W> {
    /// Ready once everything has passed, so that nothing waits here for another write.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.taken.is_none() {
            this.screen.feed(bytes, &mut this.out);
            this.taken = Some(bytes.len());
        }
        ready!(this.poll_out(cx))?;
        Poll::Ready(Ok(this.taken.take().unwrap_or_default()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A head that was cut is hyper's to complain about.
        if let State::Head(head) = &mut self.screen.0 {
            let head = std::mem::take(head);
            self.out.extend_from_slice(&head);
        }
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Where in a sequence of requests one is.
#[derive(Debug, Default)]
struct Screen(State);

#[derive(Debug)]
enum State {
    /// In a head, of which this is there.
    Head(Vec<u8>),
    /// In a body, with so many bytes to come.
    Body(u64),
    /// In the line before a chunk, of which this is there.
    ChunkSize(Vec<u8>),
    /// In a chunk and the end of its line, with so many bytes to come.
    Chunk(u64),
    /// In a line after the last chunk; the end of an empty one ends the request.
    Trailer { line_bytes: usize },
    /// In something that is not requests any more, or that hyper will refuse by itself.
    Opaque,
    /// Behind a request that was refused.
    Refused,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Screen {
    /// Appends to `out` what of `bytes` may pass.
    fn feed(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while let Some(&byte) = bytes.first() {
            match &mut self.0 {
                State::Head(head) => {
                    head.push(byte);
                    bytes.advance(1);
                    let ended = head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n");
                    if ended || head.len() > super::serve::HEAD_BYTES_MAX {
                        let head = std::mem::take(head);
                        self.0 = if ended { after(&head) } else { State::Opaque };
                        let refused = matches!(self.0, State::Refused);
                        out.extend_from_slice(if refused { MALFORMED } else { &head });
                    }
                }
                State::Body(left) | State::Chunk(left) => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    out.extend_from_slice(&bytes[..len]);
                    bytes.advance(len);
                    *left -= len as u64;
                    match &self.0 {
                        State::Body(0) => self.0 = State::default(),
                        State::Chunk(0) => self.0 = State::ChunkSize(Vec::new()),
                        _ => {}
                    }
                }
                State::ChunkSize(line) => {
                    line.push(byte);
                    out.extend_from_slice(&[byte]);
                    bytes.advance(1);
                    if byte == b'\n' || line.len() > CHUNK_LINE_BYTES_MAX {
                        self.0 = match chunk_size(line) {
                            Some(0) => State::Trailer { line_bytes: 0 },
                            // With the end of its line.
                            Some(size) => State::Chunk(size + 2),
                            None => State::Opaque,
                        };
                    }
                }
                State::Trailer { line_bytes } => {
                    out.extend_from_slice(&[byte]);
                    bytes.advance(1);
                    match (byte, *line_bytes) {
                        (b'\n', 0) => self.0 = State::default(),
                        (b'\n', _) => *line_bytes = 0,
                        (b'\r', _) => {}
                        _ => *line_bytes += 1,
                    }
                }
                State::Opaque => {
                    out.extend_from_slice(bytes);
                    return;
                }
                State::Refused => return,
            }
        }
    }
}

/// What comes after a head.
fn after(head: &[u8]) -> State {
    let mut lengths: Vec<&[u8]> = Vec::new();
    let (mut encoded, mut upgrades) = (false, head.starts_with(b"CONNECT "));
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value);
        }
        encoded |= name.eq_ignore_ascii_case(b"transfer-encoding");
        upgrades |= name.eq_ignore_ascii_case(b"upgrade");
    }
    match (lengths.as_slice(), encoded) {
        ([], true) => State::ChunkSize(Vec::new()),
        (_, true) => State::Refused,
        ([], false) if upgrades => State::Opaque,
        ([], false) => State::default(),
        ([length, ..], false) => match std::str::from_utf8(length).ok().and_then(|text| text.parse::<u64>().ok()) {
            Some(0) if upgrades => State::Opaque,
            Some(0) => State::default(),
            Some(length) => State::Body(length),
            None => State::Opaque,
        },
    }
}

/// The size in the line before a chunk.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let size = text.split(';').next()?.trim();
    u64::from_str_radix(size, 16).ok().filter(|size| *size < u64::MAX - 2)
}

/// What hyper answers with 400, and then closes.
const MALFORMED: &[u8] = b"refused: both Content-Length and Transfer-Encoding\r\n\r\n";

/// Bytes of the longest line before a chunk that is looked at: sixteen digits, and extensions that nobody uses.
const CHUNK_LINE_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of `bytes`, fed in pieces of `piece`.
    fn pass(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut screen, mut out) = (Screen::default(), BytesMut::new());
        for piece in bytes.chunks(piece) {
            screen.feed(piece, &mut out);
        }
        out.to_vec()
    }

    #[test]
    fn ordinary_requests_pass_unchanged_however_they_are_cut() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyPUT / \
                     HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: \
                     1\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n";
        for piece in 1..text.len() {
            assert_eq!(pass(text, piece), text, "in pieces of {piece}");
        }
    }

    #[test]
    fn two_lengths_are_refused_with_all_that_follows_wherever_they_stand() {
        let bad = "POST / HTTP/1.1\r\ncontent-LENGTH : 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
        for before in [
            "",
            "GET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            let passed = pass(format!("{before}{bad}").as_bytes(), 7);
            assert_eq!(passed, [before.as_bytes(), MALFORMED].concat());
        }
    }

    #[test]
    fn a_body_is_never_taken_for_a_head() {
        let inner = "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
        let text = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
        assert_eq!(pass(text.as_bytes(), 5), text.as_bytes());
    }
}
