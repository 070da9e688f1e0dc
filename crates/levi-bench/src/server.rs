//! The fake Supabase in a process of its own, so that its processor time does not count as the client's.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use levi::types::AccessToken;
use levi::{DeviceId, HttpOptions, SessionId};
use levi_testkit::fixtures::{TestUser, uuid_of};
use levi_testkit::supabase::FakeSupabase;
use levi_transport::{Table, Upsert};
use serde::{Deserialize, Serialize};

use crate::{Fallible, fixture};

/// Where the server is, and a user's sign-in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    url: String,
    key: String,
    token: String,
}

impl Address {
    pub(crate) fn http(&self) -> HttpOptions {
        HttpOptions::new(self.url.as_str(), self.key.as_str())
    }

    pub(crate) fn token(&self) -> AccessToken {
        self.token.as_str().into()
    }

    /// Address, key and token, for a program in another language.
    pub(crate) fn parts(&self) -> [&str; 3] {
        [&self.url, &self.key, &self.token]
    }
}

/// What the server has counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Requests with messages.
    pub(crate) posts: u64,
    /// Messages that were new.
    pub(crate) rows: u64,
    /// Messages that were stored before.
    pub(crate) again: u64,
    /// Messages that became visible after a later one of their session.
    pub(crate) late: usize,
    /// Reads of messages.
    pub(crate) gets: u64,
    /// Bytes of answers, with their heads.
    pub(crate) bytes_out: u64,
    /// Requests of every kind.
    pub(crate) requests: u64,
    /// Bytes of bodies that arrived.
    pub(crate) bytes_in: u64,
    /// Of these, those with envelopes.
    pub(crate) envelope_bytes: u64,
}

/// Runs the server until standard input ends. Prints the [`Address`], and for each line on standard input what it has
/// [`Seen`]. A line `seed ROWS` adds messages before, as many in each session.
pub(crate) fn serve(sessions: usize, latency: Duration) -> Fallible<()> {
    let user = TestUser::on(FakeSupabase::builder().keep_requests(0).start()?)?;
    let device: DeviceId = uuid_of("device", "laptop").as_str().into();
    let sessions: Vec<_> = (0..sessions).map(fixture::session).collect();
    user.add_device(&device, None)?;
    user.add_sessions(&device, &sessions)?;
    let server = &user.server;
    let token = server.sign_in(&user.id).ok_or("the user was just added")?.access_token;
    server.faults().latency(latency);
    print(&Address {
        url: server.url(),
        key: server.publishable_key().to_owned(),
        // Exposed to the parent process only. It is a made-up user's token for a server that ends with this process.
        token: token.expose().to_owned(),
    })?;
    for line in std::io::stdin().lines() {
        if let Some(rows) = line?.strip_prefix("seed ") {
            seed(server, &sessions, rows.parse()?)?;
        }
        let stats = server.stats();
        let table = stats.table(Table::Messages);
        let late = server.order_violations().len();
        print(&Seen {
            posts: table.posts,
            rows: table.rows_inserted,
            again: table.rows_updated,
            late,
            gets: table.gets,
            bytes_out: stats.bytes_out,
            requests: stats.requests,
            bytes_in: stats.bytes,
            envelope_bytes: stats.table(Table::Secrets).bytes,
        })?;
    }
    Ok(())
}

/// Sealed messages, in requests of 1,000 rows.
fn seed(server: &FakeSupabase, sessions: &[SessionId], rows: usize) -> Fallible<()> {
    let key = fixture::message_key()?;
    let numbers: Vec<usize> = (0..rows).collect();
    for batch in numbers.chunks(1000) {
        let mut body = vec![b'['];
        for number in batch {
            let session = &sessions[number % sessions.len()];
            let row = fixture::sealed_row(&key, session, i64::try_from(number / sessions.len())?)?;
            body.extend_from_slice(&row.payload);
            body.push(b',');
        }
        body.pop();
        body.push(b']');
        server.seed(Upsert { table: Table::Messages, columns: Table::Messages.columns().into(), body })?;
    }
    Ok(())
}

/// The bytes of the rows of [`seed`], as their writer sends them.
fn seeded_bytes(sessions: usize, rows: usize) -> Fallible<u64> {
    let key = fixture::message_key()?;
    let number = i64::try_from(rows / sessions / 2)?;
    let row = fixture::sealed_row(&key, &fixture::session(0), number)?;
    Ok(row.payload.len() as u64 * rows as u64)
}

fn print(what: &impl Serialize) -> Fallible<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line)?;
    Ok(std::io::stdout().flush()?)
}

/// A server process. It is killed on drop.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: Address,
    sessions: usize,
    seeded_bytes: u64,
}

impl Server {
    /// Starts a server with a user who has `sessions` sessions. It delays every answer by `latency`.
    pub(crate) fn start(sessions: usize, latency: Duration) -> Fallible<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &sessions.to_string(), &latency.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the child has no input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = serde_json::from_str(&line)?;
        Ok(Self { child, input, output, address, sessions, seeded_bytes: 0 })
    }

    pub(crate) fn http(&self) -> HttpOptions {
        self.address.http()
    }

    pub(crate) fn token(&self) -> AccessToken {
        self.address.token()
    }

    /// The user's email address and password.
    pub(crate) fn account(&self) -> [&str; 2] {
        [TestUser::EMAIL, TestUser::PASSWORD]
    }

    /// The address in JSON, for a child process that sends to this server.
    pub(crate) fn address_json(&self) -> Fallible<String> {
        Ok(serde_json::to_string(&self.address)?)
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Adds messages, as many in each session.
    pub(crate) fn seed(&mut self, rows: usize) -> Fallible<Seen> {
        self.seeded_bytes = seeded_bytes(self.sessions, rows)?;
        self.ask(&format!("seed {rows}"))
    }

    /// The bytes of the rows that [`seed`](Self::seed) added, as their writer sends them.
    pub(crate) const fn seeded_bytes(&self) -> u64 {
        self.seeded_bytes
    }

    pub(crate) fn seen(&mut self) -> Fallible<Seen> {
        self.ask("")
    }

    fn ask(&mut self, what: &str) -> Fallible<Seen> {
        writeln!(self.input, "{what}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when the child has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
