//! Following one session: the server sends no other's changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod feed;
mod world;

use std::time::Duration;

use feed::{Writer, read_to_end};
use levi::{ChangeCursor, Follow, Pace};

const PACE: Pace =
    Pace { first: Duration::from_millis(2), active_for: Duration::ZERO, longest: Duration::from_millis(20) };

/// Reads up to the message `number`.
async fn up_to(follow: &mut Follow<'_>, number: i64) -> (Vec<(String, i64)>, ChangeCursor) {
    let mut read = Vec::new();
    let all = async {
        loop {
            let page = follow.next().await.unwrap();
            let changes = page.changes.iter();
            read.extend(changes.map(|change| (change.session_id.to_string(), change.sequence_number)));
            if read.last().is_some_and(|(_, last)| *last == number) {
                return page.cursor;
            }
        }
    };
    // Reached only by a test that fails.
    let cursor = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    (read, cursor)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changes_in_the_session_is_asked_for() {
    let writer = Writer::new(2).await;
    let (one, other) = (writer.session("one").await, writer.session("other").await);
    writer.write(&one, [1]).await;
    writer.write(&other, 1..=20).await;
    writer.write(&one, [2]).await;
    let reader = writer.reader();
    let before = writer.world.server.requests().len();
    let mut follow = reader.follow(None).with_pace(PACE).of_session(one.clone());
    let (read, cursor) = up_to(&mut follow, 2).await;
    assert_eq!(read, [(one.to_string(), 1), (one.to_string(), 2)]);
    // The others' number rises above the cursor's, and the next reader begins again.
    writer.write(&other, [21]).await;
    writer.write(&one, [3]).await;
    let mut follow = reader.follow(Some(cursor)).with_pace(PACE).of_session(one.clone());
    assert_eq!(up_to(&mut follow, 3).await.0, [(one.to_string(), 3)]);
    let requests = writer.world.server.requests().split_off(before);
    let filter = format!("session_id=eq.{one}");
    let feed: Vec<_> = requests.iter().filter(|request| request.target.contains("change_id")).collect();
    assert!(!feed.is_empty() && feed.iter().all(|request| request.target.contains(&filter)), "{feed:?}");
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

/// It was stored when the server still sent all sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_waits_for_the_keys_of_other_sessions_delivers_nothing_of_them() {
    let writer = Writer::new(2).await;
    let (one, closed) = (writer.session("one").await, writer.unshared("closed").await);
    writer.write(&closed, [1]).await;
    writer.write(&one, [1]).await;
    let reader = writer.reader();
    let (changes, cursor) = read_to_end(&reader, None, 100).await;
    assert_eq!(changes.len(), 2);
    writer.share(&closed).await;
    writer.write(&one, [2]).await;
    let mut follow = reader.follow(cursor).with_pace(PACE).of_session(one.clone());
    assert_eq!(up_to(&mut follow, 2).await.0, [(one.to_string(), 2)]);
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

/// What the other sessions have below the cursor is no news to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_project_delivers_again_nothing_of_the_session() {
    let before = Writer::new(2).await;
    let one = before.session("one").await;
    before.write(&one, 1..=9).await;
    let reader = before.reader();
    let mut follow = reader.follow(None).with_pace(PACE).of_session(one);
    let (_, cursor) = up_to(&mut follow, 9).await;
    let restored = Writer::new(2).await;
    let (one, other) = (restored.session("one").await, restored.session("other").await);
    restored.write(&one, [1, 2]).await;
    restored.write(&other, [1, 2]).await;
    restored.write(&one, [10]).await;
    let reader = restored.reader();
    let mut follow = reader.follow(Some(cursor)).with_pace(PACE).of_session(one.clone());
    assert_eq!(up_to(&mut follow, 10).await.0, [(one.to_string(), 10)]);
    before.levi.shutdown(Duration::from_secs(5)).await;
    restored.levi.shutdown(Duration::from_secs(5)).await;
}
