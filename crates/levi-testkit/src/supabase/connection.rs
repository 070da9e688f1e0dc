//! One connection: reads a request, executes it and writes the answer, with the planned faults.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;

use super::faults::Fault;
use super::http::{ReadEnd, Reader, Request, Response};
use super::realtime;
use super::server::Server;

/// How often a blocked write or a stall checks whether the connection must end.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A connection, shared by the thread that serves it and the thread that ends it.
pub(crate) struct Connection {
    stream: TcpStream,
    ending: AtomicBool,
}

/// What to do after a request.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Another,
    Close,
    Reset,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Arc<Self>> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(CHECK_INTERVAL))?;
        Ok(Arc::new(Self { stream, ending: AtomicBool::new(false) }))
    }

    /// Makes the serving thread stop with a reset. A request that is being executed is completed.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the thread if it is reading. Fails if the connection has ended.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Serves until either side closes the connection.
    pub(crate) fn serve(&self, server: &Server) {
        let mut reader = Reader::new(&self.stream, &server.faults.request_cut, server.max_body);
        let next = loop {
            match reader.next() {
                Ok(request) => match self.exchange(server, &request) {
                    Next::Another if !self.is_ending() => {}
                    Next::Another => break Next::Reset,
                    next => break next,
                },
                Err(end) => {
                    server.record.unfinished(&reader.unfinished());
                    break self.unread(server, end);
                }
            }
        };
        if next == Next::Reset || self.is_ending() {
            // With a linger of zero, dropping the stream sends RST instead of FIN.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn unread(&self, server: &Server, end: ReadEnd) -> Next {
        match end {
            ReadEnd::Closed => Next::Close,
            ReadEnd::Cut => {
                server.faults.count_fired();
                Next::Reset
            }
            ReadEnd::Malformed => {
                let _ = self.write(&Response::empty(400).header("Connection", "close").to_bytes(0));
                Next::Close
            }
            ReadEnd::TooLarge(request) => {
                let number = server.record.arrived(&request);
                let response = Response::json(413, br#"{"message":"request body is too large"}"#.to_vec());
                server.record.answering(number, response.status);
                let _ = self.write(&response.header("Connection", "close").to_bytes(0));
                server.record.finished();
                self.drain();
                Next::Close
            }
        }
    }

    /// Reads what the client is still sending, because closing with unread bytes would reset the
    /// connection before the client has read the answer.
    fn drain(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut sink = [0; 16 * 1024];
        while !self.is_ending() && io::Read::read(&mut &self.stream, &mut sink).is_ok_and(|got| got > 0) {}
    }

    fn exchange(&self, server: &Server, request: &Request) -> Next {
        let number = server.record.arrived(request);
        let fault = server.faults.take(request);
        let next = match fault {
            None if realtime::is_upgrade(request) => {
                match realtime::serve(server, number, &self.stream, request) {
                    Some(refusal) => self.answer(server, number, request, refusal),
                    None => Next::Close,
                }
            }
            None => self.answer(server, number, request, server.execute(request)),
            Some(fault) => self.answer_badly(server, number, request, fault),
        };
        server.record.finished();
        next
    }

    fn answer(&self, server: &Server, number: u64, request: &Request, response: Response) -> Next {
        if self.pause(server, server.faults.present_latency()) {
            return Next::Reset;
        }
        server.record.answering(number, response.status);
        let mut bytes = response.to_bytes(0);
        if request.method == "HEAD" {
            bytes.truncate(bytes.len() - response.body.len());
        }
        server.record.sent(bytes.len());
        match self.write(&bytes) {
            Ok(()) if request.wants_close() => Next::Close,
            Ok(()) => Next::Another,
            Err(_) => Next::Reset,
        }
    }

    fn answer_badly(&self, server: &Server, number: u64, request: &Request, fault: Fault) -> Next {
        match fault {
            Fault::Answer(canned) => self.answer(server, number, request, canned.0),
            Fault::AnswerAfterWrite(canned) => {
                server.execute(request);
                self.answer(server, number, request, canned.0)
            }
            Fault::ResetBeforeWrite => Next::Reset,
            Fault::ResetAfterWrite => {
                server.execute(request);
                Next::Reset
            }
            Fault::StallBeforeWrite => {
                if self.stall(server) {
                    return Next::Reset;
                }
                self.answer(server, number, request, server.execute(request))
            }
            Fault::StallAfterWrite => {
                let response = server.execute(request);
                if self.stall(server) {
                    return Next::Reset;
                }
                self.answer(server, number, request, response)
            }
            Fault::Delay(delay) => {
                let response = server.execute(request);
                if self.pause(server, delay) {
                    return Next::Reset;
                }
                self.answer(server, number, request, response)
            }
            other => self.spoil(server, number, request, other),
        }
    }

    /// Faults in the bytes of the answer to an executed request.
    fn spoil(&self, server: &Server, number: u64, request: &Request, fault: Fault) -> Next {
        let response = server.execute(request);
        if self.pause(server, server.faults.present_latency()) {
            return Next::Reset;
        }
        server.record.answering(number, response.status);
        let whole = response.to_bytes(0);
        match fault {
            Fault::ResetInAnswer { after_bytes } => {
                let _ = self.write(&whole[..after_bytes.min(whole.len())]);
                Next::Reset
            }
            Fault::Truncated { after_bytes } => {
                let _ = self.write(&whole[..after_bytes.min(whole.len())]);
                Next::Close
            }
            Fault::WrongContentLength { off_by } => {
                let _ = self.write(&response.to_bytes(off_by));
                Next::Close
            }
            Fault::Garbage(bytes) => {
                let _ = self.write(&bytes);
                Next::Close
            }
            Fault::Trickle { pause } => {
                for byte in &whole {
                    if self.pause(server, pause) || self.write(&[*byte]).is_err() {
                        return Next::Reset;
                    }
                }
                Next::Another
            }
            _ => self.endless(),
        }
    }

    fn endless(&self) -> Next {
        let head = Response::empty(200)
            .header("Content-Type", "application/json; charset=utf-8")
            .header("Transfer-Encoding", "chunked")
            .head();
        let mut chunk = format!("{:x}\r\n", 64 * 1024).into_bytes();
        chunk.resize(chunk.len() + 64 * 1024, b' ');
        chunk.extend_from_slice(b"\r\n");
        let mut going = self.write(&head).and_then(|()| self.write(b"\r\n"));
        while going.is_ok() {
            going = self.write(&chunk);
        }
        Next::Reset
    }

    /// Waits for a release. `true` if the connection must end or the client has closed it.
    fn stall(&self, server: &Server) -> bool {
        let mut releases = server.faults.releases();
        let released_before = *releases;
        while *releases == released_before {
            if self.is_ending() || self.client_closed() {
                return true;
            }
            let woken = server.faults.released.wait_timeout(releases, CHECK_INTERVAL);
            releases = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        self.is_ending()
    }

    fn client_closed(&self) -> bool {
        let was_blocking = self.stream.set_nonblocking(true);
        let peeked = self.stream.peek(&mut [0]);
        let _ = self.stream.set_nonblocking(false);
        match peeked {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => was_blocking.is_ok() && error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Waits without holding a lock. `true` if the connection must end.
    fn pause(&self, server: &Server, delay: Duration) -> bool {
        if !delay.is_zero() {
            server.ending.wait(delay, || self.is_ending());
        }
        self.is_ending()
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.is_ending() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
