//! How long a follower waits, in virtual time: with Realtime, without it, and after the computer slept.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod feed;
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use feed::Writer;
use levi::core::Timer;
use levi::core::{FollowStatus, Notifications, Notifier, PollingReason};
use levi::transport::Table;
use levi::types::{Clock, Monotonic, Now};
use levi_outbox::backoff::Backoff;
use levi_testkit::clock::VirtualClock;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// Far more than anything here takes, and reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `work` returns.
async fn within<T>(work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("what the test waits for does not come"),
    }
}

/// A clock that only moves when the test says so, and waits that end then.
struct Time {
    now: Mutex<Monotonic>,
    asked: UnboundedSender<Duration>,
    /// How far the clock is when a wait ends.
    moves: AsyncMutex<UnboundedReceiver<Duration>>,
}

/// The test's side.
struct Hands {
    time: Arc<Time>,
    asked: UnboundedReceiver<Duration>,
    moves: UnboundedSender<Duration>,
}

impl Hands {
    fn new() -> Self {
        let (asked, was_asked) = unbounded_channel();
        let (moves, moved) = unbounded_channel();
        let time = Time { now: Mutex::default(), asked, moves: AsyncMutex::new(moved) };
        Self { time: Arc::new(time), asked: was_asked, moves }
    }

    /// The next wait, in seconds. While it lasts, `passes` pass.
    async fn wait(&mut self, passes: impl Fn(Duration) -> Duration) -> u64 {
        let asked = self.asked().await;
        self.pass(passes(asked));
        asked.as_secs()
    }

    /// The next wait. It lasts until time [passes](Self::pass).
    async fn asked(&mut self) -> Duration {
        within(self.asked.recv()).await.unwrap()
    }

    fn pass(&self, time: Duration) {
        self.moves.send(time).unwrap();
    }

    /// The minute after something came, in which the follower asks every second.
    async fn active_minute(&mut self) {
        assert_eq!(self.waits(60).await, [1; 60]);
    }

    async fn waits(&mut self, count: usize) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..count {
            waits.push(self.wait(|asked| asked).await);
        }
        waits
    }
}

impl Clock for Time {
    fn now(&self) -> Now {
        Now { monotonic: *self.now.lock().unwrap(), ..Now::default() }
    }
}

#[async_trait]
impl Timer for Time {
    async fn sleep(&self, time: Duration) {
        self.asked.send(time).unwrap();
        let passes = self.moves.lock().await.recv().await.unwrap();
        let mut now = self.now.lock().unwrap();
        *now = now.after(passes);
    }
}

/// Says that it is so, and never that something changed.
struct Silent(Notifications);

#[async_trait]
impl Notifier for Silent {
    async fn changed(&self) {
        std::future::pending().await
    }

