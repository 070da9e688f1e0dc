//! What the engine waits for: a token, the time that a server asked for, a machine that slept.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::{Harness, Row, accepted, failed};
use levi_core::batcher::{Action, Batcher, Input, PauseReason};
use levi_core::engine::Event;
use levi_core::{LeviConfig, WaitsFor};
use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{Change, OutboxStore as _};
use levi_transport::{ApiError, Verdict};
use levi_types::Clock as _;

const HOUR: Duration = Duration::from_secs(3600);

/// A message waits for no others.
fn at_once() -> LeviConfig {
    LeviConfig { flush_interval: Duration::ZERO, ..LeviConfig::default() }
}

/// A refused token uses up no attempts.
#[test]
fn an_expired_token_is_refreshed_once_however_many_requests_fail_and_costs_no_attempt() {
    let mut harness = Harness::new(LeviConfig::default());
    for number in 0..4 {
        let session = harness.session(&format!("s{number}"));
        harness.enqueue_all(&session, 1..=600);
    }
    assert!(harness.open.len() > 1, "several requests are under way");
    let open = harness.open.len();
    for _ in 0..open {
        harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    }
    assert_eq!((harness.refreshes, harness.open.len()), (1, 0));
    assert_eq!(harness.status().paused, Some(PauseReason::Refreshing));
    harness.input(Input::SignedIn);
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived.values().map(Vec::len).sum::<usize>(), 2400);
    assert_eq!(harness.refreshes, 1);
}

/// The project's clock is behind that of the sign-in server, so a fresher token would be refused as well.
#[test]
fn a_token_that_is_refused_a_moment_after_it_was_granted_is_used_again_and_not_refreshed() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    harness.input(Input::SignedIn);
    let granted = harness.clock.now().monotonic;
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    assert_eq!((harness.refreshes, harness.status().paused), (1, Some(PauseReason::TokenNotAccepted)));
    assert!(harness.engine.timeout().is_some() && harness.status().next_attempt.is_some());
    let clock = Arc::clone(&harness.clock);
    harness.settle(HOUR, move |_| {
        let age = clock.now().monotonic.since(granted);
        if age < Duration::from_secs(3) { failed(Verdict::SignedOut, "PGRST303") } else { accepted() }
    });
    assert_eq!((harness.refreshes, harness.arrived["s"].len()), (1, 50));
    let took = harness.clock.now().monotonic.since(granted);
    assert!(took < Duration::from_secs(7), "{took:?}");
}

/// Two hours asleep between a refresh and a refusal, of which the monotonic clock saw nothing.
#[test]
fn a_token_that_expired_while_the_machine_slept_is_refreshed_at_once() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    harness.input(Input::SignedIn);
    harness.clock.sleep_through(Duration::from_secs(7_200));
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    assert_eq!((harness.refreshes, harness.status().paused), (2, Some(PauseReason::Refreshing)));
}

#[test]
fn a_machine_that_is_awake_again_tries_at_once() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    // Long enough for a wait of minutes.
    harness.settle(HOUR / 4, |_| failed(Verdict::ProjectUnavailable, "540"));
    assert!(matches!(harness.status().paused, Some(PauseReason::Project { .. })));
    harness.clock.sleep_through(Duration::from_secs(6));
    harness.tell(Event::WrittenElsewhere);
    assert_eq!((harness.open.len(), harness.status().paused), (1, None));
}

/// Neither a network that comes and goes nor a sleep is a reason to hammer a server that asked for silence; but the time
/// asleep counts.
#[test]
fn nothing_but_time_ends_a_wait_that_the_server_asked_for() {
    for verdict in [Verdict::Busy, Verdict::ProjectUnavailable] {
        let mut harness = Harness::new(LeviConfig::default());
        let session = harness.session("s");
        harness.enqueue_all(&session, 1..=50);
        let asked = Duration::from_secs(200);
        harness.answer(|_| Err(ApiError::new(verdict, "503", "").with_retry_after(asked)));
        harness.input(Input::NetworkChanged);
        harness.clock.advance(Duration::from_secs(50));
        harness.tell(Event::WrittenElsewhere);
        assert!(harness.open.is_empty() && harness.status().paused.is_some());
        harness.clock.sleep_through(Duration::from_secs(100));
        harness.tell(Event::WrittenElsewhere);
        harness.settle(Duration::from_secs(49), |_| panic!("the server asked for more time"));
        harness.settle(Duration::from_secs(51), |_| accepted());
        assert_eq!(harness.arrived["s"].len(), 50);
    }
}

