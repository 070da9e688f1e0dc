//! The writing device: sessions, their secrets, and every message of the input.

use std::sync::Arc;
use std::time::Duration;

use levi::{
    CodingSession, EnqueueError, Levi, MessageSyncRequest, Receipt, Repository, RepositoryId, SessionId,
    SessionSecret, SessionSyncService, SqliteSessionStore, Status,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::devices::Devices;
use super::ledger::Ledger;
use super::needles::Needles;
use super::source::{DemoMessage, Source};
use super::stage::Stage;
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::feed::Feed;
use crate::ids::stable_uuid;
use crate::progress::Progress;
use crate::settle::{self, Settled};

/// How long the server may take nothing before the demo gives up; more than the longest pause after an outage.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Plan<'a> {
    pub(crate) source: &'a Source,
    pub(crate) total: u64,
    pub(crate) outage: Duration,
    pub(crate) seed: u64,
}

/// What was sent, and how it went.
pub(crate) struct Sent {
    pub(crate) ledger: Ledger,
    pub(crate) needles: Needles,
    pub(crate) status: Status,
    /// Lines that were no message.
    pub(crate) bad_lines: u64,
    /// For how long the server was down.
    pub(crate) down: Option<Duration>,
}

pub(crate) async fn send(
    stage: &Stage,
    devices: &Devices,
    plan: &Plan<'_>,
    console: Console,
) -> Result<Sent, CliError> {
    let writer = devices.writer();
    let (levi, store) = writer.levi(stage)?;
    settle::start(&levi).await?;
    let service = levi.session_sync(writer.id.clone(), writer.home.private_key()?)?;
    let mut sending = Sending {
        stage,
        plan,
        console,
        levi: &levi,
        feed: Feed::new(&levi),
        sessions: Sessions { store, service, repository: None },
        ledger: Ledger::default(),
        needles: Needles::new(stage.server.stand_in(), plan.seed),
        progress: console.progress("syncing", Some(plan.total)),
        bad_lines: 0,
        outage: None,
    };
    sending.feed_all().await?;
    let (mut sent, last, progress) = sending.finish().await?;
    let settled = settle::settle(&levi, last.as_ref(), PATIENCE, progress).await;
    sent.status = levi.status();
    levi.shutdown(Duration::from_secs(5)).await;
    match settled {
        Settled::Empty => Ok(sent),
        Settled::Stuck(why) => Err(CliError::Demo(format!("the messages do not reach the server: {why}"))),
    }
}

struct Sending<'a> {
    stage: &'a Stage,
    plan: &'a Plan<'a>,
    console: Console,
    levi: &'a Levi,
    feed: Feed<'a, u64>,
    sessions: Sessions,
    ledger: Ledger,
    needles: Needles,
    progress: Progress,
    bad_lines: u64,
    outage: Option<JoinHandle<Result<Duration, CliError>>>,
}

