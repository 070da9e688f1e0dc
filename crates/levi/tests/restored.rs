//! A server whose numbers end before the cursor: a project that was restored from a backup, or whose
//! last messages were deleted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod feed;
mod world;

use std::time::Duration;

use feed::{Writer, read_to_end, until};
use levi::{Arrival, ChangeCursor, Pace, SessionId};
use levi_testkit::supabase::FakeSupabase;
use world::World;

const PACE: Pace =
    Pace { first: Duration::from_millis(2), active_for: Duration::ZERO, longest: Duration::from_millis(20) };

/// The numbers that a follower from `cursor` delivers first, if a message is written after it has asked twice.
async fn first_followed(
    writer: &Writer,
    cursor: Option<ChangeCursor>,
    (session, number): (&SessionId, i64),
) -> Vec<i64> {
    let reader = writer.reader();
    let mut follow = reader.follow(cursor).with_pace(PACE);
    let asked = writer.polls();
    let write = async {
        while writer.polls() < asked + 2 {
            tokio::task::yield_now().await;
        }
        writer.write(session, [number]).await;
    };
    let ((), read) = tokio::join!(write, until(&mut follow, |_| true));
    read.iter().map(|change| change.sequence_number).collect()
}

/// The cursor is of the project before, which had more changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_project_that_was_restored_gets_what_is_written_from_then_on() {
    let before = Writer::new(2).await;
    before.write(&before.session("one").await, 1..=9).await;
    let (_, cursor) = read_to_end(&before.reader(), None, 100).await;
    let restored = Writer::new(2).await;
    assert_eq!(restored.world.user_id, before.world.user_id);
    let session = restored.session("one").await;
    restored.write(&session, 1..=3).await;
    assert_eq!(first_followed(&restored, cursor, (&session, 4)).await, [4]);
    before.levi.shutdown(Duration::from_secs(5)).await;
    restored.levi.shutdown(Duration::from_secs(5)).await;
}

/// A session that was quiet for long: what changed in it since the restore lies above what was delivered of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_a_restored_project_made_before_the_follower_asked_is_delivered() {
    let before = Writer::new(2).await;
    before.write(&before.session("quiet").await, 1..=2).await;
    before.write(&before.session("one").await, 1..=9).await;
    let (_, cursor) = read_to_end(&before.reader(), None, 100).await;
    let restored = Writer::new(2).await;
    let quiet = restored.session("quiet").await;
    restored.write(&quiet, 1..=2).await;
    restored.write(&restored.session("one").await, 1..=2).await;
    restored.edit(&quiet, 1, "edited").await;
    let reader = restored.reader();
    let mut follow = reader.follow(cursor).with_pace(PACE);
    let read = until(&mut follow, |change| change.session_id == quiet).await;
    let edit = read.last().unwrap();
    assert_eq!((edit.sequence_number, edit.arrival), (1, Arrival::Edited));
    before.levi.shutdown(Duration::from_secs(5)).await;
    restored.levi.shutdown(Duration::from_secs(5)).await;
}

/// The backup had the first three messages. The project wrote on before the follower asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_project_wrote_before_the_follower_asked_is_delivered() {
    let before = Writer::new(2).await;
    before.write(&before.session("one").await, 1..=9).await;
    let (_, cursor) = read_to_end(&before.reader(), None, 100).await;
    let restored = Writer::on(World::on(FakeSupabase::builder().max_rows(2).start().unwrap(), 2).await);
    let session = restored.session("one").await;
    restored.write(&session, [1, 2, 3, 10, 11]).await;
    let second = restored.session("two").await;
    restored.write(&second, [1]).await;
    let reader = restored.reader();
    let mut follow = reader.follow(cursor).with_pace(PACE);
    let read = until(&mut follow, |change| change.session_id == second).await;
    let numbers: Vec<_> = read.iter().map(|change| (change.sequence_number, change.arrival)).collect();
    assert_eq!(numbers, [(10, Arrival::New), (11, Arrival::New), (1, Arrival::New)]);
    before.levi.shutdown(Duration::from_secs(5)).await;
    restored.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_delivered_again_where_the_last_session_was_deleted() {
    let writer = Writer::new(2).await;
    let (kept, deleted) = (writer.session("kept").await, writer.session("deleted").await);
    let closed = writer.unshared("closed").await;
    writer.write(&kept, [1, 2]).await;
    writer.write(&closed, [1]).await;
    writer.write(&deleted, [1, 2]).await;
    let (_, cursor) = read_to_end(&writer.reader(), None, 100).await;
    writer.world.server.delete_session(&deleted).unwrap();
    assert_eq!(first_followed(&writer, cursor, (&kept, 3)).await, [3]);
    writer.levi.shutdown(Duration::from_secs(5)).await;
}
