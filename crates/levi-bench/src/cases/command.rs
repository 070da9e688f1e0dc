//! The whole command: processor time of the process `levi sync`, from reading a file to the last answer.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::cpu_time_of_children;
use crate::report::{Figure, Run, Target};
use crate::server::Server;
use crate::stats::Spread;
use crate::{Effort, Fallible, fixture, scratch};

const MESSAGES: usize = 20_000;

/// What a message may cost, in CPU µs.
const LIMIT: f64 = 20.0;

pub(crate) fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    for sessions in effort.pick(&[1][..], &[1, 8, 64]) {
        let rounds = (0..effort.pick(2, 5)).map(|_| round(*sessions)).collect::<Fallible<Vec<Round>>>()?;
        let what = format!("levi sync, {MESSAGES} messages in {sessions} session(s)");
        figure(run, &format!("{what}, a message"), &rounds, |round| round.first);
        figure(run, &format!("{what}, the same file again, a message"), &rounds, |round| round.again);
    }
    Ok(())
}

/// What one run of the command took.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
    /// Requests with messages, as the server counted them.
    posts: u64,
}

/// A file that is synced, and then synced again.
struct Round {
    first: Took,
    again: Took,
}

fn figure(run: &mut Run, what: &str, rounds: &[Round], part: impl Fn(&Round) -> Took) {
    let all = |value: fn(Took) -> f64| rounds.iter().map(|round| value(part(round))).collect::<Vec<f64>>();
    let wall = Spread::of(&all(|took| took.wall)).median;
    let posts = Spread::of(&all(|took| took.posts as f64)).median;
    run.figure(Figure {
        what: what.into(),
        against: format!("{LIMIT} CPU µs"),
        unit: "CPU µs".into(),
        levi: all(|took| took.cpu * 1e6 / MESSAGES as f64),
        baseline: vec![LIMIT],
        target: Target::AtMost(1.0),
        note: format!("user and system time of the process; {wall:.2} s, {posts} requests with messages"),
    });
}

fn round(sessions: usize) -> Fallible<Round> {
    let (mut server, folder) = (Server::start(0, Duration::ZERO)?, scratch()?);
    let file = folder.path().join("messages.ndjson");
    write_messages(&file, sessions)?;
    let device = Device { data: folder.path().join("data"), program: program()? };
    device.login(&server)?;
    let first = device.sync(&file, &mut server, "messages")?;
    let again = device.sync(&file, &mut server, "already_synced")?;
    let seen = server.seen()?;
    if (seen.rows, seen.again, seen.late) != (MESSAGES as u64, 0, 0) {
        return Err(format!("after {MESSAGES} messages the server has counted {seen:?}").into());
    }
    Ok(Round { first, again })
}

fn write_messages(file: &Path, sessions: usize) -> Fallible<()> {
    let mut out = BufWriter::new(File::create(file)?);
    let content = fixture::content();
    for number in 0..MESSAGES {
        let (session, sequence_number) = (fixture::session(number % sessions), number / sessions);
        let message = serde_json::json!({
            "session_id": session.as_str(), "sequence_number": sequence_number, "content": content
        });
        writeln!(out, "{message}")?;
    }
    Ok(out.flush()?)
}

/// The command, which is built into the folder of this program.
fn program() -> Fallible<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(if cfg!(windows) { "levi.exe" } else { "levi" });
    if program.exists() {
        return Ok(program);
    }
    Err("the command `levi` is not beside this program; `cargo xtask bench` builds both".into())
}

/// A device with a data directory of its own.
struct Device {
    data: PathBuf,
    program: PathBuf,
}

impl Device {
    fn login(&self, server: &Server) -> Fallible<()> {
        let (http, [email, password]) = (server.http(), server.account());
        let project = ["--url", &http.api_url, "--key", &http.publishable_key, "--email", email];
        let mut login = self.command(&[&["login", "--password-stdin"][..], &project].concat());
        let mut child = login.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        // Dropped at the end of the statement, which ends the input.
        child.stdin.take().ok_or("the child has no input")?.write_all(password.as_bytes())?;
        if child.wait()?.success() { Ok(()) } else { Err("the command could not sign in".into()) }
    }

    /// Syncs a file of which the command must count every message under `as_what`.
    fn sync(&self, file: &Path, server: &mut Server, as_what: &str) -> Fallible<Took> {
        let posts = server.seen()?.posts;
        let (start, cpu) = (Instant::now(), cpu_time_of_children());
        let output = self.command(&["--json", "sync", &file.to_string_lossy()]).output()?;
        let wall = start.elapsed().as_secs_f64();
        let cpu = (cpu_time_of_children() - cpu).as_secs_f64();
        let outcome: Value = serde_json::from_slice(&output.stdout)?;
        if !output.status.success() || outcome[as_what] != MESSAGES {
            return Err(format!("the command ended with {} and {outcome}", output.status).into());
        }
        Ok(Took { wall, cpu, posts: server.seen()?.posts - posts })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("LEVI_DATA_DIR", &self.data).current_dir(std::env::temp_dir());
        command
    }
}
