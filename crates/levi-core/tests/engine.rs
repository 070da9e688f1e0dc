//! What the engine promises, on an in-memory outbox with virtual time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::time::Duration;

use harness::{Harness, accepted, failed};
use levi_core::batcher::Input;
use levi_core::engine::{Event, Intake, Message};
use levi_core::{Flush, LeviConfig, SyncedError};
use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{Encryption, NewRow, OutboxStore as _, Overwrite};
use levi_testkit::outbox::{FaultyOutbox, OutboxFailure};
use levi_transport::{ApiError, Verdict};
use levi_types::{Clock as _, Delivery, Wall};
use tokio::sync::oneshot;

/// A row as it is stored in an outbox.
fn stored(session: &str, sequence_number: i64) -> NewRow {
    let payload =
        format!(r#"{{"session_id":"{session}","sequence_number":{sequence_number},"content_nonce":""}}"#);
    NewRow::message(
        session.into(),
        sequence_number,
        sequence_number.to_string().into(),
        payload.into(),
        Encryption::SessionKey,
        Wall::from_millis(0),
    )
}

const HOUR: Duration = Duration::from_secs(3600);

/// The documented schedule, to the second, as it is lived through: request by request.
#[test]
fn a_server_that_stays_down_is_asked_again_after_2_4_8_16_32_64_128_and_then_every_300_seconds() {
    let mut harness = Harness::new(LeviConfig { backoff_jitter: 0.0, ..LeviConfig::default() });
    let session = harness.session("s");
    harness.enqueue(&session, 1).unwrap();
    let mut asked = Vec::new();
    let clock = std::sync::Arc::clone(&harness.clock);
    harness.settle(Duration::from_secs(1200), |_| {
        asked.push(levi_types::Clock::now(&*clock).monotonic.since_start());
        failed(Verdict::Unreachable, "reset")
    });
    let waits: Vec<u64> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 300, 300, 300]);
}

#[test]
fn fewer_than_a_batch_wait_for_more_and_a_full_batch_does_not() {
    let mut harness = Harness::new(LeviConfig { flush: Flush::Trailing, ..LeviConfig::default() });
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=49);
    assert!(harness.open.is_empty(), "49 of 50 wait");
    assert_eq!(harness.engine.timeout().map(|at| at.since_start()), Some(Duration::from_millis(500)));
    harness.enqueue(&session, 50).unwrap();
    assert_eq!(harness.open.len(), 1, "50 leave at once");
    assert_eq!(harness.open[0].1.len(), 50);
}

/// One incomplete batch in each `flush_interval`: the first leaves at once, the next when the interval is over.
#[test]
fn a_message_after_a_quiet_time_leaves_at_once_and_the_next_ones_share_a_batch() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    let interval = LeviConfig::default().flush_interval;
    for first in [0, 4] {
        harness.enqueue(&session, first).unwrap();
        assert_eq!(harness.open[0].1.len(), 1, "nothing left within the last interval");
        harness.answer(|_| accepted());
        let began = harness.clock.now().monotonic;
        harness.enqueue_all(&session, first + 1..=first + 3);
        assert!(harness.open.is_empty());
        assert_eq!(harness.engine.timeout(), Some(began.after(interval)));
        harness.clock.advance_to(began.after(interval));
        harness.input(Input::Committed);
        assert_eq!(harness.open[0].1.len(), 3);
        harness.answer(|_| accepted());
        assert_eq!(harness.engine.timeout(), None, "no timer is kept for the rate");
        harness.clock.advance_to(began.after(2 * interval));
    }
}

/// An idle engine has no timer.
#[test]
fn with_nothing_to_do_there_is_no_timer() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    assert_eq!(harness.engine.timeout(), None, "before the first message");
    harness.enqueue_all(&session, 1..=120);
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.engine.timeout(), None, "after the last");
    harness.input(Input::SignedOut);
    harness.enqueue(&session, 121).unwrap();
    assert_eq!(harness.engine.timeout(), None, "while nobody is signed in");
}

/// logarithmic for its own session, nothing for another.
#[test]
fn a_bad_row_is_found_by_bisection_and_the_rest_of_its_session_goes_on_around_it() {
    let mut harness = Harness::new(LeviConfig::default());
    let (bad, good) = (harness.session("bad"), harness.session("good"));
    harness.enqueue_all(&bad, 1..=50);
    harness.enqueue_all(&good, 1..=20);
    harness.settle(HOUR, |rows| {
        let poisoned = rows.iter().any(|row| row.session_id == "bad" && row.sequence_number == 37);
        if poisoned { failed(Verdict::Rejected, "23514") } else { accepted() }
    });
    let without_37: Vec<i64> = (1..=50).filter(|number| *number != 37).collect();
    assert_eq!(harness.arrived["bad"], without_37);
    assert_eq!(harness.arrived["good"], (1..=20).collect::<Vec<_>>());
    assert!(
        harness.requests <= 2 + 2 * 6,
        "{} requests for two batches and one bad row of 50",
        harness.requests
    );
    let totals = harness.status().totals;
    assert_eq!((totals.pending_rows, totals.parked_rows), (0, 1));
}

