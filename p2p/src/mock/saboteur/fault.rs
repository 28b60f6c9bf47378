//! The ways in which a saboteur breaks the contract.

/// One broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is broken: the control, on which every property holds.
    Nothing,

    /// Every third message is not returned by `recv`.
    LosesMessages,
    /// `recv` returns every message twice.
    DuplicatesMessages,
    /// `recv` exchanges neighbours.
    ReordersMessages,
    /// `recv` takes a byte off the end.
    CutsMessages,
    /// `send` accepts an empty message and sends nothing.
    SwallowsEmptyMessages,
    /// Messages and datagrams of exactly the limit are refused.
    RefusesTheLargest,
    /// A message over the limit closes the connection.
    ClosesOnLargeMessages,
    /// `limits` says what this side asked for, whatever was agreed.
    TellsItsOwnLimits,
    /// A message is sent when the next one is.
    HoldsTheLastMessage,
    /// `send` waits while a `recv` does.
    OneDirectionAtATime,
    /// `try_recv` never returns a message.
    FindsNothing,

    /// What does not fit is accepted all the same, and kept.
    AcceptsWithoutBound,
    /// `Full` comes with an empty message.
    EmptiesReturnedMessages,
    /// Once there was no room, there never is again.
    NeverHasRoomAgain,
    /// What does not fit into a stream is taken all the same.
    BuffersStreamsWithoutBound,

    /// A `send` that was dropped sends.
    SendsAfterDrop,
    /// What waits for something takes it first and returns it a moment later.
    TakesBeforeWaiting,
    /// Only the first of several callers of `recv` is ever served.
    OneReceiverAtATime,
    /// A dial that was dropped goes on, and its connection is kept.
    KeepsDroppedDials,
    /// `finish` and `shutdown` take a moment to begin, and do not begin if they are dropped before.
    DropEndsSlowCalls,

    /// A bit of every large chunk is flipped.
    DamagesStreams,
    /// What is written to any stream goes to the first.
    MixesStreams,
    /// Written bytes are sent when the stream is finished.
    HidesUnfinishedStreams,
    /// The end of a stream without bytes is not sent.
    SwallowsEmptyStreams,
    /// While one stream or message waits for room, everything does.
    StallsTogether,
    /// Reads return all there is.
    ReadsTooMuch,
    /// Where `open_stream` would wait, it returns a stream that leads nowhere.
    OpensBeyondTheBound,
    /// A stream keeps its place when it has ended.
    NeverFreesStreams,
    /// The end of one direction ends the other.
    EndsBothDirections,
    /// Resets and stops arrive with code 0.
    ForgetsStreamCodes,
    /// A writer that waits does not learn that its stream was stopped.
    HidesStops,
    /// A stream that is dropped unfinished is finished.
    FinishesDroppedStreams,
    /// The reading half is kept when it is dropped.
    KeepsDroppedReaders,
    /// `delivered` returns at once.
    DeliversTooSoon,
    /// `delivered` never returns.
    NeverDelivers,
    /// Writes after the end of a stream succeed.
    WritesAfterTheEnd,
    /// A stream that was stopped here reads as if it had ended.
    EndsStoppedStreams,
    /// A reset takes back a finish.
    ResetsFinishedStreams,

    /// `recv_datagram` returns every datagram twice.
    DuplicatesDatagrams,
    /// `recv_datagram` joins neighbours.
    MergesDatagrams,
    /// `recv_datagram` takes a byte off the end.
    CutsDatagrams,
    /// `recv_datagram` flips a bit.
    CorruptsDatagrams,
    /// `send_datagram` sends nothing.
    LosesEveryDatagram,
    /// Every datagram is kept until somebody reads it.
    KeepsEveryDatagram,
    /// A datagram over the limit is told a limit of 0.
    MisnamesTheDatagramLimit,
    /// Nothing carries datagrams, and both calls act as if something did.
    HidesMissingDatagrams,

    /// `close` takes effect a second later.
    ClosesLate,
    /// `close` forgets code and reason.
    ClosesWithoutReason,
    /// A later `close` replaces the first.
    LastCloseWins,
    /// A reason over the limit is left out.
    DropsLongReasons,
    /// That call goes on waiting when the connection closes.
    HangsOnClose(Call),
    /// `try_send` accepts messages on a closed connection.
    AcceptsAfterClose,
    /// What had arrived cannot be read after the close.
    DiscardsOnClose,
    /// A connection stays open when its last handle is dropped.
    KeepsDroppedConnections,
    /// The last handle's drop closes, whatever streams there are.
    ClosesUnderStreams,

    /// `finish` closes at once.
    FinishesByClosing,
    /// `finish` waits for streams that are open.
    FinishWaitsForOpenStreams,
    /// `finish` waits until the peer has closed.
    FinishWaitsForThePeer,
    /// A second `finish` fails.
    FinishesOnce,
    /// `try_send` accepts messages after `finish` began.
    AcceptsAfterFinish,
    /// `finish` is `Ok` whatever happened.
    FinishHidesFailures,

    /// `peer_id` is this side's own.
    TellsItsOwnIdentity,
    /// Every error is the same error.
    VagueErrors,
    /// A dial has all the time in the world.
    DialsForever,
    /// `accept` waits for the slowest handshake.
    OneHandshakeAtATime,
    /// Every dial is for the first protocol that was dialled.
    MixesProtocols,
    /// A second dial to a peer yields the first connection.
    SharesConnections,
    /// `accept` waits for ever once this side has dialled.
    AcceptsNobodyAfterDialling,
    /// A dial offers no capabilities.
    OffersNothing,
    /// The dialling side tells a version that was not agreed.
    MisstatesTheVersion,

    /// A listener says that it is somebody else's.
    MisstatesListeners,
    /// A listener lives on when it is dropped.
    KeepsDroppedListeners,
    /// A listener that is dropped closes what it accepted.
    ListenersEndConnections,
    /// Any number of connections may wait for `accept`.
    EndlessBacklog,
    /// `accept` returns every connection twice.
    AcceptsTwice,

    /// `state` never changes.
    StateStandsStill,
    /// The state never tells the path.
    HidesThePath,
    /// `stats` counts nothing.
    StatsStandStill,
    /// `peer_info` knows nobody.
    KnowsNobody,
    /// `status` never changes.
    StatusStandsStill,

    /// `accept` goes on waiting when the provider is shut down.
    HangsOnShutdown,
    /// `shutdown` closes connections first.
    ShutsDownByClosing,
    /// `shutdown` waits as long as a peer does.
    ShutsDownWithoutDeadline,
    /// A second `shutdown` returns at once.
    SecondShutdownReturnsAtOnce,
}

/// A call that can wait for something on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the method of that name")]
pub enum Call {
    Send,
    Recv,
    OpenStream,
    AcceptStream,
    RecvDatagram,
    Closed,
    Finish,
    StreamRead,
    StreamWrite,
    StreamDelivered,
}
