//! The table of all properties: name, kind, and the faults that must fail it. Everything that runs them is made of it.

use super::{Kind, Property};

/// Calls `$crate::$callback! { $args … }` with one entry per property. Macros cannot read a constant, so the table is one.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_properties {
    ($callback:ident $args:tt) => {
        $crate::$callback! { $args
            messages {
                Safety messages_arrive_whole_in_order_and_at_most_once [
                    LosesMessages, DuplicatesMessages, ReordersMessages, CutsMessages
                ]
                Safety empty_messages_arrive [SwallowsEmptyMessages]
                Liveness a_message_of_exactly_the_limit_arrives [RefusesTheLargest]
                Liveness a_message_over_the_limit_is_refused_and_the_connection_survives [ClosesOnLargeMessages]
                Liveness the_smaller_message_limit_holds_on_both_sides [TellsItsOwnLimits]
                Liveness a_lone_message_needs_no_successor [HoldsTheLastMessage]
                Liveness messages_flow_both_ways_at_once [OneDirectionAtATime]
                Safety each_message_goes_to_exactly_one_of_several_receivers [DuplicatesMessages, LosesMessages]
                Safety each_of_several_senders_keeps_its_order [LosesMessages, ReordersMessages]
                Safety try_recv_returns_what_has_arrived [FindsNothing]
            }
            backpressure {
                Safety a_peer_that_does_not_read_stops_the_sender [AcceptsWithoutBound]
                Safety a_full_send_queue_gives_the_message_back [EmptiesReturnedMessages]
                Liveness a_stopped_sender_goes_on_when_the_peer_reads [NeverHasRoomAgain]
                Safety a_stream_nobody_reads_stops_its_writer [BuffersStreamsWithoutBound]
            }
            cancellation {
                Safety a_dropped_send_is_all_or_nothing [SendsAfterDrop]
                Safety a_dropped_recv_loses_no_message [TakesBeforeWaiting]
                Liveness a_dropped_recv_passes_its_turn_on [OneReceiverAtATime]
                Liveness a_dropped_accept_loses_no_connection [TakesBeforeWaiting]
                Liveness a_dropped_accept_stream_loses_no_stream [TakesBeforeWaiting]
                Liveness a_dropped_recv_datagram_loses_no_datagram [TakesBeforeWaiting]
                Liveness a_dropped_dial_harms_nobody [KeepsDroppedDials]
            }
            streams {
                Safety stream_bytes_arrive_whole_and_in_order [DamagesStreams]
                Safety streams_do_not_mix [MixesStreams]
                Liveness a_stream_is_visible_at_its_first_write [HidesUnfinishedStreams]
                Liveness a_stream_finished_without_a_write_is_visible_and_empty [SwallowsEmptyStreams]
                Liveness an_unused_stream_hides_no_later_one [HidesUnfinishedStreams]
                Liveness a_stalled_stream_stalls_no_other_and_no_message [StallsTogether]
                Liveness unread_messages_stall_no_stream [StallsTogether]
                Safety read_chunk_returns_no_more_than_asked_for [ReadsTooMuch]
                Liveness open_stream_waits_at_the_peers_bound_and_goes_on [OpensBeyondTheBound, NeverFreesStreams]
                Liveness unused_streams_give_their_place_back [NeverFreesStreams]
            }
            stream_ends {
                Liveness each_direction_of_a_stream_ends_alone [EndsBothDirections]
                Liveness a_reset_reaches_the_reader_with_its_code [ForgetsStreamCodes]
                Liveness a_stop_reaches_the_writer_with_its_code [ForgetsStreamCodes]
                Liveness a_stop_wakes_a_waiting_writer [ForgetsStreamCodes, HidesStops]
                Liveness a_stream_dropped_unfinished_is_reset [FinishesDroppedStreams]
                Liveness a_dropped_reader_stops_the_writer [KeepsDroppedReaders]
                Liveness delivered_waits_for_the_end_of_the_stream [DeliversTooSoon, NeverDelivers]
                Liveness writes_after_the_end_of_a_stream_fail [WritesAfterTheEnd]
                Liveness reads_after_a_stop_fail [EndsStoppedStreams]
                Liveness a_reset_after_the_finish_does_nothing [ResetsFinishedStreams]
            }
            datagrams {
                Safety datagrams_are_never_duplicated_merged_cut_or_corrupted [
                    DuplicatesDatagrams, MergesDatagrams, CutsDatagrams, CorruptsDatagrams
                ]
                Liveness datagrams_arrive_in_the_end [LosesEveryDatagram]
                Liveness a_datagram_of_exactly_the_limit_is_carried [RefusesTheLargest]
                Liveness a_datagram_over_the_limit_names_its_size_and_the_limit [MisnamesTheDatagramLimit]
                Safety unread_datagrams_are_bounded [KeepsEveryDatagram]
                Liveness a_connection_without_datagrams_says_so [HidesMissingDatagrams]
            }
            close {
                Liveness close_takes_effect_at_once [ClosesLate]
                Liveness the_peer_learns_code_and_reason_of_a_close [ClosesWithoutReason]
                Liveness the_first_close_wins [LastCloseWins]
                Liveness a_long_close_reason_is_cut_at_a_characters_end [DropsLongReasons]
                Liveness close_resolves_every_pending_call [
                    HangsOnClose(Send), HangsOnClose(Recv), HangsOnClose(OpenStream), HangsOnClose(AcceptStream),
                    HangsOnClose(RecvDatagram), HangsOnClose(Closed), HangsOnClose(StreamRead),
                    HangsOnClose(StreamWrite), HangsOnClose(StreamDelivered)
                ]
                Liveness a_close_by_the_peer_resolves_every_pending_call [
                    HangsOnClose(Send), HangsOnClose(Recv), HangsOnClose(OpenStream), HangsOnClose(AcceptStream),
                    HangsOnClose(RecvDatagram), HangsOnClose(Closed), HangsOnClose(StreamRead),
                    HangsOnClose(StreamWrite), HangsOnClose(StreamDelivered)
                ]
                Liveness what_had_arrived_can_be_read_after_a_local_close [DiscardsOnClose]
                Liveness calls_on_a_closed_connection_fail [
                    AcceptsAfterClose, HangsOnClose(Finish), HangsOnClose(Recv), HangsOnClose(RecvDatagram)
                ]
            }
            last_drop {
                Liveness the_last_drop_closes_with_code_0 [KeepsDroppedConnections]
                Liveness a_stream_outlives_the_last_handle [ClosesUnderStreams]
                Liveness half_a_stream_outlives_the_last_handle [ClosesUnderStreams]
            }
            finish {
                Liveness finish_delivers_every_message_then_closes [FinishesByClosing, DiscardsOnClose]
                Liveness finish_waits_for_a_peer_that_does_not_read [FinishesByClosing]
                Liveness finish_delivers_finished_streams [DiscardsOnClose]
                Liveness finish_resets_open_streams [FinishWaitsForOpenStreams]
                Liveness both_sides_may_finish_at_once [FinishWaitsForThePeer]
                Liveness finishing_twice_is_fine [FinishesOnce]
                Liveness nothing_is_accepted_once_finish_began [AcceptsAfterFinish]
                Liveness a_dropped_finish_goes_on [DropEndsSlowCalls]
                Liveness finish_fails_if_the_peer_closes_first [FinishHidesFailures]
                Liveness close_ends_a_finish_that_waits [HangsOnClose(Finish), FinishHidesFailures]
            }
            dialling {
                Liveness both_sides_know_whom_they_speak_to [TellsItsOwnIdentity]
                Liveness dialling_oneself_is_invalid [VagueErrors]
                Liveness an_unknown_protocol_is_refused [VagueErrors]
                Liveness unusable_settings_are_invalid [VagueErrors]
                Liveness a_peer_that_is_not_there_is_not_reached [VagueErrors, DialsForever]
                Liveness a_silent_peer_ends_the_dial_at_its_deadline [DialsForever]
                Liveness a_stalled_handshake_blocks_no_other [OneHandshakeAtATime]
                Liveness protocols_do_not_mix [MixesProtocols]
                Liveness connections_between_the_same_peers_are_independent [SharesConnections]
                Liveness peers_may_dial_each_other_at_once [AcceptsNobodyAfterDialling]
            }
            handshake {
                Liveness both_sides_negotiate_the_same [OffersNothing, MisstatesTheVersion]
                Liveness the_listener_answers_what_is_offered [OffersNothing]
                Liveness the_listener_can_refuse_a_dialler [VagueErrors]
                Liveness both_sides_speak_one_version [MisstatesTheVersion]
            }
            listeners {
                Liveness a_listener_says_where_it_can_be_dialled [MisstatesListeners]
                Liveness a_second_listener_for_one_protocol_is_an_error [VagueErrors]
                Liveness a_dropped_listener_frees_its_protocol [KeepsDroppedListeners]
                Liveness a_dropped_listen_frees_its_protocol [KeepsDroppedListeners]
                Liveness connections_outlive_their_listener [ListenersEndConnections]
                Liveness a_full_backlog_refuses_as_busy [EndlessBacklog]
                Liveness each_connection_goes_to_exactly_one_accept [AcceptsTwice]
            }
            accounts {
                Liveness the_state_tells_the_end_to_whoever_watches [StateStandsStill]
                Liveness the_state_tells_the_path [HidesThePath]
                Liveness stats_count_what_moves [StatsStandStill]
                Liveness stats_count_datagrams [StatsStandStill]
                Liveness a_provider_knows_its_connected_peers [KnowsNobody]
                Liveness the_status_tells_of_the_shutdown [StatusStandsStill]
            }
            shutdown {
                Liveness shutdown_resolves_pending_calls [HangsOnShutdown, HangsOnClose(Recv)]
                Liveness calls_after_a_shutdown_fail [VagueErrors]
                Liveness shutdown_delivers_what_was_accepted [ShutsDownByClosing]
                Liveness shutdown_ends_at_its_deadline [ShutsDownWithoutDeadline]
                Liveness a_second_shutdown_waits_for_the_first [SecondShutdownReturnsAtOnce]
                Liveness a_dropped_shutdown_goes_on [DropEndsSlowCalls]
            }
        }
    };
}

