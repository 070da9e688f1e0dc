//! The writing device: enqueues every message of the input, and waits until the server has them.

use std::time::Duration;

use levi::{EnqueueError, Levi, LeviConfig, MessageSyncRequest, Receipt, SessionId, Status};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::devices::Devices;
use super::environment::Environment;
use super::expected::{Expected, Pending};
use super::samples::PlaintextSamples;
use super::sessions::Sessions;
use super::source::{DemoMessage, Source};
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::ids::stable_uuid;
use crate::patience::Patience;
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::wait::{self, wait_until_synced};

/// How long the server may accept nothing before the demo gives up; longer than the longest backoff
/// after an outage.
const PATIENCE: Duration = Duration::from_secs(120);
const SHUTDOWN: Duration = Duration::from_secs(5);

pub(crate) struct Plan<'a> {
    pub(crate) source: &'a Source,
    pub(crate) total: u64,
    pub(crate) outage: Duration,
    pub(crate) seed: u64,
}

pub(crate) struct Sent {
    /// The messages that the outbox stored.
    pub(crate) expected: Expected,
    /// How many of them the server has.
    pub(crate) synced: u64,
    pub(crate) samples: PlaintextSamples,
    pub(crate) status: Status,
    /// Lines that were not enqueued.
    pub(crate) bad_lines: u64,
    /// How long the server was down, if it was.
    pub(crate) down: Option<Duration>,
}

pub(crate) async fn send(
    environment: &Environment,
    devices: &Devices,
    plan: &Plan<'_>,
    console: Console,
) -> Result<Sent, CliError> {
    let writer = devices.writer();
    let store = writer.levi.session_store()?;
    let levi = writer.levi.levi(LeviConfig::default())?;
    wait::start(&levi).await?;
    let service = writer.levi.session_sync(&levi)?;
    let mut sending = Sending {
        environment,
        plan,
        console,
        levi: &levi,
        pipeline: Pipeline::new(&levi),
        sessions: Sessions::new(store, service, plan.seed)?,
        expected: Expected::default(),
        samples: PlaintextSamples::new(environment.server.fake(), plan.seed),
        progress: console.progress("syncing", Some(plan.total)),
        bad_lines: 0,
        outage: None,
    };
    sending.enqueue_all().await?;
    let down = sending.end_of_outage().await?;
    let Sending { pipeline, expected, samples, progress, bad_lines, .. } = sending;
    let waited =
        wait_until_synced(&levi, pipeline.last_receipt(), &mut Patience::new(PATIENCE), progress).await;
    let status = levi.status();
    let left = levi.shutdown(SHUTDOWN).await;
    waited.map_err(|why| CliError::Demo(format!("the messages do not reach the server: {why}")))?;
    let synced = expected.messages.saturating_sub(left.pending + left.parked);
    Ok(Sent { expected, synced, samples, status, bad_lines, down })
}

struct Sending<'a> {
    environment: &'a Environment,
    plan: &'a Plan<'a>,
    console: Console,
    levi: &'a Levi,
    pipeline: Pipeline<'a, Pending>,
    sessions: Sessions,
    expected: Expected,
    samples: PlaintextSamples,
    progress: Progress,
    bad_lines: u64,
    outage: Option<JoinHandle<Result<Duration, CliError>>>,
}

impl Sending<'_> {
    async fn enqueue_all(&mut self) -> Result<(), CliError> {
        let mut input = self.plan.source.repeated(self.plan.total)?;
        let middle = self.plan.total / 2;
        let mut number = 0;
        while let Some(next) = input.next_message()? {
            if number == middle {
                self.start_outage().await?;
            }
            number += 1;
            match next {
                Ok(message) => self.enqueue(message).await?,
                Err(bad) => self.bad_line(bad.line, bad.problem.to_string()),
            }
            self.progress.reached(self.levi.status().rows_accepted);
        }
        self.store_all().await;
        Ok(())
    }

    async fn enqueue(&mut self, message: DemoMessage) -> Result<(), CliError> {
        let DemoMessage { line, pass, session, message_id, sequence_number, content } = message;
        let session_id = match self.expected.session(&session) {
            Some(id) => id.clone(),
            None => self.create_session(&session).await?,
        };
        let request =
            MessageSyncRequest { message_id: message_id.into(), session_id, sequence_number, content };
        if let Err(error) = request.check(LeviConfig::default().max_message_bytes) {
            if pass == 0 {
                self.bad_line(line, error.to_string());
            }
            return Ok(());
        }
        if pass == 0 {
            self.samples.consider(&request.content);
        }
        while self.pipeline.is_full() {
            let Some((message, result)) = self.pipeline.next_result().await else { break };
            self.stored(&message, result);
        }
        let pending = Pending::new(line, session, sequence_number, &request.content);
        self.pipeline.enqueue(pending, request).await;
        Ok(())
    }

    async fn create_session(&mut self, name: &str) -> Result<SessionId, CliError> {
        let id: SessionId = stable_uuid("demo-session", &[&self.plan.seed.to_string(), name]).into();
        let secret = self.sessions.create(&id).await?;
        // Exposed to be searched for in what the server receives, where it must never be.
        self.samples.add_secret(secret.expose());
        self.expected.add_session(name.to_owned(), id.clone());
        Ok(id)
    }

    async fn store_all(&mut self) {
        while let Some((message, result)) = self.pipeline.next_result().await {
            self.stored(&message, result);
        }
    }

    fn stored(&mut self, message: &Pending, result: Result<Receipt, EnqueueError>) {
        match result {
            Ok(_) => self.expected.add(message),
            Err(error) => self.bad_line(message.line, error.to_string()),
        }
    }

    /// Takes the server down while the second half is enqueued.
    async fn start_outage(&mut self) -> Result<(), CliError> {
        if self.plan.outage.is_zero() {
            return Ok(());
        }
        let Some(outage) = self.environment.server.outage(self.plan.outage) else {
            self.progress.event("no outage, because the demo does not disturb an existing project");
            return Ok(());
        };
        self.store_all().await;
        self.wait_until_accepted(self.expected.messages / 2).await?;
        self.progress.event("the server goes down");
        self.outage = Some(tokio::spawn(outage));
        Ok(())
    }

    async fn wait_until_accepted(&mut self, messages: u64) -> Result<(), CliError> {
        let mut watch = self.levi.watch_status();
        let accepted = watch.wait_for(|status| status.rows_accepted >= messages);
        let waited = timeout(PATIENCE, accepted).await;
        self.progress.reached(self.levi.status().rows_accepted);
        waited.map(drop).map_err(|_| CliError::Demo("the first messages did not reach the server".to_owned()))
    }

    /// Waits until the server is up again, and returns how long it was down.
    async fn end_of_outage(&mut self) -> Result<Option<Duration>, CliError> {
        let Some(outage) = self.outage.take() else { return Ok(None) };
        let down = outage.await??;
        self.progress.event("the server is up again");
        Ok(Some(down))
    }

    fn bad_line(&mut self, line: u64, error: String) {
        self.bad_lines += 1;
        self.console.report(&Diagnostic::at_line(line, error));
    }
}