impl Sending<'_> {
    async fn feed_all(&mut self) -> Result<(), CliError> {
        let mut input = self.plan.source.repeated(self.plan.total)?;
        let middle = self.plan.total / 2;
        let mut taken = 0;
        while let Some(next) = input.next_message()? {
            if taken == middle {
                self.strike().await?;
            }
            taken += 1;
            match next {
                Ok(message) => self.take(message).await?,
                Err((line, error)) => self.bad(line, error.to_string()),
            }
            self.progress.reached(self.levi.status().rows_accepted);
        }
        while let Some((line, result)) = self.feed.stored().await {
            self.stored(line, result);
        }
        Ok(())
    }

    async fn take(&mut self, message: DemoMessage) -> Result<(), CliError> {
        let session_id = match self.ledger.session(&message.session) {
            Some(id) => id.clone(),
            None => self.open_session(&message.session).await?,
        };
        let request = MessageSyncRequest {
            message_id: message.message_id.as_str().into(),
            session_id,
            sequence_number: message.sequence_number,
            content: message.content,
        };
        if let Err(error) = request.check(self.plan_limit()) {
            if message.first_pass {
                self.bad(message.line, error.to_string());
            }
            return Ok(());
        }
        if message.first_pass {
            self.needles.consider(&request.content);
        }
        self.ledger.enter(&message.session, request.sequence_number, &request.content);
        while self.feed.is_full() {
            if let Some((line, result)) = self.feed.stored().await {
                self.stored(line, result);
            }
        }
        self.feed.hand_over(message.line, request).await;
        Ok(())
    }

    fn plan_limit(&self) -> usize {
        levi::LeviConfig::default().max_message_bytes
    }

    async fn open_session(&mut self, name: &str) -> Result<SessionId, CliError> {
        let id: SessionId = stable_uuid("demo-session", &[&self.plan.seed.to_string(), name]).into();
        let secret = self.sessions.create(&id, self.plan.seed).await?;
        // Exposed to be looked for in what the server gets: it must never be there.
        self.needles.add(secret.expose());
        self.ledger.open_session(name.to_owned(), id.clone());
        Ok(id)
    }

    /// Takes the server down while the second half is handed over.
    async fn strike(&mut self) -> Result<(), CliError> {
        if self.plan.outage.is_zero() {
            return Ok(());
        }
        let Some(outage) = self.stage.server.outage(self.plan.outage) else {
            self.progress.event("no outage: this server is not the demo's own to take down");
            return Ok(());
        };
        self.arrived(self.ledger.messages / 2).await?;
        self.progress.event("the server goes down");
        self.outage = Some(tokio::spawn(outage));
        Ok(())
    }

    /// Waits until the server has so many of the messages.
    async fn arrived(&mut self, messages: u64) -> Result<(), CliError> {
        let mut watch = self.levi.watch_status();
        let arrived = watch.wait_for(|status| status.rows_accepted >= messages);
        let waited = timeout(PATIENCE, arrived).await.is_ok();
        self.progress.reached(self.levi.status().rows_accepted);
        if waited { Ok(()) } else { Err(CliError::Demo("the first messages did not arrive".to_owned())) }
    }

    async fn finish(mut self) -> Result<(Sent, Option<Receipt>, Progress), CliError> {
        let down = match self.outage.take() {
            None => None,
            Some(outage) => {
                let down =
                    outage.await.map_err(|_| CliError::Demo("the outage was cut short".to_owned()))??;
                self.progress.event("the server is back");
                Some(down)
            }
        };
        let last = self.feed.last().cloned();
        let Self { ledger, needles, bad_lines, progress, .. } = self;
        Ok((Sent { ledger, needles, status: Status::default(), bad_lines, down }, last, progress))
    }

    fn stored(&mut self, line: u64, result: Result<Receipt, EnqueueError>) {
        if let Err(error) = result {
            self.bad(line, error.to_string());
        }
    }

    fn bad(&mut self, line: u64, error: String) {
        self.bad_lines += 1;
        let complaint = Complaint { line: Some(line), session_id: None, sequence_number: None, error };
        self.console.complain(&complaint);
    }
}

/// The sessions on the writing device.
struct Sessions {
    store: Arc<SqliteSessionStore>,
    service: SessionSyncService,
    repository: Option<RepositoryId>,
}

impl Sessions {
    /// Makes a session with a secret of its own, and shares the secret with all devices.
    async fn create(&mut self, id: &SessionId, seed: u64) -> Result<SessionSecret, CliError> {
        let repository_id = self.repository(seed)?;
        let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
        self.store.save_session(&CodingSession::new(id.clone(), repository_id.clone()))?;
        self.store.save_secret(id, &secret)?;
        // What fails now is in the outbox, and is tried again like a message.
        self.service.sync_new_session(id, &repository_id, &secret).await?;
        Ok(secret)
    }

    fn repository(&mut self, seed: u64) -> Result<RepositoryId, CliError> {
        if let Some(id) = &self.repository {
            return Ok(id.clone());
        }
        let id: RepositoryId = stable_uuid("demo-repository", &[&seed.to_string()]).into();
        self.store.save_repository(&Repository {
            default_branch: Some("main".into()),
            ..Repository::new(id.clone(), "demo", "/home/ada/projects/demo")
        })?;
        self.repository = Some(id.clone());
        Ok(id)
    }
}
