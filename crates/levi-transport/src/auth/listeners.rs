//! Who is told of sign-ins and sign-outs.

use std::sync::{Mutex, PoisonError, Weak};

use levi_types::{SignInChange, SignInListener};

#[derive(Default)]
pub(super) struct Listeners(Mutex<Vec<Weak<dyn SignInListener>>>);

impl Listeners {
    /// Those that are gone are forgotten.
    pub(super) fn add(&self, listener: Weak<dyn SignInListener>) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(listener);
    }

    pub(super) fn tell(&self, change: &SignInChange) {
        // Called without the lock, which a listener may want.
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.changed(change.clone());
        }
    }
}
