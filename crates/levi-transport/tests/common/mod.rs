//! A single-threaded server that follows a script: one step for each request, over real sockets.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use levi_transport::HttpOptions;

pub(crate) const KEY: &str = "sb_publishable_test_key";

/// What to do with one request.
pub(crate) enum Step {
    /// Send a response and keep the connection.
    Answer(&'static str, &'static [(&'static str, &'static str)], String),
    /// Write these bytes and close.
    Raw(&'static [u8]),
    /// Close with the request unread, so that the operating system sends a reset.
    Reset,
    /// Read the request and send nothing until the client disconnects.
    Stall,
    /// Send a body without a length until the client disconnects.
    Endless,
}

/// A request as it arrived.
pub(crate) struct Seen {
    /// The connection's number, counted from 0.
    pub(crate) connection: usize,
    /// The request line.
    pub(crate) line: String,
    /// With names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} came twice");
        value
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Receiver<Seen>,
}

impl Server {
    pub(crate) fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = channel();
        std::thread::spawn(move || serve(&listener, script, &sender));
        Self { url, seen }
    }

    /// The next request that was read in full.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.recv().unwrap()
    }

    /// Whether no request came that was not asked about. The script has to be over.
    pub(crate) fn saw_nothing_else(&self) -> bool {
        self.seen.try_recv().is_err()
    }

    pub(crate) fn options(&self) -> HttpOptions {
        HttpOptions::new(&self.url, KEY)
    }
}

fn serve(listener: &TcpListener, script: Vec<Step>, seen: &Sender<Seen>) {
    let mut script = script.into_iter();
    for (connection, stream) in listener.incoming().enumerate() {
        let mut stream = stream.unwrap();
        loop {
            // Waits for the client to speak or hang up; only then is the next step taken.
            if !matches!(stream.peek(&mut [0]), Ok(1)) {
                break;
            }
            let Some(step) = script.next() else { return };
            if !follow(step, &mut stream, connection, seen) {
                break;
            }
        }
    }
}

/// Whether the connection is kept.
fn follow(step: Step, stream: &mut TcpStream, connection: usize, seen: &Sender<Seen>) -> bool {
    if matches!(step, Step::Reset) {
        return false;
    }
    let Some(request) = read_request(stream, connection) else { return false };
    let _ = seen.send(request);
    match step {
        Step::Reset => false,
        Step::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            stream.write_all(format!("{head}\r\n{body}").as_bytes()).is_ok()
        }
        Step::Raw(bytes) => {
            let _ = stream.write_all(bytes);
            false
        }
        Step::Stall => {
            let _ = stream.read(&mut [0]);
            false
        }
        Step::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[");
            while stream.write_all(&[b' '; 4096]).is_ok() {}
            false
        }
    }
}

fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).ok()?;
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(Seen { connection, line, headers, body: String::from_utf8(body).unwrap() })
}
