//! The daemon's session store, for callers on a runtime's threads.
//!
//! A runtime that is dropped waits for the call that each of its threads is in, so a store that hangs there would hold
//! the end of the process and the requests of other sessions. Here each call has a thread of its own, and its caller
//! waits for two seconds at most. While a call hangs, others fail at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use levi_types::{
    CodingSession, DeliveryReport, DeviceId, PortErrorKind, ReceivedSecret, Repository, RepositoryId,
    SecretString, SessionId, SessionStore, StoreError, UserId,
};

/// How long a call is waited for. A store that answers takes milliseconds, and one whose disk is busy is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct PatientStore {
    store: Arc<dyn SessionStore>,
    patience: Duration,
    /// Calls that were given up and have not ended.
    hanging: Arc<AtomicUsize>,
}

impl PatientStore {
    pub(crate) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self { store, patience: PATIENCE, hanging: Arc::default() }
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn SessionStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.hanging.load(Ordering::Acquire) > 0 {
            return Err(unavailable("an earlier call has not ended"));
        }
        let (ended, end) = channel();
        let running = Running { state: Arc::default(), hanging: Arc::clone(&self.hanging) };
        let (store, state) = (Arc::clone(&self.store), Arc::clone(&running.state));
        let run = move || {
            let running = running;
            // Nobody wants the result any more if this fails.
            let _ = ended.send(call(&*store));
            drop(running);
        };
        let thread = Builder::new().name("levi-store".into()).spawn(run);
        thread.map_err(|error| unavailable(&format!("a call needs a thread: {error}")))?;
        let result = match end.recv_timeout(self.patience) {
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(&state);
                if *state == State::Running {
                    *state = State::GivenUp;
                    self.hanging.fetch_add(1, Ordering::AcqRel);
                    return Err(unavailable("the call has not ended in time"));
                }
                end.recv().ok()
            }
            result => result.ok(),
        };
        result.unwrap_or_else(|| Err(unavailable("the call panicked")))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    GivenUp,
    Ended,
}

/// On the call's thread: notes the call's end, even if it panics.
struct Running {
    state: Arc<Mutex<State>>,
    hanging: Arc<AtomicUsize>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::mem::replace(&mut *lock(&self.state), State::Ended) == State::GivenUp {
            self.hanging.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Every change is one assignment.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(why: &str) -> StoreError {
    StoreError::new(PortErrorKind::Unavailable, why)
}

impl SessionStore for PatientStore {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        let session = session.clone();
        self.call(move |store| store.session_secret(&session))
    }

    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        let repository = repository.clone();
        self.call(move |store| store.repository(&repository))
    }

    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        let session = session.clone();
        self.call(move |store| store.session(&session))
    }

    fn last_sent(&self, session: &SessionId) -> Result<Option<i64>, StoreError> {
        let session = session.clone();
        self.call(move |store| store.last_sent(&session))
    }

    fn session_user(&self, session: &SessionId) -> Result<Option<UserId>, StoreError> {
        let session = session.clone();
        self.call(move |store| store.session_user(&session))
    }

    fn signed_in(&self, user: &UserId) -> Result<(), StoreError> {
        let user = user.clone();
        self.call(move |store| store.signed_in(&user))
    }

    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        let reports = reports.to_vec();
        self.call(move |store| store.record(&reports))
    }

    fn received_secrets(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Vec<ReceivedSecret>, StoreError> {
        let (user, session) = (user.clone(), session.clone());
        self.call(move |store| store.received_secrets(&user, &session))
    }

    fn keep_received_secret(
        &self,
        user: &UserId,
        session: &SessionId,
        received: &ReceivedSecret,
    ) -> Result<(), StoreError> {
        let (user, session, received) = (user.clone(), session.clone(), received.clone());
        self.call(move |store| store.keep_received_secret(&user, &session, &received))
    }

    fn sender_keys(&self, user: &UserId, sender: &DeviceId) -> Result<Vec<String>, StoreError> {
        let (user, sender) = (user.clone(), sender.clone());
        self.call(move |store| store.sender_keys(&user, &sender))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender};

    use super::*;

    /// Answers a call when it is told to.
    struct Held {
        answer: Mutex<Receiver<()>>,
        ended: Mutex<Sender<()>>,
    }

    impl SessionStore for Held {
        fn session_secret(&self, _: &SessionId) -> Result<Option<SecretString>, StoreError> {
            let _ = self.answer.lock().unwrap().recv();
            self.ended.lock().unwrap().send(()).unwrap();
            Ok(None)
        }

        fn repository(&self, _: &RepositoryId) -> Result<Option<Repository>, StoreError> {
            Ok(None)
        }

        fn session(&self, _: &SessionId) -> Result<Option<CodingSession>, StoreError> {
            Ok(None)
        }

        fn record(&self, _: &[DeliveryReport]) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn a_call_that_hangs_is_given_up_and_others_fail_until_it_has_ended() {
        let ((answer, held), (ended, end)) = (channel(), channel());
        let store = Held { answer: Mutex::new(held), ended: Mutex::new(ended) };
        let store =
            PatientStore { patience: Duration::from_millis(20), ..PatientStore::new(Arc::new(store)) };
        let session = SessionId::from("s");
        store.session(&session).unwrap();
        store.session_secret(&session).unwrap_err();
        let error = store.session(&session).unwrap_err();
        assert!(error.to_string().contains("an earlier call has not ended"), "{error}");
        answer.send(()).unwrap();
        end.recv().unwrap();
        while store.hanging.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        store.session(&session).unwrap();
    }
}
