//! How processes begin.

use std::sync::Arc;
use std::time::Duration;

use levi_core::SecretsCache;
use levi_core::batcher::Input;
use levi_core::engine::{Engine, EngineParts, Sealer};
use levi_testkit::outbox::FaultyOutbox;
use levi_transport::SignInPace;
use levi_types::SessionStore;
use tokio::sync::Semaphore;

use super::{Gate, Occurrence, Simulation, TokenEvent, TokenInUse};
use crate::content::Keys;
use crate::daemon::Daemon;
use crate::plan::Plan;
use crate::random::Random;
use crate::sender::sender;
use crate::sign_in::Process;

impl Simulation {
    /// A fresh process on the same disk.
    pub(super) fn boot(&mut self) {
        self.boots += 1;
        self.booted_at = self.now;
        (self.unnotified, self.jumped) = (false, false);
        self.incarnation += 1;
        if self.boots > 1
            && let Err(error) = self.disk.reopen(self.plan.setup.store, self.file.as_ref())
        {
            return self.fail("disk", format!("the outbox cannot be opened again: {error}"));
        }
        self.check_disk();
        self.model(|model| model.all_may_be_early());
        let outbox = FaultyOutbox::new(self.disk.clone());
        self.faults = outbox.faults();
        // A new process knows no session's key.
        self.cache = SecretsCache::new();
        self.sealer = sealer(&self.plan, &self.keys, &self.daemon, &self.cache);
        self.engine = Some(Engine::new(EngineParts {
            config: self.plan.setup.config.clone(),
            outbox: Box::new(outbox),
            session_store: Arc::clone(&self.daemon) as Arc<dyn SessionStore>,
            sealer: self.sealer.clone(),
            random: Box::new(Random::new(self.plan.seed, 100 + self.boots)),
        }));
        self.control_sender = sender(&self.server.tables, self.daemon.clone());
        self.apply_disk_fault();
        (self.gate, self.stop_at) = (Gate::Out, None);
        (self.token_in_use, self.ask_after) = (TokenInUse::default(), Duration::ZERO);
        (self.reading, self.lead, self.looks) = (None, Duration::ZERO, false);
        (self.process, self.asks_anew, self.must_refresh) = (fresh_process(&self.plan), true, false);
        // A new process knows only the wait that the server asked for and that is on disk.
        let longest = self.plan.setup.config.longest_delay();
        let wall = self.clocks().wall;
        let left = self.model(|model| model.paused_until).map_or(Duration::ZERO, |until| until.since(wall));
        self.silence = self.elapsed() + left.min(longest);
        self.queue_room = Arc::new(Semaphore::new(self.plan.setup.config.max_queued_bytes));
        self.note(|| "Levi starts".to_owned());
        if self.named {
            self.name_user();
        }
        if self.token.is_some() {
            self.tell_of_token(Input::SignedIn, TokenEvent::SignedIn);
        }
        // The daemon calls session sync at once, or some time later.
        let wait = self.random.pick(&[0, 0, 5, 3_000]);
        self.schedule(Duration::from_millis(wait), Occurrence::ControlSenderReady);
        self.turn();
    }
}

/// A new process knows only the stored wait.
pub(super) fn fresh_process(plan: &Plan) -> Process {
    Process { pace: SignInPace::new(plan.setup.config.longest_delay()) }
}

pub(super) fn sealer(plan: &Plan, keys: &Keys, daemon: &Arc<Daemon>, cache: &SecretsCache) -> Sealer {
    let database_key = plan.setup.database_key.then(|| keys.database.clone());
    Sealer::new(cache.clone(), Arc::clone(daemon) as Arc<dyn SessionStore>, database_key)
}
