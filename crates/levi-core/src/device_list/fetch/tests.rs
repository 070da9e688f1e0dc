use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use levi_transport::Select;

use super::*;

/// A server that always has more rows.
#[derive(Default)]
struct Endless(AtomicI64);

#[async_trait]
impl PageSource for Endless {
    async fn select(&self, _select: Select) -> Result<Vec<u8>, ApiError> {
        let first = self.0.fetch_add(i64::from(PAGE), Ordering::Relaxed);
        assert!(first < 1_000_000, "it is asked without end");
        let rows = (first..first + i64::from(PAGE)).map(
            |slot| serde_json::json!({ "user_id": "ada", "slot": slot, "entry": "!", "signature": "!" }),
        );
        Ok(serde_json::to_vec(&rows.collect::<Vec<_>>()).unwrap())
    }

    async fn wait(&self, _retry: u32, _at_least: Option<Duration>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[tokio::test]
async fn no_row_behind_the_last_slot_is_asked_for() {
    let rows = all_rows(&Endless::default(), &"ada".into()).await.unwrap();
    assert_eq!(rows.last().map(|row| row.slot), Some(MAX_SLOT));
    assert!(rows.len() <= 2_000);
}
