//! TCP connections that fail when no byte moves, and not because the whole request takes long.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use socket2::SockRef;
use ureq::unversioned::transport::time::Duration as Limit;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

use super::pace::LONGEST;

/// The size of the operating system's send buffer. Without a bound it holds megabytes, so a write
/// returns long before the server has the request, and the wait for the response begins too early.
pub(super) const SEND_BUFFER: usize = 128 << 10;

/// Opens the connection, unless a proxy's connector has opened it.
#[derive(Debug)]
pub(super) struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(through_proxy) = chained {
            return Ok(Some(Either::A(through_proxy)));
        }
        let stream = connect(&details.addrs, details.timeout)?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER)?;
        let stream = Arc::new(stream);
        (details.register_shutdown)(Arc::downgrade(&stream) as Weak<dyn ShutdownHandle>)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TcpTransport { stream, buffers })))
    }
}

/// Tries the addresses in order. Each but the last has half of the time that is left.
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let deadline = Deadline::of(timeout);
    let mut last_error = Error::HostNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.left()?;
        let share = if index + 1 == addresses.len() { left } else { left / 2 };
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::TimedOut => last_error = Error::Timeout(timeout.reason),
            Err(error) => last_error = error.into(),
        }
    }
    Err(last_error)
}

/// One connection.
#[derive(Debug)]
pub(super) struct TcpTransport {
    /// Shared weakly with the agent, which shuts it down when the request is cancelled.
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    /// Each write that moves a byte restarts the limit for the next one.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let deadline = Deadline::of(timeout);
        let mut output = &self.buffers.output()[..amount];
        while !output.is_empty() {
            let (wait, reason) = deadline.next(timeout.per_write, Timeout::PerWrite)?;
            self.stream.set_write_timeout(Some(wait))?;
            match (&*self.stream).write(output) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => output = &output[written..],
                Err(error) => retry(error, reason)?,
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let deadline = Deadline::of(timeout);
        loop {
            let (wait, reason) = deadline.next(timeout.per_read, Timeout::PerRead)?;
            self.stream.set_read_timeout(Some(wait))?;
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(read > 0);
                }
                Err(error) => retry(error, reason)?,
            }
        }
    }

    /// Bytes that nobody asked for, and the end of the stream, both mean that it cannot be used
    /// again.
    fn is_open(&mut self) -> bool {
        let nothing_to_read = self.stream.set_nonblocking(true).is_ok()
            && (&*self.stream).read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        nothing_to_read && self.stream.set_nonblocking(false).is_ok()
    }
}

/// `Ok` after a signal: the call is made again.
fn retry(error: io::Error, reason: Timeout) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Error::Timeout(reason)),
        _ => Err(error.into()),
    }
}

/// When a step of the request must have ended.
struct Deadline {
    at: Option<Instant>,
    reason: Timeout,
}

impl Deadline {
    fn of(timeout: NextTimeout) -> Self {
        let at = match timeout.after {
            // A time that the clock cannot express does not come.
            Limit::Exact(after) => Instant::now().checked_add(after),
            Limit::NotHappening => None,
        };
        Self { at, reason: timeout.reason }
    }

    /// The time that is left; an error if none is.
    fn left(&self) -> Result<Duration, Error> {
        let Some(at) = self.at else { return Ok(LONGEST) };
        let left = at.saturating_duration_since(Instant::now()).min(LONGEST);
        if left.is_zero() { Err(Error::Timeout(self.reason)) } else { Ok(left) }
    }

    /// How long one system call may take, and what it means if it takes longer.
    fn next(&self, for_one_call: Option<Limit>, reason: Timeout) -> Result<(Duration, Timeout), Error> {
        let left = self.left()?;
        match for_one_call {
            Some(Limit::Exact(limit)) if limit < left => Ok((limit.max(SHORTEST), reason)),
            _ => Ok((left.max(SHORTEST), self.reason)),
        }
    }
}

/// The operating system takes no timeout of zero, and rounds to microseconds.
const SHORTEST: Duration = Duration::from_millis(1);
