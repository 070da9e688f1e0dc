//! Reads the server's response, if there is one, after a write has failed.
//!
//! A server that refuses a request for its size or its rate answers after the head and closes while
//! the body is still being written. The write fails then, but the response lies in this device's
//! receive buffer.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// How long to look for a response after a write failed. A response that came before the failure is
/// there already.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// If the server has responded and stopped reading, returns that response instead of the failed
/// write.
#[derive(Debug)]
pub(super) struct EarlyAnswerConnector;

impl<In: Transport> Connector<In> for EarlyAnswerConnector {
    type Out = EarlyAnswer<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|connection| EarlyAnswer { connection, answered: false, unseen: false }))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct EarlyAnswer<T> {
    connection: T,
    /// The server has answered and reads no more, so the rest of the request is discarded.
    answered: bool,
    /// Whether nobody has looked at the input that was read early.
    unseen: bool,
}

impl<T: Transport> Transport for EarlyAnswer<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.answered {
            return Ok(());
        }
        let Err(error) = self.connection.transmit_output(amount, timeout) else { return Ok(()) };
        let look = NextTimeout { after: LOOK.into(), ..timeout };
        self.answered = self.connection.await_input(look).unwrap_or(false);
        self.unseen = self.answered;
        if self.answered { Ok(()) } else { Err(error) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if std::mem::take(&mut self.unseen) {
            return Ok(true);
        }
        self.connection.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.answered && self.connection.is_open()
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls()
    }
}
