//! Supabase in this process, without a network: for measurements that end when a request is sent.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use levi::transport::{ApiError, Select, Supabase, Update, Upsert};
use levi::types::AccessToken;
use levi_transport::Table;
use tokio::sync::Notify;

/// Records when each request arrives, and accepts it.
#[derive(Default)]
pub(crate) struct InProcessServer {
    /// How long each upsert takes.
    pub(crate) latency: Duration,
    /// The JSON rows that a select of devices returns.
    pub(crate) devices: Vec<u8>,
    /// How many upserts have arrived.
    pub(crate) upserts: AtomicU64,
    /// When each upsert of messages arrived, with the sequence numbers in it.
    pub(crate) arrivals: Mutex<Vec<(Instant, Vec<i64>)>>,
    /// Notified at each upsert.
    pub(crate) arrived: Notify,
}

impl InProcessServer {
    /// Sequence number and time of arrival of each message since the last call.
    pub(crate) fn take_arrivals(&self) -> Vec<(i64, Instant)> {
        let arrivals = std::mem::take(&mut *lock(&self.arrivals));
        arrivals
            .into_iter()
            .flat_map(|(at, numbers)| numbers.into_iter().map(move |number| (number, at)))
            .collect()
    }

    /// How many messages have arrived since the last `take_arrivals`.
    pub(crate) fn count_arrivals(&self) -> usize {
        lock(&self.arrivals).iter().map(|(_, numbers)| numbers.len()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[async_trait]
impl Supabase for InProcessServer {
    async fn upsert(&self, _: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        let at = Instant::now();
        self.upserts.fetch_add(1, Ordering::Relaxed);
        if upsert.table == Table::Messages {
            lock(&self.arrivals).push((at, sequence_numbers(&upsert.body)));
        }
        self.arrived.notify_one();
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        Ok(())
    }

    async fn insert(&self, token: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        let places = places(&insert);
        self.upsert(token, insert).await.map(|()| places)
    }

    async fn update(&self, _: &AccessToken, _: Update) -> Result<Vec<u8>, ApiError> {
        Ok(b"[]".to_vec())
    }

    async fn select(&self, _: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        Ok(if select.table == Table::Devices { self.devices.clone() } else { b"[]".to_vec() })
    }
}

/// The places of the rows, as a server returns them. All sessions are one here: only their number counts.
fn places(insert: &Upsert) -> Vec<u8> {
    if insert.table != Table::Messages {
        return b"[]".to_vec();
    }
    let rows = sequence_numbers(&insert.body).into_iter();
    let rows: Vec<String> =
        rows.map(|number| format!(r#"{{"session_id":"s","sequence_number":{number}}}"#)).collect();
    format!("[{}]", rows.join(",")).into_bytes()
}

/// Finds the sequence numbers of the rows in a body without parsing the rest, which would take time from Levi.
fn sequence_numbers(body: &[u8]) -> Vec<i64> {
    let name = b"\"sequence_number\":";
    let mut numbers = Vec::new();
    let mut rest = body;
    // Ciphertext in base64 holds no quotes, so every match is a name.
    while let Some(at) = rest.windows(name.len()).position(|window| window == name) {
        rest = &rest[at + name.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        numbers.push(digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
        // Skips most of the ciphertext, which has at least as many bytes as the message.
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