/// Makes the constant of the table's entries.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    (() $($module:ident { $($kind:ident $name:ident [$($fault:expr),+ $(,)?])* })*) => {
        /// Every property, in the order of the contract.
        pub const PROPERTIES: &[Property] = {
            #[allow(clippy::enum_glob_use, reason = "the table is read, and its faults are named once")]
            use $crate::mock::{Call::*, Fault::*};
            &[$($(Property {
                name: stringify!($name),
                kind: Kind::$kind,
                faults: &[$($fault),+],
                check: |harness| Box::pin(super::$module::$name(harness)),
            }),*),*]
        };
    };
}

/// Makes one test per entry.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($args:tt $($module:ident { $($kind:ident $name:ident $faults:tt)* })*) => {
        $($($crate::__conformance_test! { $args $name })*)*
    };
}

/// Makes one test.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    ((#[$attribute:meta] $harness:expr) $name:ident) => {
        #[$attribute]
        async fn $name() {
            $crate::conformance::property(stringify!($name)).test(&$harness).await;
        }
    };
}

/// Stamps one test per property, each on a harness of its own, made by the expression.
///
/// The attribute says which executor runs them; `#[tokio::test]` unless one is given.
///
/// ```
/// # use std::sync::Arc;
/// # use p2p::{P2PProvider, conformance::Harness, memory::MemoryNetwork};
/// # struct Memory;
/// # #[async_trait::async_trait]
/// # impl Harness for Memory {
/// #     async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
/// #         let network = MemoryNetwork::new();
/// #         (Arc::new(network.provider("alice")), Arc::new(network.provider("bob")))
/// #     }
/// # }
/// mod memory {
///     # use super::*;
///     p2p::conformance_tests!(#[tokio::test(start_paused = true)] Memory);
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    (#[$attribute:meta] $harness:expr) => {
        $crate::__conformance_properties! { __conformance_tests (#[$attribute] $harness) }
    };
    ($harness:expr) => {
        $crate::conformance_tests! { #[tokio::test] $harness }
    };
}

crate::__conformance_properties! { __conformance_table () }

/// The property of that name.
///
/// # Panics
/// If there is none.
pub fn property(name: &str) -> &'static Property {
    PROPERTIES.iter().find(|property| property.name == name).unwrap_or_else(|| panic!("no property is called {name}"))
}