/// Sessions that shared a batch with a bad one that the answer names are sent again at once, all together.
#[test]
fn a_session_that_the_answer_names_costs_the_others_one_round_trip() {
    let mut harness = Harness::new(LeviConfig { flush: Flush::Trailing, ..LeviConfig::default() });
    for number in 0..49 {
        let session = harness.session(&format!("good-{number}"));
        harness.enqueue(&session, 1).unwrap();
    }
    let bad = harness.session("not-a-uuid");
    harness.enqueue(&bad, 1).unwrap();
    let mut round_trips = 0;
    while harness.arrived.len() < 49 {
        round_trips += 1;
        let open = harness.open.len();
        assert!(open > 0, "stuck after {round_trips} round trips");
        for _ in 0..open {
            harness.answer(|rows| {
                let detail = "invalid input syntax for type uuid: \"not-a-uuid\"";
                let refusal = Err(ApiError::new(Verdict::Rejected, "22P02", detail));
                if rows.iter().any(|row| row.session_id == "not-a-uuid") { refusal } else { accepted() }
            });
        }
    }
    assert_eq!(round_trips, 2);
}

#[test]
fn where_every_row_is_refused_alike_the_project_is_paused_and_nothing_stays_parked() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=10);
    harness.settle(Duration::from_secs(100), |_| failed(Verdict::Rejected, "23514"));
    let status = harness.status();
    assert_eq!((status.totals.pending_rows, status.totals.parked_rows), (10, 0));
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived["s"], (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_message_replaced_while_its_first_payload_is_under_way_is_sent_again() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    let receipt = harness.enqueue(&session, 7).unwrap();
    assert!(receipt.replaced());
    let (reply, mut synced) = oneshot::channel();
    harness.tell(Event::Watch { receipt, reply });
    harness.answer(|_| accepted());
    assert!(synced.try_recv().is_err(), "only the older payload is there");
    harness.settle(HOUR, |_| accepted());
    assert_eq!(synced.try_recv().unwrap(), Ok(()));
    assert_eq!(harness.arrived["s"].iter().filter(|number| **number == 7).count(), 2);
    assert_eq!(harness.status().totals.pending_rows, 0);
}

#[test]
fn a_text_that_the_server_has_is_not_sent_again() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=3);
    harness.settle(HOUR, |_| accepted());
    harness.store.reports.lock().unwrap().clear();
    let receipt = harness.enqueue(&session, 2).unwrap();
    assert!(receipt.already_synced());
    assert!(harness.open.is_empty(), "no request");
    let (reply, mut synced) = oneshot::channel();
    harness.tell(Event::Watch { receipt, reply });
    assert_eq!(synced.try_recv().unwrap(), Ok(()));
    let reports = harness.store.reports.lock().unwrap().clone();
    assert!(matches!(&reports[..], [report] if report.delivery == Delivery::Sent), "{reports:?}");
    assert!(!harness.enqueue(&session, 4).unwrap().already_synced());
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived["s"], [1, 2, 3, 4]);
}

#[test]
fn a_session_without_its_secret_waits_alone_and_goes_on_when_the_secret_comes() {
    let mut harness = Harness::new(LeviConfig::default());
    let known = harness.session("known");
    let unknown = levi_types::SessionId::from("unknown");
    harness.enqueue_all(&unknown, 1..=5);
    harness.enqueue_all(&known, 1..=5);
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.arrived.keys().collect::<Vec<_>>(), ["known"]);
    let waiting = harness.status();
    assert_eq!(waiting.totals.pending_rows, 5);

    let unknown = harness.session("unknown");
    harness.tell(Event::KeyArrived(unknown));
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.arrived["unknown"], [1, 2, 3, 4, 5]);
}

/// Messages are sealed before they are queued: the key may come, and be announced, in between.
#[test]
fn a_message_that_was_enqueued_just_before_its_key_came_is_sealed_and_sent() {
    let mut harness = Harness::new(LeviConfig::default());
    let late = harness.intake(&levi_types::SessionId::from("s"), 1).0;
    let session = harness.session("s");
    harness.tell(Event::KeyArrived(session));
    harness.tell(late);
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.arrived["s"], [1]);
}

/// what follows a row in backoff waits with it, also when it comes later.
#[test]
fn later_rows_never_overtake_an_earlier_one_that_waits() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    harness.answer(|_| failed(Verdict::Busy, "503"));
    harness.enqueue_all(&session, 51..=150);
    assert!(harness.open.is_empty());
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived["s"], (1..=150).collect::<Vec<_>>());
}

