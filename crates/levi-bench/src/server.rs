//! The stand-in in a process of its own, so that its processor time is not the client's.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use levi::{AccessToken, DeviceId, HttpOptions, HttpSupabase, Supabase, UserId};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::StandIn;
use levi_transport::Table;
use levi_transport::rows::{DeviceRow, RepositoryRow, SessionRow, upsert_of};
use serde::{Deserialize, Serialize};

use crate::{Fallible, fixture};

/// How a client finds it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Address {
    url: String,
    key: String,
    token: String,
    user: String,
}

impl Address {
    pub(crate) fn http(&self) -> HttpOptions {
        HttpOptions::new(self.url.as_str(), self.key.as_str())
    }

    pub(crate) fn token(&self) -> AccessToken {
        self.token.as_str().into()
    }
}

/// What it counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Message requests.
    pub(crate) posts: u64,
    /// Message rows that were new.
    pub(crate) rows: u64,
    /// Message rows that came again.
    pub(crate) again: u64,
    /// Messages that became visible after a later one of their session.
    pub(crate) late: usize,
}

/// The child's side: serves until standard input ends; answers each line with what it counted.
pub(crate) fn serve(latency: Duration) -> Fallible<()> {
    let server = StandIn::builder().keep_requests(0).start()?;
    let user = server.add_user("ada@example.org", "correct horse")?;
    let token = server.sign_in(&user).ok_or("the user was just added")?.access_token;
    let address = Address {
        url: server.url(),
        key: server.publishable_key().to_owned(),
        // Exposed to our own parent: it is the token of a made-up user on a server that ends with this process.
        token: token.expose().to_owned(),
        user: user.as_str().to_owned(),
    };
    say(&address)?;
    for line in std::io::stdin().lines() {
        if line? == "latency" {
            server.faults().latency(latency);
        }
        let stats = server.stats();
        let table = stats.table(Table::Messages);
        let late = server.order_violations().len();
        say(&Seen { posts: table.posts, rows: table.rows_inserted, again: table.rows_updated, late })?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> Fallible<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line)?;
    Ok(std::io::stdout().flush()?)
}

/// The parent's side. Dropping it ends the child.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: Address,
}

impl Server {
    /// Starts one that knows `sessions` sessions and answers every request `latency` late from then on.
    pub(crate) async fn start(sessions: usize, latency: Duration) -> Fallible<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &latency.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("the child has no input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = serde_json::from_str(&line)?;
        let mut server = Self { child, input, output, address };
        server.introduce(sessions).await?;
        server.ask("latency")?;
        Ok(server)
    }

    pub(crate) fn http(&self) -> HttpOptions {
        self.address.http()
    }

    pub(crate) fn token(&self) -> AccessToken {
        self.address.token()
    }

    /// For a child process that is to send here.
    pub(crate) fn address_json(&self) -> Fallible<String> {
        Ok(serde_json::to_string(&self.address)?)
    }

    pub(crate) fn seen(&mut self) -> Fallible<Seen> {
        self.ask("seen")
    }

    fn ask(&mut self, question: &str) -> Fallible<Seen> {
        writeln!(self.input, "{question}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// A device, a repository and the sessions, which the messages refer to.
    async fn introduce(&self, sessions: usize) -> Fallible<()> {
        let device: DeviceId = uuid_of("device", "laptop").as_str().into();
        let repository = uuid_of("repository", "levi");
        let user: UserId = self.address.user.as_str().into();
        let known = levi::Repository::new(repository, "levi", "/home/ada/levi");
        let row = DeviceRow::new(device.clone(), user.clone(), "laptop", "desktop");
        let rows: Vec<SessionRow> = (0..sessions)
            .map(|number| {
                let session = levi::CodingSession::new(fixture::session(number), known.id.clone());
                SessionRow::new(
                    user.clone(),
                    device.clone(),
                    &session,
                    levi::Wall::from_millis(1_700_000_000_000),
                )
            })
            .collect();
        let supabase = HttpSupabase::new(&self.http())?;
        let upserts =
            [upsert_of(&[row]), upsert_of(&[RepositoryRow::new(user, device, &known)]), upsert_of(&rows)];
        for upsert in upserts {
            supabase.upsert(&self.token(), upsert).await?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