/// It was stored while the clock was years ahead, and the clock was put right since.
#[test]
fn a_stored_wait_that_is_longer_than_any_is_put_right() {
    let now = Harness::new(LeviConfig::default()).clock.now();
    let until = now.wall.after(HOUR * 24 * 365);
    let mut batcher = Batcher::new(LeviConfig::default(), 1);
    batcher.handle(now, Input::Paused { until });
    let stored = std::iter::from_fn(|| batcher.poll_action()).find_map(|action| match action {
        Action::Commit(Change::Pause { until }) => Some(until.since(now.wall)),
        _ => None,
    });
    assert_eq!(stored, Some(Duration::from_secs(330)));
}

/// One answer does not stop everything for longer than Levi's own delays do, and a restart does not forget it.
#[test]
fn a_wait_that_the_server_asks_for_is_bounded_and_survives_a_restart() {
    let mut outbox = MemoryOutbox::new(1 << 30);
    let clock = Harness::new(LeviConfig::default()).clock.now();
    outbox.commit(&[Change::Pause { until: clock.wall.after(Duration::from_secs(100)) }], &[]).unwrap();
    let mut harness = Harness::on(outbox, LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    assert!(matches!(harness.status().paused, Some(PauseReason::RetryAfter { .. })));
    harness.settle(Duration::from_secs(99), |_| panic!("the server asked for more time"));
    harness.settle(Duration::from_secs(2), |_| {
        Err(ApiError::new(Verdict::Busy, "429", "").with_retry_after(Duration::from_secs(3_600)))
    });
    harness.settle(Duration::from_secs(340), |_| accepted());
    assert_eq!(harness.arrived["s"].len(), 50);
}

/// A sign-in server that asks for an hour does not stop everything for that long.
#[test]
fn the_sign_in_servers_wait_is_kept_and_bounded() {
    for (asked, longest) in [(60, 60), (3_600, 330)] {
        let mut harness = Harness::new(LeviConfig::default());
        let session = harness.session("s");
        harness.enqueue_all(&session, 1..=50);
        harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
        harness.input(Input::RefreshUnavailable { retry_after: Some(Duration::from_secs(asked)) });
        assert_eq!(harness.status().paused, Some(PauseReason::SignInUnavailable));
        harness.settle(Duration::from_secs(longest - 1), |_| failed(Verdict::SignedOut, "PGRST303"));
        assert_eq!(harness.refreshes, 1);
        harness.settle(HOUR, |_| failed(Verdict::SignedOut, "PGRST303"));
        assert_eq!((harness.refreshes, harness.status().paused), (2, Some(PauseReason::Refreshing)));
        harness.input(Input::SignedIn);
        harness.settle(HOUR, |_| accepted());
        assert_eq!(harness.arrived["s"].len(), 50);
    }
}

/// The project's refusal passed, and the sign-in server is away, or another process refreshes the token in its own time.
#[test]
fn while_no_fresh_token_comes_the_present_one_is_tried_again() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST301"));
    harness.input(Input::RefreshUnavailable { retry_after: Some(Duration::from_secs(300)) });
    harness.settle(Duration::from_secs(10), |_| accepted());
    assert_eq!((harness.refreshes, harness.arrived["s"].len()), (1, 50));
    assert_eq!(harness.status().paused, None);
}