    fn state(&self) -> Notifications {
        self.0.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_pushed_it_polls_at_its_own_pace_and_where_it_is_once_a_minute() {
    let writer = Writer::new(2).await;
    let reader = writer.reader();
    // A wait of more than half a minute looks at the clocks in between: 30 and 2, then 30 and 30.
    let table = [
        (Notifications::Connected, [1, 2, 4, 8, 16, 30, 2, 30, 30]),
        (Notifications::Polling(PollingReason::Dropped), [1, 2, 4, 8, 16, 30, 30, 30, 30]),
        (Notifications::Polling(PollingReason::NotOffered { status: 404 }), [1, 2, 4, 8, 16, 30, 30, 30, 30]),
        (Notifications::Polling(PollingReason::Unknown), [1, 2, 4, 8, 16, 30, 30, 30, 30]),
    ];
    for (state, expected) in table {
        let mut hands = Hands::new();
        let notifier = Arc::new(Silent(state.clone()));
        let time = Arc::clone(&hands.time);
        let mut follow = reader.follow(None).with_notifier(notifier).with_time(time.clone(), time);
        assert_eq!(follow.status().borrow().notifications, state);
        let polls = writer.polls();
        let all_waits = async {
            if state != Notifications::Connected {
                hands.active_minute().await;
            }
            hands.waits(expected.len()).await
        };
        let waits = tokio::select! {
            waits = all_waits => waits,
            page = follow.next() => panic!("{page:?}"),
        };
        assert_eq!(waits, expected, "{state:?}");
        assert!(writer.polls() - polls >= 7, "each wait ends in a poll");
    }
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_computer_slept_it_asks_at_once_and_goes_on_as_before() {
    let writer = Writer::new(2).await;
    let one = writer.session("one").await;
    let reader = writer.reader();
    let mut hands = Hands::new();
    let time = Arc::clone(&hands.time);
    let mut follow = reader.follow(None).with_time(time.clone(), time);
    let night = Duration::from_secs(8 * 3600);
    let asleep = async {
        hands.active_minute().await;
        assert_eq!(hands.waits(3).await, [1, 2, 4]);
        // While it waits: no poll is under way that could see the message.
        assert_eq!(hands.asked().await, Duration::from_secs(8));
        writer.write(&one, [1]).await;
        // The clock counts the sleep: all of it has passed when the timer fires.
        hands.pass(night);
        hands
    };
    let (mut hands, page) = within(async { tokio::join!(asleep, follow.next()) }).await;
    assert_eq!(page.unwrap().changes.len(), 1);
    let rest = async {
        hands.active_minute().await;
        assert_eq!(hands.waits(2).await, [1, 2], "as after any message");
        // A clock that stands still meanwhile: the rest of the wait is waited for.
        assert_eq!(hands.wait(|_| Duration::from_secs(1)).await, 4);
        assert_eq!(hands.wait(|asked| asked).await, 3);
        hands.wait(|asked| asked).await
    };
    tokio::select! {
        next = rest => assert_eq!(next, 8),
        page = follow.next() => panic!("{page:?}"),
    }
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

/// Can be told what to say.
struct Switch(watch::Sender<Notifications>);

#[async_trait]
impl Notifier for Switch {
    async fn changed(&self) {
        let _ = self.0.subscribe().changed().await;
    }

    fn state(&self) -> Notifications {
        self.0.borrow().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_ends_is_reported_and_cuts_the_long_wait_short() {
    let writer = Writer::new(2).await;
    let reader = writer.reader();
    let switch = Arc::new(Switch(watch::channel(Notifications::Connected).0));
    let hour = Duration::from_secs(3600);
    let pace = levi::Pace { first: hour, longest: hour, ..levi::Pace::default() };
    let mut follow = reader.follow(None).with_pace(pace).with_notifier(switch.clone());
    let status: watch::Receiver<FollowStatus> = follow.status();
    let ended = async {
        let polls = writer.polls();
        while writer.polls() == polls {
            tokio::task::yield_now().await;
        }
        let polls = writer.polls();
        let dropped = Notifications::Polling(PollingReason::Dropped);
        while status.borrow().notifications != dropped || writer.polls() == polls {
            switch.0.send_replace(dropped.clone());
            tokio::task::yield_now().await;
        }
        serde_json::to_value(&*status.borrow()).unwrap()
    };
    tokio::select! {
        status = within(ended) => {
            let expected = serde_json::json!({ "paused": null, "notifications": { "by": "polling", "why": "dropped" } });
            assert_eq!(status, expected);
        }
        page = follow.next() => panic!("{page:?}"),
    }
    writer.levi.shutdown(Duration::from_secs(5)).await;
}

/// A computer of which the waits of a follower take no real time. The first one may be slept
/// through.
struct Computer {
    clock: VirtualClock,
    sleeps: bool,
    waits: Mutex<Vec<Duration>>,
}

#[async_trait::async_trait]
impl Timer for Computer {
    async fn sleep(&self, time: Duration) {
        self.clock.advance(time);
        let mut waits = self.waits.lock().unwrap();
        if self.sleeps && waits.is_empty() {
            self.clock.sleep_through(Duration::from_secs(3_600));
        }
        waits.push(time);
    }
}

impl Clock for Computer {
    fn now(&self) -> Now {
        self.clock.now()
    }
}

/// A gateway says an hour. The longest delay of an upload is enough, and the time asleep is part of
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_waits_for_as_long_as_a_server_asks_but_for_no_hour_and_awake_again_for_no_more() {
    let writer = Writer::new(2).await;
    let session = writer.session("one").await;
    writer.write(&session, [1]).await;
    let waited = async |sleeps| {
        let answer = Canned::new(503).header("Retry-After", "3600");
        writer.world.server.faults().plan(
            Scope::table(Table::Messages),
            Times::Next(1),
            Fault::Answer(answer),
        );
        let (clock, waits) = (VirtualClock::default(), Mutex::default());
        let computer = Arc::new(Computer { clock, sleeps, waits });
        let reader = writer.world.reader(1).with_retries(Backoff::default(), 4);
        let mut follow = reader.follow(None).with_time(computer.clone(), computer.clone());
        assert_eq!(within(follow.next()).await.unwrap().changes.len(), 1);
        let waits = computer.waits.lock().unwrap();
        waits.iter().sum::<Duration>()
    };
    assert_eq!(waited(false).await, Backoff::default().longest());
    assert!(waited(true).await <= Duration::from_secs(30));
    writer.levi.shutdown(Duration::from_secs(5)).await;
}
