//! The state that all connections share.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use levi_types::Clock;

use super::auth::{self, AuthEvent, AuthState};
use super::cors;
use super::database::Database;
use super::faults::Faults;
use super::gateway::{self, Keys};
use super::http::{Request, Response};
use super::lock;
use super::realtime::Realtime;
use super::record::Record;
use super::rest::error::RestError;
use super::rest::{self, Outcome, Reads};
use super::role::Role;

pub(crate) struct Server {
    pub(crate) database: Database,
    pub(crate) auth: Mutex<AuthState>,
    pub(crate) keys: Keys,
    pub(crate) faults: Faults,
    pub(crate) record: Record,
    pub(crate) realtime: Realtime,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_rows: u64,
    pub(crate) max_body: usize,
    pub(crate) ending: Ending,
}

impl Server {
    /// Executes a request and returns the answer.
    pub(crate) fn execute(&self, request: &Request) -> Response {
        if let Some(response) = cors::preflight(request) {
            return cors::readable(request, response);
        }
        let (outcome, event) = self.outcome(request);
        self.record.executed(&outcome, event);
        cors::readable(request, outcome.response)
    }

    fn outcome(&self, request: &Request) -> (Outcome, AuthEvent) {
        let key = match self.keys.check(request) {
            Ok(key) => key,
            Err(refusal) => return (Outcome::plain(refusal, None), AuthEvent::Other),
        };
        let now = self.clock.now().wall;
        let path = request.path();
        if path.starts_with("/auth/v1/") {
            let (response, event) = auth::answer(&mut lock(&self.auth), request, now);
            if let AuthEvent::SignedUp(user) | AuthEvent::Registered(user) = event
                && let Err(error) = self.database.add_user(user)
            {
                return (Outcome::plain(RestError::from(error).into_response(), None), AuthEvent::Other);
            }
            return (Outcome::plain(response, None), event);
        }
        if !path.starts_with("/rest/v1/") {
            let body = br#"{"message":"no Route matched with those values"}"#.to_vec();
            return (Outcome::plain(Response::json(404, body), None), AuthEvent::Other);
        }
        let role = match gateway::role(&lock(&self.auth), key, request, now) {
            Ok(role) => role,
            Err(refusal) => return (Outcome::plain(refusal.into_response(), None), AuthEvent::Other),
        };
        (self.answer_rest(request, role), AuthEvent::Other)
    }

    pub(crate) fn answer_rest(&self, request: &Request, role: Role) -> Outcome {
        let micros = self.clock.now().wall.as_millis().saturating_mul(1000);
        let reads = Reads { max_rows: self.max_rows, fault: self.faults.read_fault() };
        let outcome = rest::answer(&self.database, request, role, reads, micros);
        self.realtime.publish(self, &outcome.written);
        outcome
    }
}

/// Lets threads wait for a delay and end the wait early.
#[derive(Default)]
pub(crate) struct Ending {
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Ending {
    pub(crate) fn notify(&self) {
        // Under the lock, because otherwise a waiter between its check and its wait would miss the
        // notification.
        let _guard = lock(&self.mutex);
        self.changed.notify_all();
    }

    /// Returns after `delay`, or sooner if `over` is true at a notification.
    pub(crate) fn wait(&self, delay: Duration, over: impl Fn() -> bool) {
        let guard = lock(&self.mutex);
        let waited = self.changed.wait_timeout_while(guard, delay, |()| !over());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
