//! A client that sends given bytes and reads the bytes of the answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its part of it")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use levi_testkit::supabase::FakeSupabase;
use levi_types::UserId;
use serde_json::Value;

pub(crate) const SESSION: &str = "0a0a0a0a-0000-4000-8000-000000000001";
pub(crate) const DEVICE: &str = "0d0d0d0d-0000-4000-8000-000000000001";
pub(crate) const REPOSITORY: &str = "0e0e0e0e-0000-4000-8000-000000000001";
pub(crate) const MERGE: (&str, &str) = ("Prefer", "resolution=merge-duplicates,return=minimal");

pub(crate) const MESSAGES: &str = "/rest/v1/agent_coding_session_messages?on_conflict=session_id,sequence_number\
    &columns=session_id,sequence_number,content_encrypted,content_nonce";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The status, code and message of a PostgREST error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("message"))
    }
}

/// One connection, which stays open.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    pub(crate) fn connect(server: &FakeSupabase) -> io::Result<Self> {
        let address = server.url();
        let stream = TcpStream::connect(address.trim_start_matches("http://"))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads to the end of the connection and returns how it ended.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let end = self.0.read_to_end(&mut bytes).map(|_| ());
        (bytes, end)
    }

    /// Reads this many bytes.
    pub(crate) fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn read(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        answer.body.resize(length, 0);
        self.0.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.send(bytes)?;
        self.read()
    }
}

pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: fake-supabase\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A signed-in user who sends each request over a connection of its own.
pub(crate) struct User<'s> {
    pub(crate) server: &'s FakeSupabase,
    pub(crate) id: UserId,
    pub(crate) token: String,
}

impl<'s> User<'s> {
    pub(crate) fn sign_in(server: &'s FakeSupabase, email: &str) -> Self {
        let id = server.add_user(email, "correct horse").unwrap();
        let token = server.sign_in(&id).unwrap().access_token.expose().to_owned();
        Self { server, id, token }
    }

    pub(crate) fn bytes(&self, method: &str, target: &str, extra: &[(&str, &str)], body: &str) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("apikey", self.server.publishable_key()),
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        headers.extend_from_slice(extra);
        request(method, target, &headers, body.as_bytes())
    }

    pub(crate) fn send(&self, method: &str, target: &str, extra: &[(&str, &str)], body: &str) -> Answer {
        let bytes = self.bytes(method, target, extra, body);
        Raw::connect(self.server).unwrap().exchange(&bytes).unwrap()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "")
    }

    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        self.send("POST", target, &[MERGE], body)
    }

    /// A device, a repository and a session, whose ids end in `number`.
    pub(crate) fn set_up(&self, number: u8) -> (String, String, String) {
        let id = |template: &str| format!("{}{number:02x}", &template[..34]);
        let (device, repository, session) = (id(DEVICE), id(REPOSITORY), id(SESSION));
        let user = &self.id;
        let rows = [
            (
                "devices",
                format!(r#"{{"id":"{device}","user_id":"{user}","name":"d","device_type":"laptop"}}"#),
            ),
            (
                "repositories",
                format!(
                    r#"{{"id":"{repository}","user_id":"{user}","device_id":"{device}","name":"r","local_path":"/r"}}"#
                ),
            ),
            (
                "agent_coding_sessions",
                format!(
                    r#"{{"id":"{session}","user_id":"{user}","device_id":"{device}","repository_id":"{repository}"}}"#
                ),
            ),
        ];
        for (table, row) in rows {
            let answer = self.post(&format!("/rest/v1/{table}"), &row);
            assert_eq!(answer.status, 201, "{table}: {answer:?}");
        }
        (device, repository, session)
    }
}

pub(crate) fn messages(session: &str, numbers: impl IntoIterator<Item = i64>) -> String {
    let row = |n| {
        format!(
            r#"{{"session_id":"{session}","sequence_number":{n},"content_encrypted":"YWJj{n}","content_nonce":"bm9uY2U="}}"#
        )
    };
    format!("[{}]", numbers.into_iter().map(row).collect::<Vec<_>>().join(","))
}
