//! Supabase in this process, without a network: for what is measured up to the moment a request leaves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use levi::AccessToken;
use levi::transport::{ApiError, Select, Supabase, Upsert, Verdict};
use levi_transport::Table;
use tokio::sync::Notify;

/// Notes when each request leaves, and accepts it after a while.
#[derive(Default)]
pub(crate) struct Near {
    /// How long the answer takes.
    pub(crate) answers_after: Duration,
    /// What to refuse each upsert with, if anything.
    pub(crate) refuses_with: Option<Verdict>,
    /// The devices a select answers with, as JSON rows.
    pub(crate) devices: Vec<u8>,
    pub(crate) selects: AtomicU64,
    pub(crate) upserts: AtomicU64,
    pub(crate) left: Mutex<Vec<(Instant, Vec<i64>)>>,
    pub(crate) leaving: Notify,
}

impl Near {
    /// When each message left, by sequence number, since the last call.
    pub(crate) fn take_left(&self) -> Vec<(i64, Instant)> {
        let left = std::mem::take(&mut *lock(&self.left));
        left.into_iter()
            .flat_map(|(at, numbers)| numbers.into_iter().map(move |number| (number, at)))
            .collect()
    }

    /// How many messages left since the last `take_left`.
    pub(crate) fn count_left(&self) -> usize {
        lock(&self.left).iter().map(|(_, numbers)| numbers.len()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[async_trait]
impl Supabase for Near {
    async fn upsert(&self, _: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        let at = Instant::now();
        self.upserts.fetch_add(1, Ordering::Relaxed);
        if upsert.table == Table::Messages {
            lock(&self.left).push((at, sequence_numbers(&upsert.body)));
        }
        self.leaving.notify_one();
        if !self.answers_after.is_zero() {
            tokio::time::sleep(self.answers_after).await;
        }
        self.refuses_with.map_or(Ok(()), |verdict| Err(ApiError::new(verdict, "near", "")))
    }

    async fn select(&self, _: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        self.selects.fetch_add(1, Ordering::Relaxed);
        Ok(if select.table == Table::Devices { self.devices.clone() } else { b"[]".to_vec() })
    }
}

/// The sequence numbers of a body's rows, found without parsing the rest.
fn sequence_numbers(body: &[u8]) -> Vec<i64> {
    let name = b"\"sequence_number\":";
    let mut numbers = Vec::new();
    let mut rest = body;
    // A row's ciphertext holds no quotes, so the name is found where it is one.
    while let Some(at) = rest.windows(name.len()).position(|window| window == name) {
        rest = &rest[at + name.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        numbers.push(digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
        // The rest of a row is at least as long as a message's ciphertext.
        rest = rest.get(crate::fixture::MESSAGE_BYTES..).unwrap_or_default();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{message_key, sealed_row, session};

    #[test]
    fn every_sequence_number_of_a_body_is_found() {
        let mut body = levi_transport::rows::MessageBatch::new();
        for number in [7, 0, 1_234_567] {
            body.push(&sealed_row(&message_key().unwrap(), &session(1), number).unwrap().payload);
        }
        assert_eq!(sequence_numbers(&body.into_upsert().body), [7, 0, 1_234_567]);
    }
}
