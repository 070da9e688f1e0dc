//! The change feed over real sockets: what changed in all sessions, once, in order, whatever
//! happens in between.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod feed;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use feed::{QUICK, Writer, garbage, read_to_end, shown, until};
use levi::core::Notifier;
use levi::core::{FollowStatus, MessageError};
use levi::transport::Table;
use levi::types::AccessToken;
use levi::types::{AuthError, AuthSession};
use levi::{Arrival, Auth, ChangeCursor, Pace, ReadError, Reader, SecretsCache};
use levi_testkit::supabase::{Canned, FakeSupabase, Fault, Scope, Times};
use tokio::sync::watch;
use world::World;

const PACE: Pace =
    Pace { first: Duration::from_millis(2), active_for: Duration::ZERO, longest: Duration::from_millis(20) };

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_all_sessions_comes_once_in_order_and_says_what_is_edited_or_late() {
    let writer = Writer::new(2).await;
    let (one, two) = (writer.session("one").await, writer.session("two").await);
    writer.write(&one, [1, 2]).await;
    writer.write(&two, [7]).await;
    writer.write(&one, [4]).await;
    let reader = writer.reader();
    let (changes, cursor) = read_to_end(&reader, None, 3).await;
    let (a, b) = (one.as_str(), two.as_str());
    let expected = [
        (a, 1, Some("text 1"), Arrival::New),
        (a, 2, Some("text 2"), Arrival::New),
        (b, 7, Some("text 7"), Arrival::New),
        (a, 4, Some("text 4"), Arrival::New),
    ];
    assert_eq!(changes.iter().map(shown).collect::<Vec<_>>(), expected);

    writer.edit(&one, 2, "another text").await;
    writer.write(&one, [3, 5]).await;
    // The page is delivered again as long as its cursor was not stored, by the same process and by
    // the next one.
    for reader in [&reader, &reader, &writer.reader()] {
        let (changes, _) = read_to_end(reader, cursor.clone(), 100).await;
        let expected = [
            (a, 2, Some("another text"), Arrival::Edited),
            (a, 3, Some("text 3"), Arrival::Edited),
            (a, 5, Some("text 5"), Arrival::New),
        ];
        assert_eq!(changes.iter().map(shown).collect::<Vec<_>>(), expected);
    }
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_one_request_whatever_the_number_of_sessions() {
    let writer = Writer::on(World::on(FakeSupabase::builder().max_rows(7).start().unwrap(), 2).await);
    let mut sessions = Vec::new();
    for number in 0..30 {
        sessions.push(writer.session(&number.to_string()).await);
        writer.write(&sessions[number], 1..3).await;
    }
    let reader = writer.reader();
    let (changes, cursor) = read_to_end(&reader, None, 500).await;
    assert_eq!(changes.len(), 60, "a server that cuts every answer keeps nothing back");
    let before = writer.world.server.stats().requests;
    let page = reader.changes(cursor.as_ref(), 500).await.unwrap();
    assert_eq!((page.changes.len(), page.more), (0, false));
    assert_eq!(writer.world.server.stats().requests - before, 1);
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_comes_once_and_once_more_when_its_key_has_come() {
    for restarts in [false, true] {
        let writer = Writer::new(2).await;
        let (open, closed) = (writer.session("open").await, writer.unshared("closed").await);
        writer.write(&closed, 1..4).await;
        writer.write(&open, [1]).await;
        writer.write(&closed, 4..6).await;
        let mut reader = writer.reader();
        let (changes, cursor) = read_to_end(&reader, None, 2).await;
        let (unreadable, read): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.content.is_err());
        assert_eq!((unreadable.len(), read.len()), (5, 1));
        let why = unreadable[0].content.as_ref().unwrap_err().to_string();
        assert!(why.contains("share it from a device that has it"), "{why}");
        let (changes, cursor) = read_to_end(&reader, cursor, 2).await;
        assert!(changes.is_empty(), "once: {changes:?}");

        if restarts {
            reader = writer.reader();
        }
        writer.edit(&closed, 2, "edited").await;
        writer.share(&closed).await;
        writer.write(&closed, [6]).await;
        let (changes, cursor) = read_to_end(&reader, cursor, 2).await;
        let closed = closed.as_str();
        let mut shown: Vec<_> = changes.iter().map(shown).collect();
        shown.sort_by_key(|change| change.1);
        let expected = [
            (closed, 1, Some("text 1"), Arrival::Unlocked),
            // It rose above nothing that could be read: those below were delivered before it.
            (closed, 2, Some("edited"), Arrival::Edited),
            (closed, 3, Some("text 3"), Arrival::Unlocked),
            (closed, 4, Some("text 4"), Arrival::Unlocked),
            (closed, 5, Some("text 5"), Arrival::Unlocked),
            (closed, 6, Some("text 6"), Arrival::New),
        ];
        assert_eq!(shown, expected);
        let (changes, _) = read_to_end(&reader, cursor, 2).await;
        assert!(changes.is_empty(), "{changes:?}");
        writer.levi.shutdown(Duration::from_secs(5)).await;
    }
}

/// More runs of rows that nobody sealed than a cursor keeps apart.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_among_many_rows_that_never_open_comes_once() {
    let writer = Writer::new(2).await;
    let session = writer.session("one").await;
    for number in 1..=45 {
        writer.write(&session, [2 * number]).await;
        garbage(&writer.world, &session, 2 * number + 1, 20);
    }
    let mut reader = writer.reader();
    let (changes, mut cursor) = read_to_end(&reader, None, 7).await;
    assert_eq!(changes.len(), 90);
    for attempt in 0..6 {
        if attempt % 2 == 1 {
            reader = writer.reader();
        }
        let (changes, next) = read_to_end(&reader, cursor, 7).await;
        assert!(changes.is_empty(), "{changes:?}");
        cursor = next;
    }
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_deleted_before_its_key_came_is_waited_for_no_more() {
    let writer = Writer::new(2).await;
    let (closed, open) = (writer.unshared("closed").await, writer.session("open").await);
    writer.write(&closed, [1, 2]).await;
    writer.write(&open, [1]).await;
    let reader = writer.reader();
    let (changes, mut cursor) = read_to_end(&reader, None, 10).await;
    assert_eq!(changes.len(), 3);
    writer.world.server.delete_session(&closed).unwrap();
    let mut requests = Vec::new();
    for _ in 0..20 {
        let before = writer.world.server.stats().requests;
        let (changes, next) = read_to_end(&reader, cursor, 10).await;
        assert!(changes.is_empty(), "{changes:?}");
        cursor = next;
        requests.push(writer.world.server.stats().requests - before);
    }
    assert_eq!((requests.first(), requests.last()), (Some(&2), Some(&1)), "{requests:?}");
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sessions_damage_holds_up_no_other_session() {
    let writer = Writer::new(2).await;
    let (good, bad) = (writer.session("good").await, writer.session("bad").await);
    writer.write(&bad, [1]).await;
    garbage(&writer.world, &bad, i64::MAX, 20);
    garbage(&writer.world, &good, 1, 100_000);
    writer.write(&good, [2]).await;
    // The row of the session's secret has another shape than any that Levi writes.
    let secrets = Scope::table(Table::Secrets).method("GET");
    let shape = Canned::new(200).header("Content-Type", "application/json").body("[{\"session_id\":7}]");
    let mut options = writer.world.http();
    options.max_response_bytes = 50_000;
    let (device, key) = writer.world.device_key(1);
    let supabase = Arc::new(levi::HttpSupabase::new(&options).unwrap());
    let reader = Reader::new(supabase, writer.world.auth.clone(), device, key, SecretsCache::new());
    writer.world.server.faults().plan(secrets, Times::Next(1), Fault::Answer(shape));
    let (changes, cursor) = read_to_end(&reader.with_retries(QUICK, 4), None, 100).await;
    let mut last = BTreeMap::new();
    for change in &changes {
        last.insert((change.session_id.clone(), change.sequence_number), change);
    }
    assert!(matches!(last[&(good.clone(), 1)].content, Err(MessageError::NotFetched(_))), "{changes:?}");
    assert_eq!(last[&(good, 2)].content.as_deref().unwrap(), "text 2");
    assert!(last[&(bad.clone(), i64::MAX)].content.is_err());
    // The row of nobody does not make later messages look edited.
    writer.write(&bad, [2]).await;
    let (changes, _) = read_to_end(&writer.reader(), cursor, 100).await;
    let two = changes.iter().find(|change| change.sequence_number == 2).unwrap();
    assert_eq!(shown(two), (bad.as_str(), 2, Some("text 2"), Arrival::New));
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

struct As(AuthSession);

#[async_trait::async_trait]
impl Auth for As {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        Ok(self.0.clone())
    }

    async fn refresh(&self, _: &AccessToken) -> Result<AuthSession, AuthError> {
        Err(AuthError::SignedOut)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_user_and_a_project_without_the_feed_are_named() {
    let world = World::new(2).await;
    let reader = world.reader(1);
    let page = reader.changes(None, 10).await.unwrap();
    let text = page.cursor.to_string();
    let ben = world.server.add_user("ben@example.org", "another long password").unwrap();
    let token = world.server.sign_in(&ben).unwrap().access_token;
    let auth = Arc::new(As(AuthSession { user_id: ben, access_token: token }));
    let (device, key) = world.device_key(1);
    let bens = Reader::new(Arc::new(world.supabase()), auth, device, key, SecretsCache::new());
    let other: ChangeCursor = bens.changes(None, 10).await.unwrap().cursor.to_string().parse().unwrap();
    let refused = reader.changes(Some(&other), 10).await.unwrap_err();
    assert!(matches!(refused, ReadError::OtherUsersCursor { .. }), "{refused}");
    assert!(reader.changes(Some(&text.parse().unwrap()), 10).await.is_ok());
    assert!("levi-changes-1:?".parse::<ChangeCursor>().is_err());

    let missing =
        Canned::error(400, "42703", "column agent_coding_session_messages.change_id does not exist");
    let messages = Scope::table(Table::Messages).method("GET");
    world.server.faults().plan(messages, Times::Always, Fault::Answer(missing));
    let refused = reader.changes(None, 10).await.unwrap_err();
    assert!(matches!(refused, ReadError::NoChangeFeed(_)), "{refused}");
    assert!(refused.to_string().contains("20260102000000_change_feed.sql"), "{refused}");
    let refused = reader.follow(None).with_pace(PACE).next().await.unwrap_err();
    assert!(matches!(refused, ReadError::NoChangeFeed(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_outlasts_an_outage_an_expired_token_and_a_removed_session() {
    let writer = Writer::new(2).await;
    let (one, gone) = (writer.session("one").await, writer.session("gone").await);
    writer.write(&gone, [1]).await;
    let reader = Arc::new(writer.reader());
    let mut follow = reader.follow(None).with_pace(PACE);
    let status = follow.status();
    assert_eq!(until(&mut follow, |_| true).await.len(), 1);

    let server = Arc::clone(&writer.world.server);
    server.go_down();
    let (written, wrote) = tokio::join!(until(&mut follow, |change| change.sequence_number == 2), async {
        paused(status.clone(), true).await;
        server.come_up().unwrap();
        writer.write(&one, [1, 2]).await;
    });
    let () = wrote;
    assert_eq!(written.iter().map(|change| change.sequence_number).collect::<Vec<_>>(), [1, 2]);
    paused(status.clone(), false).await;

    server.expire_tokens(&writer.world.user_id);
    server.delete_session(&gone).unwrap();
    let ((), read) = tokio::join!(writer.write(&one, [3]), until(&mut follow, |_| true));
    assert_eq!(read.iter().map(shown).collect::<Vec<_>>(), [(one.as_str(), 3, Some("text 3"), Arrival::New)]);
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

async fn paused(mut status: watch::Receiver<FollowStatus>, is_paused: bool) {
    status.wait_for(|status| status.paused.is_some() == is_paused).await.unwrap();
}

/// Says so when something was written.
struct Told(watch::Receiver<u32>);

#[async_trait::async_trait]
impl Notifier for Told {
    async fn changed(&self) {
        let _ = self.0.clone().changed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_and_the_network_cut_a_wait_short() {
    let writer = Writer::new(2).await;
    let one = writer.session("one").await;
    let reader = writer.reader();
    // So long that the test would not end if it were waited for.
    let hour = Duration::from_secs(3600);
    let pace = Pace { first: hour, active_for: Duration::ZERO, longest: hour };
    let (tell, told) = watch::channel(0);
    let mut follow = reader.follow(None).with_pace(pace).with_notifier(Arc::new(Told(told)));
    let asked = writer.polls();
    let write = async {
        while writer.polls() == asked {
            tokio::task::yield_now().await;
        }
        writer.write(&one, [1]).await;
        tell.send_replace(1);
    };
    let ((), page) = tokio::join!(write, follow.next());
    assert_eq!(page.unwrap().changes.len(), 1);

    let mut follow = reader.follow(None).with_pace(pace);
    follow.next().await.unwrap();
    let asked = writer.polls();
    let write = async {
        while writer.polls() == asked {
            tokio::task::yield_now().await;
        }
        writer.write(&one, [2]).await;
        reader.network_changed();
    };
    let ((), page) = tokio::join!(write, follow.next());
    assert_eq!(page.unwrap().changes.len(), 1);
    writer.levi.shutdown(Duration::from_secs(5)).await;
}
