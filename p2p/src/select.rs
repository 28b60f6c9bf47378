//! Waiting for the first of several futures, always trying them in the order they are written.

/// Waits for the first of several futures, like tokio's `select!` with `biased`.
///
/// Tokio's own starts at a random branch, which a replayed run cannot repeat. Here the first branch that is ready, from
/// top to bottom, wins: write what must not starve first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let winner = p2p::select! {
///     _ = std::future::ready(()) => "first",
///     _ = std::future::ready(()) => "second",
/// };
/// assert_eq!(winner, "first");
/// # }
/// ```
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => {
        $crate::__tokio::select! { biased; $($branches)* }
    };
}
