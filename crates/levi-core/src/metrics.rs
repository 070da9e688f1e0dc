//! The status as metrics, for the recorder that the daemon installed (crate `metrics`).
//!
//! | name | kind | value |
//! | --- | --- | --- |
//! | `levi_pending_rows`, `levi_pending_bytes` | gauge | pending messages, and payload bytes of all pending rows |
//! | `levi_parked_rows` | gauge | parked messages |
//! | `levi_control_rows`, `levi_parked_control_rows` | gauge | pending and parked rows of repositories, sessions and secrets |
//! | `levi_requests_in_flight`, `levi_rows_in_flight` | gauge | in flight |
//! | `levi_paused` | gauge | 1 while nothing is being sent, else 0 |
//! | `levi_held_in_memory` | gauge | messages accepted while the outbox fails |
//! | `levi_batches_accepted_total`, `levi_batches_failed_total` | counter | batches that ended |
//! | `levi_rows_accepted_total`, `levi_bytes_sent_total` | counter | messages accepted, bytes sent |

use metrics::{counter, gauge};

use crate::status::Status;

/// Publishes a status. Counters are absolute, so that nothing is counted twice.
pub(crate) fn publish(status: &Status) {
    let totals = &status.totals;
    gauge!("levi_pending_rows").set(totals.pending_rows as f64);
    gauge!("levi_pending_bytes").set(totals.pending_bytes as f64);
    gauge!("levi_parked_rows").set(totals.parked_rows as f64);
    gauge!("levi_control_rows").set(totals.control_rows as f64);
    gauge!("levi_parked_control_rows").set(totals.parked_control_rows as f64);
    gauge!("levi_requests_in_flight").set(status.requests_in_flight as f64);
    gauge!("levi_rows_in_flight").set(status.rows_in_flight as f64);
    gauge!("levi_paused").set(if status.paused.is_some() { 1.0 } else { 0.0 });
    gauge!("levi_held_in_memory").set(status.held_in_memory as f64);
    counter!("levi_batches_accepted_total").absolute(status.batches_accepted);
    counter!("levi_batches_failed_total").absolute(status.batches_failed);
    counter!("levi_rows_accepted_total").absolute(status.rows_accepted);
    counter!("levi_bytes_sent_total").absolute(status.bytes_sent);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
    };

    use super::*;
    use crate::batcher::PauseReason;

    #[derive(Default)]
    struct TestRecorder(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl TestRecorder {
        fn cell(&self, key: &Key) -> Arc<AtomicU64> {
            Arc::clone(self.0.lock().unwrap().entry(key.name().to_owned()).or_default())
        }

        fn bits(&self, name: &str) -> u64 {
            self.0.lock().unwrap()[name].load(Ordering::Relaxed)
        }
    }

    impl Recorder for TestRecorder {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.cell(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.cell(key))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn a_status_published_twice_counts_once() {
        let mut status =
            Status { rows_accepted: 7, paused: Some(PauseReason::SignedOut), ..Status::default() };
        status.totals.pending_rows = 3;
        let recorder = TestRecorder::default();
        with_local_recorder(&recorder, || {
            publish(&status);
            publish(&status);
        });
        assert_eq!(recorder.bits("levi_rows_accepted_total"), 7);
        assert_eq!(f64::from_bits(recorder.bits("levi_pending_rows")), 3.0);
        assert_eq!(f64::from_bits(recorder.bits("levi_paused")), 1.0);
    }
}
