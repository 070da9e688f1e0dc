//! ureq agents, one for each request in flight, so that one request can be cancelled by itself.
//! Each has a thread.
//!
//! They are not tokio's blocking threads, because a runtime that is dropped waits for those: a
//! server that does not answer would hold up the end of the process.

use std::fmt;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustls::ClientConfig;
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
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

    /// Runs `request` on the thread. If the future is dropped, it goes on there and its result is
    /// dropped.
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

    /// The agent that was used last, whose connection is the least likely to be closed, or a new
    /// one.
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

    /// Closes the connections of the agents that have no request. One whose request is under way
    /// keeps its own, which serves if the request ends.
    pub(super) fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn agent(&self) -> Agent {
        self.agent_with(DefaultResolver::default(), EarlyAnswerConnector)
    }

    /// An agent that finds addresses with `resolver`, and whose connections go through `last` once
    /// they are made.
    pub(super) fn agent_with(
        &self,
        resolver: impl Resolver,
        last: impl Connector<Box<dyn Transport>>,
    ) -> Agent {
        let connector =
            ().chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector)
                .chain(TlsConnector(self.tls.clone()))
                .chain(BoxConnector)
                .chain(last);
        Agent::with_parts(self.config.clone(), connector, resolver)
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::{Duration, Instant};

    use tokio::runtime::Builder as RuntimeBuilder;
    use tokio::sync::Notify;
    use ureq::http::Uri;
    use ureq::unversioned::resolver::ResolvedSocketAddrs;
    use ureq::unversioned::transport::NextTimeout;

    use super::*;

    /// Far above what dropping a runtime takes.
    const SOON: Duration = Duration::from_secs(4);

    /// As the system's resolver whose name server never answers: it knows no limit.
    struct Hanging {
        asked: Arc<Notify>,
        answer: Mutex<Receiver<()>>,
    }

    impl fmt::Debug for Hanging {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Hanging")
        }
    }

    impl Resolver for Hanging {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
            self.asked.notify_one();
            // Until the test has ended.
            let _ = self.answer.lock().unwrap().recv();
            Err(ureq::Error::HostNotFound)
        }
    }

    #[test]
    fn a_name_server_that_never_answers_does_not_hold_the_process() {
        let (_answer, hangs) = sync_channel(0);
        let asked = Arc::new(Notify::new());
        let resolver = Hanging { asked: Arc::clone(&asked), answer: Mutex::new(hangs) };
        let agents = Agents::new(Config::default(), None, 1);
        let thread = AgentThread::start(agents.agent_with(resolver, EarlyAnswerConnector)).unwrap();
        let (ended, end) = channel();
        // On a thread of its own, because a test that fails here would not end.
        std::thread::spawn(move || {
            let runtime = RuntimeBuilder::new_multi_thread().worker_threads(1).build().unwrap();
            let started = Instant::now();
            runtime.spawn(async move {
                let _cancel = CancelOnDrop::of(&thread);
                thread.run(|agent| agent.get("http://levi.invalid/").call().is_ok()).await
            });
            runtime.block_on(asked.notified());
            drop(runtime);
            ended.send(started.elapsed()).unwrap();
        });
        let took = end.recv_timeout(SOON).expect("the runtime waits for the name server");
        assert!(took < SOON, "{took:?}");
    }
}
