//! The notifier: starts the thread, and passes its notifications on.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levi_core::{Notifications, Notifier, PollingReason};
use levi_transport::{HttpConfigError, HttpOptions, ProjectUpgrade, SystemClock, expiry_of_token};
use levi_types::{Auth, AuthSession, Clock as _};
use rand::rand_core::TryRng as _;
use rand::rngs::SysRng;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::machine::{Machine, Session};
use crate::thread::{Ask, Shared, Thread};

/// Supabase Realtime as the notifier of one follower.
///
/// The follower starts it. It connects, joins a channel with the user's token, and subscribes to
/// the user's messages. It does not read the rows that the server sends; they only wake the
/// follower. While there is no subscription, the follower polls at its own pace, and
/// [`state`](Notifier::state) says why. The next attempt comes after 1, 2, 4 and up to 300 s, plus
/// up to half as much at random. The token is renewed through `auth` and sent on the connection
/// before it expires.
///
/// It needs a tokio runtime, and one thread of its own. Dropping it ends both the connection and
/// the thread.
pub struct Realtime {
    shared: Arc<Shared>,
    network: SyncSender<()>,
    /// The parts of the thread, until it is started.
    parts: Mutex<Option<Parts>>,
}

struct Parts {
    upgrade: ProjectUpgrade,
    auth: Arc<dyn Auth>,
    network: Receiver<()>,
}

impl Realtime {
    /// Checks the options. Connects once a follower uses it.
    ///
    /// # Errors
    /// [`HttpConfigError`], which says what to change.
    pub fn new(options: &HttpOptions, auth: Arc<dyn Auth>) -> Result<Self, HttpConfigError> {
        let upgrade = ProjectUpgrade::new(options)?;
        // A capacity of one is enough, because the only content is that an attempt is due.
        let (network, receiver) = sync_channel(1);
        let parts = Mutex::new(Some(Parts { upgrade, auth, network: receiver }));
        Ok(Self { shared: Arc::new(Shared::new()), network, parts })
    }

    fn start(&self) {
        let Some(parts) = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let Ok(runtime) = Handle::try_current() else {
            self.shared.set_state(Notifications::Polling(PollingReason::NoRuntime));
            return;
        };
        let (asks, asked) = unbounded_channel();
        runtime.spawn(answer(parts.auth, asked));
        let thread = Thread {
            shared: Arc::clone(&self.shared),
            upgrade: parts.upgrade,
            asks,
            network: parts.network,
            machine: Machine::new(SysRng.try_next_u64().unwrap_or_default()),
        };
        // Without a thread the follower polls, as before.
        let _ = std::thread::Builder::new().name("levi-realtime".into()).spawn(move || thread.run());
    }
}

#[async_trait]
impl Notifier for Realtime {
    async fn changed(&self) {
        self.start();
        self.shared.changed.notified().await;
    }

    fn state(&self) -> Notifications {
        self.shared.state()
    }

    fn network_changed(&self) {
        // Fails if a notification is already waiting.
        let _ = self.network.try_send(());
    }
}

impl Drop for Realtime {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl fmt::Debug for Realtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realtime").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Answers the thread until that ends.
async fn answer(auth: Arc<dyn Auth>, mut asked: UnboundedReceiver<Ask>) {
    while let Some(ask) = asked.recv().await {
        let session = match &ask.instead_of {
            Some(token) => auth.refresh(token).await,
            None => auth.session().await,
        };
        // It has ended if this fails.
        let _ = ask.answer.send(session.map(with_expiry));
    }
}

fn with_expiry(AuthSession { user_id, access_token }: AuthSession) -> Session {
    let now = SystemClock::new().now().wall;
    let expires_in = expiry_of_token(&access_token).map(|expiry| expiry.since(now));
    Session { user: user_id, token: access_token, expires_in: expires_in.map(at_most_a_year) }
}

/// The content of a token comes from the server and may be anything.
fn at_most_a_year(left: Duration) -> Duration {
    left.min(Duration::from_secs(365 * 24 * 3600))
}