#[test]
fn a_row_that_comes_out_of_order_is_sent_before_those_that_follow_it() {
    let mut harness = Harness::new(LeviConfig { max_in_flight: 1, ..LeviConfig::default() });
    let session = harness.session("s");
    harness.enqueue_all(&session, (1..=2000).filter(|number| *number != 1500));
    harness.enqueue(&session, 1500).unwrap();
    harness.settle(HOUR, |_| accepted());
    let arrived = &harness.arrived["s"];
    assert_eq!(arrived.len(), 2000);
    assert!(arrived.is_sorted(), "1500 was there before its successors were sent");
}

#[test]
fn a_caller_that_waits_for_a_row_learns_that_it_was_parked() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    let receipt = harness.enqueue(&session, 1).unwrap();
    let (reply, mut synced) = oneshot::channel();
    harness.tell(Event::Watch { receipt, reply });
    harness.settle(Duration::from_secs(1), |_| failed(Verdict::Rejected, "23514"));
    assert!(matches!(synced.try_recv(), Ok(Err(SyncedError::Parked(reason))) if reason.code == "23514"));
}

/// One request at a time: a session with a million rows leaves room for ten with one each.
#[test]
fn single_messages_arrive_within_two_round_trips_beside_a_session_with_a_million_rows() {
    let mut outbox = MemoryOutbox::new(u64::MAX);
    for thousand in 0..1_000 {
        let rows: Vec<_> = (0..1_000).map(|place| stored("long", thousand * 1_000 + place)).collect();
        outbox.commit(&[], &rows).unwrap();
    }
    let mut harness = Harness::on(outbox, LeviConfig { max_in_flight: 1, ..LeviConfig::default() });
    harness.answer(|_| accepted());
    let small: Vec<_> = (0..10).map(|number| harness.session(&format!("small {number}"))).collect();
    for session in &small {
        harness.enqueue(session, 1).unwrap();
    }
    for _ in 0..2 {
        harness.answer(|_| accepted());
    }
    // The request that was under way, and one more.
    let waiting = small.iter().filter(|session| !harness.arrived.contains_key(session.as_str())).count();
    assert_eq!(waiting, 0, "of ten");
    assert!(harness.status().totals.pending_rows > 990_000);
}

/// No caller waits for it, so it is reported to the daemon's store.
#[test]
fn a_message_that_was_accepted_and_cannot_be_stored_is_reported() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue(&session, 1).unwrap();
    let another = Message::Sealed(stored("s", 1));
    harness.tell(Event::Enqueue(Intake {
        message: another,
        permit: None,
        reply: None,
        overwrite: Overwrite::OwnOnly,
    }));
    let reports = harness.store.reports.lock().unwrap();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((report.message_id.as_str(), report.sequence_number), ("1", 1));
    assert_eq!(report.delivery, Delivery::Failed { code: "sequence_conflict".into() });
}

/// A crash in the commit costs no report: the row is sent again, and reported again.
#[test]
fn a_delivery_is_reported_before_the_outbox_forgets_the_row() {
    let outbox = FaultyOutbox::new(MemoryOutbox::new(u64::MAX));
    let disk = outbox.faults();
    let mut harness = Harness::on(outbox, LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=50);
    disk.refuse_commits(OutboxFailure::DiskFull);
    harness.answer(|_| accepted());
    let sent = |harness: &Harness| {
        let reports = harness.store.reports.lock().unwrap();
        reports.iter().filter(|report| report.delivery == Delivery::Sent).count()
    };
    assert_eq!((sent(&harness), harness.status().totals.pending_rows), (50, 50));
}

/// A shutdown sends what it can.
#[test]
fn a_stop_sends_what_waits_for_more_and_is_over_when_all_is_sent() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=3);
    harness.tell(Event::Stop { within: HOUR });
    assert_eq!(harness.open.len(), 1, "nothing waits for more any longer");
    let now = levi_types::Clock::now(&*harness.clock);
    assert!(!harness.engine.is_finished(now));
    harness.answer(|_| accepted());
    assert!(harness.engine.is_finished(now));
}

/// Attempts of an outage say nothing about a row: row level security must refuse it often enough by itself.
#[test]
fn after_a_long_outage_a_session_that_is_not_there_yet_still_gets_its_attempts() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue(&session, 1).unwrap();
    harness.settle(Duration::from_secs(2000), |_| failed(Verdict::Unreachable, "reset"));
    let mut refusals = 0;
    harness.settle(HOUR, |_| {
        refusals += 1;
        if refusals < 8 { failed(Verdict::Forbidden, "42501") } else { accepted() }
    });
    assert_eq!(harness.arrived["s"], [1], "nothing was parked on the first refusal");
}

/// What is too much for a slow line must not be sent again and again as it is.
#[test]
fn a_batch_that_cannot_get_through_shrinks_until_it_does() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=300);
    harness.settle(3 * HOUR, |rows| {
        if rows.len() > 10 { failed(Verdict::Unreachable, "timeout") } else { accepted() }
    });
    assert!(harness.arrived.get("s").is_some_and(|rows| rows.len() > 6), "{:?}", harness.arrived);
}
