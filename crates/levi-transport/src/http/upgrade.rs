//! A connection to the project that switches from HTTP to a WebSocket, with the proxy, certificates
//! and headers of every other request.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::time::Instant as UreqInstant;
use ureq::unversioned::transport::{NextTimeout, TransportAdapter};
use ureq::{Agent, Error, Timeout};
use zeroize::Zeroizing;

use super::exchange::Exchange;
use super::failure::{self, Phase};
use super::keep_connection::{KeepConnection, Kept};
use super::options::{HttpConfigError, HttpOptions};
use crate::api_error::{ApiError, Verdict};

/// The longest head of an answer to an upgrade, in bytes.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;

/// How long nothing may move while something is written.
const WRITE: Duration = Duration::from_secs(15);

/// Opens connections to a project for another protocol than HTTP.
#[derive(Clone)]
pub struct ProjectUpgrade {
    exchange: Exchange,
}

impl ProjectUpgrade {
    /// Checks the options. Sends nothing.
    ///
    /// # Errors
    /// [`HttpConfigError`], which says what to change.
    pub fn new(options: &HttpOptions) -> Result<Self, HttpConfigError> {
        Ok(Self { exchange: Exchange::new(options)? })
    }

    /// Prepares one connection. `path` follows the project's address; the publishable key is
    /// appended to its query, where Supabase's own clients send it. `headers` are the upgrade's
    /// own: none of them may hold a line break.
    pub fn prepare(&self, path: &str, headers: &[(&str, &str)]) -> PreparedUpgrade {
        let kept = Kept::default();
        let (uri, head) = self.exchange.upgrade_head(path, headers);
        let agent = self.exchange.agent_that_keeps(KeepConnection { uri: uri.clone(), kept: kept.clone() });
        PreparedUpgrade { agent, kept, uri, head, response: self.exchange.response_timeout() }
    }
}

impl fmt::Debug for ProjectUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectUpgrade").finish_non_exhaustive()
    }
}

/// One connection that is not open yet.
pub struct PreparedUpgrade {
    agent: Agent,
    kept: Kept,
    uri: String,
    head: Zeroizing<Vec<u8>>,
    response: Duration,
}

impl PreparedUpgrade {
    /// Ends the connection from another thread, also while it is being made.
    pub fn closer(&self) -> ConnectionCloser {
        ConnectionCloser(self.agent.clone())
    }

    /// Connects and asks for the other protocol. Blocks, within the timeouts of the options.
    ///
    /// # Errors
    /// [`UpgradeError`]
    pub fn connect(self) -> Result<Upgraded, UpgradeError> {
        // It fails once the connection is made, because that is kept instead of used.
        let outcome = self.agent.get(&self.uri).call();
        let Some(transport) = self.kept.take() else {
            let error = outcome.err().unwrap_or(Error::ConnectionFailed);
            return Err(UpgradeError::Unreachable(failure::no_response(&error, Phase::Request)));
        };
        let mut connection = ProjectConnection {
            inner: TransportAdapter::new(transport, Arc::new(UreqInstant::now)),
            read_until: Instant::now() + self.response,
        };
        let sent = connection.write_all(&self.head).and_then(|()| connection.flush());
        sent.map_err(unreachable)?;
        read_head(connection)
    }
}

/// See [`PreparedUpgrade::closer`].
pub struct ConnectionCloser(Agent);

impl ConnectionCloser {
    /// Reads and writes fail from now on.
    pub fn close(&self) {
        self.0.clone().shutdown();
    }
}

/// The server speaks the other protocol from now on.
pub struct Upgraded {
    /// The connection.
    pub connection: ProjectConnection,
    /// What it sent after its answer.
    pub received: Vec<u8>,
    /// The headers of its answer, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Upgraded {
    /// The value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The server or the proxy cannot be reached, or does not speak HTTP.
    #[error(transparent)]
    Unreachable(#[from] ApiError),
    /// The server, or a proxy before it, answered with HTTP and does not switch.
    #[error("the answer to the request for another protocol is HTTP {status}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// How long it asked to wait, at most an hour.
        retry_after: Option<Duration>,
    },
}

/// One open connection. Reads end with [`ErrorKind::WouldBlock`] when their time is over, and can
/// be tried again; a write that does not move for 15 s fails.
pub struct ProjectConnection {
    inner: TransportAdapter,
    read_until: Instant,
}

impl ProjectConnection {
    /// Until when reads wait.
    pub const fn read_until(&mut self, deadline: Instant) {
        self.read_until = deadline;
    }
}

impl Read for ProjectConnection {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.read_until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.inner.set_timeout(timeout(left));
        self.inner.read(into).map_err(
            |error| {
                if is_timeout(&error) { ErrorKind::WouldBlock.into() } else { error }
            },
        )
    }
}

impl Write for ProjectConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.set_timeout(timeout(WRITE));
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn timeout(after: Duration) -> NextTimeout {
    NextTimeout { after: after.into(), reason: Timeout::RecvBody, ..NextTimeout::default() }
}

fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::Timeout(_)))
        || matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn unreachable(error: io::Error) -> UpgradeError {
    let error = if is_timeout(&error) { Error::Timeout(Timeout::RecvResponse) } else { Error::from(error) };
    UpgradeError::Unreachable(failure::no_response(&error, Phase::Request))
}

fn read_head(mut connection: ProjectConnection) -> Result<Upgraded, UpgradeError> {
    let mut received = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = connection.read(&mut chunk).map_err(unreachable)?;
        if read == 0 {
            return Err(unreachable(ErrorKind::UnexpectedEof.into()));
        }
        received.extend_from_slice(&chunk[..read]);
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(&received) {
            Ok(httparse::Status::Complete(length)) => {
                let status = head.code.unwrap_or_default();
                let headers = lowered(head.headers);
                return answered(status, headers, connection, received.split_off(length));
            }
            Ok(httparse::Status::Partial) if received.len() < MOST_HEAD => {}
            _ => return Err(not_http().into()),
        }
    }
}

fn answered(
    status: u16,
    headers: Vec<(String, String)>,
    connection: ProjectConnection,
    received: Vec<u8>,
) -> Result<Upgraded, UpgradeError> {
    let upgraded = Upgraded { connection, received, headers };
    if status == 101 {
        return Ok(upgraded);
    }
    let (asked, date) = (upgraded.header("retry-after"), upgraded.header("date"));
    let retry_after = asked.and_then(|asked| crate::classify::retry_after(asked, date));
    Err(UpgradeError::Refused { status, retry_after })
}

fn lowered(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
    headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect()
}

fn not_http() -> ApiError {
    ApiError::new(Verdict::Unreachable, "bad_response", "the answer to the upgrade is not HTTP")
}
