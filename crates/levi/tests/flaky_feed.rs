//! A follower on a line that fails again and again, with many rows that never open.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod feed;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use feed::{QUICK, Writer, garbage, read_to_end};
use levi::transport::{ApiError, Select, Supabase, Table, Update, Upsert, Verdict};
use levi::types::AccessToken;
use levi::{Arrival, Change, Follow, HttpSupabase, Pace, Reader, SecretsCache, SessionId};
use levi_testkit::supabase::FakeSupabase;
use world::World;

const PACE: Pace =
    Pace { first: Duration::from_millis(2), active_for: Duration::ZERO, longest: Duration::from_millis(20) };
const WITHIN: Duration = Duration::from_secs(60);

/// The most changes of one page of the follower.
const LIMIT: u32 = 2;

/// Every fifth read of messages fails.
struct Flaky {
    server: HttpSupabase,
    reads: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Supabase for Flaky {
    async fn upsert(&self, token: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        self.server.upsert(token, upsert).await
    }

    async fn insert(&self, token: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        self.server.insert(token, insert).await
    }

    async fn update(&self, token: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError> {
        self.server.update(token, update).await
    }

    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        if select.table == Table::Messages {
            self.asked.lock().unwrap().push(select.query.clone());
            if self.reads.fetch_add(1, Ordering::SeqCst) % 5 == 4 {
                return Err(ApiError::new(Verdict::Unreachable, "reset", "the line failed"));
            }
        }
        self.server.select(token, select).await
    }
}

impl Flaky {
    /// How many pages of `session` were added up between two reads of what is new.
    fn pages_added_up(&self, session: &SessionId) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        let of_session = format!("session_id=eq.{session}");
        let limit = format!("limit={LIMIT}");
        let is_page =
            |query: &&String| query.contains(&of_session) && !query.split('&').any(|part| part == limit);
        asked
            .split(|query| !query.contains(&of_session))
            .map(|asked| asked.iter().filter(is_page).count())
            .filter(|pages| *pages > 0)
            .collect()
    }
}

async fn until(follow: &mut Follow<'_>, done: impl Fn(&Change) -> bool) {
    let found = async { while !follow.next().await.unwrap().changes.iter().any(&done) {} };
    assert!(tokio::time::timeout(WITHIN, found).await.is_ok(), "it does not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_that_never_open_keep_nothing_new_back_and_are_looked_through_in_the_end() {
    let writer = Writer::on(World::on(FakeSupabase::builder().max_rows(3).start().unwrap(), 2).await);
    let (rows, other) = (writer.session("rows").await, writer.session("other").await);
    for number in 1..=60 {
        writer.write(&rows, [2 * number]).await;
        garbage(&writer.world, &rows, 2 * number + 1, 20);
    }
    let (changes, cursor) = read_to_end(&writer.reader(), None, 100).await;
    assert_eq!(changes.len(), 120);
    // One of the rows opens, so that what lies among them comes again.
    writer.edit(&rows, 5, "a text").await;

    let (device, key) = writer.world.device_key(1);
    let server = writer.world.supabase();
    let flaky = Arc::new(Flaky { server, reads: AtomicUsize::new(0), asked: Mutex::default() });
    let auth = writer.world.auth.clone();
    let reader = Reader::new(flaky.clone(), auth, device, key, SecretsCache::new()).with_retries(QUICK, 4);
    let mut follow = reader.follow(cursor).with_pace(PACE).with_limit(LIMIT);
    writer.write(&other, [1]).await;
    until(&mut follow, |change| change.session_id == other).await;
    let at_first: usize = flaky.pages_added_up(&rows).iter().sum();
    until(&mut follow, |change| change.session_id == rows && change.arrival == Arrival::Unlocked).await;
    let pages = flaky.pages_added_up(&rows);
    assert!(at_first < 20, "it came before all was looked through: {at_first} pages");
    assert!(pages.iter().all(|pages| *pages <= 4), "{pages:?}");
    assert!(pages.len() > 3, "the sum goes on in the next poll: {pages:?}");
    writer.levi.shutdown(Duration::from_secs(5)).await;
}
