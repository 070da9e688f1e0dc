//! ureq agents, one for each request in flight, so that one request can be cancelled by itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, SocksConnector};

use super::early_answer::EarlyAnswerConnector;
use super::tcp::TcpConnector;
use super::tls::TlsConnector;

/// The agents that have no request now, each with the connection of its last one.
pub(super) struct Agents {
    config: Config,
    /// `None` if nothing is encrypted.
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<Vec<Agent>>,
    max_idle: usize,
}

impl Agents {
    pub(super) const fn new(config: Config, tls: Option<Arc<ClientConfig>>, max_idle: usize) -> Self {
        Self { config, tls, idle: Mutex::new(Vec::new()), max_idle }
    }

    /// The agent that was used last, whose connection is the least likely to be closed, or a new one.
    pub(super) fn take(&self) -> Agent {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| self.agent())
    }

    /// Keeps an agent whose request ended.
    pub(super) fn put_back(&self, agent: Agent) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.max_idle {
            idle.push(agent);
        }
    }

    fn agent(&self) -> Agent {
        let connector =
            ().chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector)
                .chain(TlsConnector(self.tls.clone()))
                .chain(EarlyAnswerConnector);
        Agent::with_parts(self.config.clone(), connector, DefaultResolver::default())
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
    pub(super) fn of(agent: &Agent) -> Self {
        Self(Some(agent.clone()))
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
