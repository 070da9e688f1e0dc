//! Reads the requests of one connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::supabase::faults::RequestCut;

const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
const READ_BYTES: usize = 16 * 1024;

/// One complete request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes of the head.
    pub(crate) raw_head: Vec<u8>,
    /// The body without chunk headers.
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub(crate) fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Why there is no other request.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The client closed the connection, or the connection failed.
    Closed,
    /// A fault resets the connection here.
    Cut,
    /// The bytes are not HTTP.
    Malformed,
    /// The body is over the limit and was not read.
    TooLarge(Request),
}

impl From<io::Error> for ReadEnd {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// Reads one request after the other. The bytes of an incomplete one stay in `buffer` and `body`.
pub(crate) struct Reader<'a> {
    stream: &'a TcpStream,
    cut: &'a RequestCut,
    max_body: usize,
    /// Bytes that are read and not parsed.
    buffer: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the current request that are read.
    taken: u64,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(stream: &'a TcpStream, cut: &'a RequestCut, max_body: usize) -> Self {
        Self { stream, cut, max_body, buffer: Vec::new(), body: Vec::new(), taken: 0 }
    }

    /// The bytes of an incomplete request.
    pub(crate) fn unfinished(&self) -> [&[u8]; 2] {
        [&self.buffer, &self.body]
    }

    pub(crate) fn next(&mut self) -> Result<Request, ReadEnd> {
        self.taken = self.buffer.len() as u64;
        self.body = Vec::new();
        let mut request = self.head()?;
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked =
            request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let whole = if chunked { self.chunked_body()? } else { self.sized_body(&request)? };
        if !whole {
            return Err(ReadEnd::TooLarge(request));
        }
        request.body = std::mem::take(&mut self.body);
        Ok(request)
    }

    fn head(&mut self) -> Result<Request, ReadEnd> {
        loop {
            if let Some((request, length)) = parse_head(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(request);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(ReadEnd::Malformed);
            }
            self.fill()?;
        }
    }

    /// `false` if the body is over the limit.
    fn sized_body(&mut self, request: &Request) -> Result<bool, ReadEnd> {
        let Some(length) = request.header("content-length") else { return Ok(true) };
        let length: usize = length.parse().map_err(|_| ReadEnd::Malformed)?;
        if length > self.max_body {
            return Ok(false);
        }
        self.take(length)?;
        Ok(true)
    }

    fn chunked_body(&mut self) -> Result<bool, ReadEnd> {
        loop {
            let line = self.line()?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).map_err(|_| ReadEnd::Malformed)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| ReadEnd::Malformed)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(true);
            }
            if self.body.len().saturating_add(size) > self.max_body {
                return Ok(false);
            }
            self.take(size)?;
            if !self.line()?.is_empty() {
                return Err(ReadEnd::Malformed);
            }
        }
    }

    /// Moves `length` bytes to the body, reading those that are not buffered directly into it.
    fn take(&mut self, length: usize) -> Result<(), ReadEnd> {
        let buffered = length.min(self.buffer.len());
        let start = self.body.len();
        self.body.reserve_exact(length);
        self.body.extend(self.buffer.drain(..buffered));
        let mut filled = self.body.len();
        self.body.resize(start + length, 0);
        while filled < self.body.len() {
            let room = self.cut.room(self.taken, self.body.len() - filled);
            let got = read(self.stream, &mut self.body[filled..filled + room]);
            filled += got.as_ref().copied().unwrap_or(0);
            if let Err(end) = got.and_then(|got| self.count(got)) {
                self.body.truncate(filled);
                return Err(end);
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>, ReadEnd> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(ReadEnd::Malformed);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), ReadEnd> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + self.cut.room(self.taken, READ_BYTES), 0);
        let got = read(self.stream, &mut self.buffer[filled..]);
        self.buffer.truncate(filled + got.as_ref().copied().unwrap_or(0));
        self.count(got?)
    }

    fn count(&mut self, got: usize) -> Result<(), ReadEnd> {
        self.taken += got as u64;
        if self.cut.reached(self.taken) { Err(ReadEnd::Cut) } else { Ok(()) }
    }
}

/// Reads at least one byte.
fn read(mut stream: &TcpStream, into: &mut [u8]) -> Result<usize, ReadEnd> {
    loop {
        match stream.read(into) {
            Ok(0) => return Err(ReadEnd::Closed),
            Ok(got) => return Ok(got),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Request, usize)>, ReadEnd> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => {
            let headers = head.headers.iter().map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            });
            let request = Request {
                method: head.method.unwrap_or_default().to_owned(),
                target: head.path.unwrap_or_default().to_owned(),
                headers: headers.collect(),
                raw_head: buffer[..length].to_vec(),
                body: Vec::new(),
            };
            Ok(Some((request, length)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(ReadEnd::Malformed),
    }
}