/// A node of the project restarts, or a firewall dislikes one text: the token is not to blame where others are accepted
/// with it.
#[test]
fn a_request_that_is_refused_for_a_token_that_others_are_accepted_with_waits_by_itself() {
    let mut harness = Harness::new(at_once());
    let (good, bad) = (harness.session("good"), harness.session("bad"));
    harness.enqueue_all(&good, 1..=1);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    harness.input(Input::SignedIn);
    harness.answer(|_| accepted());
    let is_bad = |rows: &[Row]| rows.iter().any(|row| row.session_id == "bad");
    let server =
        |rows: &[Row]| if is_bad(rows) { failed(Verdict::SignedOut, "PGRST301") } else { accepted() };
    harness.enqueue_all(&bad, 1..=1);
    for number in 2..=30 {
        harness.enqueue_all(&good, number..=number);
        harness.settle(Duration::from_secs(2), server);
        assert_eq!((harness.refreshes, harness.status().paused), (1, None));
    }
    assert_eq!(harness.arrived["good"].len(), 30);
    assert!(harness.requests < 45, "{} requests", harness.requests);
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived["bad"], [1]);
}

/// The token is revoked a moment after it was granted and accepted.
#[test]
fn a_young_token_that_nobody_is_accepted_with_any_more_is_refreshed() {
    let mut harness = Harness::new(at_once());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=1);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    harness.input(Input::SignedIn);
    harness.answer(|_| accepted());
    harness.enqueue_all(&session, 2..=2);
    harness.settle(Duration::from_secs(15), |_| failed(Verdict::SignedOut, "PGRST301"));
    assert_eq!((harness.refreshes, harness.status().paused), (2, Some(PauseReason::Refreshing)));
}

/// A daemon that brings tokens itself may be late with the next one, or its token may be too fresh for the project.
#[test]
fn a_token_that_nothing_can_replace_is_used_again() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    harness.input(Input::RefreshImpossible);
    assert_eq!(harness.status().paused, Some(PauseReason::TokenNotAccepted));
    let timer = harness.engine.timeout().unwrap();
    harness.clock.advance_to(timer);
    harness.tell(Event::WrittenElsewhere);
    harness.answer(|_| accepted());
    assert_eq!((harness.arrived["s"].len(), harness.status().paused), (50, None));
}

/// A laptop that was asleep for longer than a token lives.
#[test]
fn a_stored_sign_in_whose_token_has_expired_is_refreshed_and_not_taken_for_revoked() {
    let mut harness = Harness::new(LeviConfig::default());
    harness.input(Input::SignedOut);
    harness.input(Input::SignInStored);
    harness.input(Input::SignedIn);
    assert_eq!(harness.refreshes, 1, "the stored sign-in was asked for");
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    harness.answer(|_| failed(Verdict::SignedOut, "PGRST303"));
    assert_eq!((harness.refreshes, harness.status().paused), (2, Some(PauseReason::Refreshing)));
    harness.input(Input::SignedIn);
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived["s"].len(), 50);
}

/// A project that is being restored says how long that takes.
#[test]
fn a_project_that_asks_for_a_wait_is_left_alone_for_that_long() {
    let mut harness = Harness::new(LeviConfig::default());
    let id = harness.session("s");
    harness.enqueue_all(&id, 1..=50);
    let asked = Duration::from_secs(300);
    harness.answer(|_| Err(ApiError::new(Verdict::ProjectUnavailable, "540", "").with_retry_after(asked)));
    harness.settle(asked - Duration::from_secs(1), |_| panic!("it asked for more time"));
    harness.settle(asked, |_| accepted());
    assert_eq!(harness.arrived["s"].len(), 50);
}

/// The reason is in the status, with how many queues it keeps.
#[test]
fn the_status_says_why_rows_wait() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=3);
    harness.answer(|_| failed(Verdict::Busy, "503"));
    let reasons = |harness: &Harness| -> Vec<(WaitsFor, String, u64)> {
        let waiting = harness.status().waiting.into_iter();
        waiting.map(|waiting| (waiting.waits_for, waiting.reason.code, waiting.lanes)).collect()
    };
    assert_eq!(reasons(&harness), [(WaitsFor::Backoff, "503".to_owned(), 1)]);
    assert!(harness.status().waiting[0].next_attempt.is_some());
    harness.input(Input::SignedOut);
    assert_eq!(reasons(&harness), [(WaitsFor::Pause, "signed_out".to_owned(), 1)]);
    harness.input(Input::SignedIn);
    harness.settle(HOUR, |_| accepted());
    assert_eq!(reasons(&harness), []);
}
