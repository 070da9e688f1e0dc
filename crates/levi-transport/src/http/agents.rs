//! ureq agents, one for each request in flight, so that one request can be cancelled by itself. Each has a thread.
//!
//! They are not tokio's blocking threads, because a runtime that is dropped waits for those: a server that does not
//! answer would hold up the end of the process.

use std::fmt;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustls::ClientConfig;
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, SocksConnector, Transport,
};

use super::early_answer::EarlyAnswerConnector;
use super::tcp::TcpConnector;
use super::tls::TlsConnector;

/// An agent and its thread, which ends once this is dropped and its request has ended.
pub(super) struct AgentThread {
    agent: Agent,
    requests: Sender<Box<dyn FnOnce() + Send>>,
}

impl AgentThread {
    fn start(agent: Agent) -> io::Result<Self> {
        let (requests, queue) = channel::<Box<dyn FnOnce() + Send>>();
        let run = move || queue.into_iter().for_each(|request| request());
        Builder::new().name("levi-http".into()).spawn(run)?;
        Ok(Self { agent, requests })
    }

    /// Runs `request` on the thread. If the future is dropped, it goes on there and its result is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        request: impl FnOnce(&Agent) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (result, ended) = oneshot::channel();
        let agent = self.agent.clone();
        let request = move || {
            // Nobody wants the result any more if this fails.
            let _ = result.send(request(&agent));
        };
        self.requests.send(Box::new(request)).map_err(|_| io::Error::other("it has ended"))?;
        ended.await.map_err(|_| io::Error::other("it panicked"))
    }
}

/// The agents that have no request now, each with the connection of its last one.
pub(super) struct Agents {
    config: Config,
    /// `None` if nothing is encrypted.
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<Vec<AgentThread>>,
    max_idle: usize,
}

impl Agents {
    pub(super) const fn new(config: Config, tls: Option<Arc<ClientConfig>>, max_idle: usize) -> Self {
        Self { config, tls, idle: Mutex::new(Vec::new()), max_idle }
    }

    /// The agent that was used last, whose connection is the least likely to be closed, or a new one.
    pub(super) fn take(&self) -> io::Result<AgentThread> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| AgentThread::start(self.agent()), Ok)
    }

    /// Keeps an agent whose request ended.
    pub(super) fn put_back(&self, agent: AgentThread) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.max_idle {
            idle.push(agent);
        }
    }

    fn agent(&self) -> Agent {
        self.agent_with(EarlyAnswerConnector)
    }

    /// An agent whose connections go through `last` once they are made.
    pub(super) fn agent_with(&self, last: impl Connector<Box<dyn Transport>>) -> Agent {
        let connector =
            ().chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector)
                .chain(TlsConnector(self.tls.clone()))
                .chain(BoxConnector)
                .chain(last);
        Agent::with_parts(self.config.clone(), connector, DefaultResolver::default())
    }
}

/// Gives the connections of the chain one type.
#[derive(Debug)]
struct BoxConnector;

impl<In: Transport> Connector<In> for BoxConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|connection| Box::new(connection) as Box<dyn Transport>))
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

/// Closes the connection of a request whose caller is gone, which ends its thread.
pub(super) struct CancelOnDrop(Option<Agent>);

impl CancelOnDrop {
    pub(super) fn of(thread: &AgentThread) -> Self {
        Self(Some(thread.agent.clone()))
    }

    /// The request has ended.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(agent) = self.0.take() {
            agent.shutdown();
        }
    }
}
