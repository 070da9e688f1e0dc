//! A fake Supabase in the test process, and devices of one user that run the built command.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this module")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod in_shell;
pub mod pairing;
pub mod schema;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use levi::transport::Table;
use levi::{SessionId, UserId};
use levi_testkit::fixtures::TestUser;
use levi_testkit::supabase::FakeSupabase;
use serde_json::Value;

pub const EMAIL: &str = TestUser::EMAIL;
pub const PASSWORD: &str = TestUser::PASSWORD;
/// For something that takes seconds at most unless the machine is overloaded.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Project {
    pub server: Arc<FakeSupabase>,
    pub user_id: UserId,
    pub directory: tempfile::TempDir,
}

/// One device, with its data directory.
pub struct Device<'p> {
    project: &'p Project,
    pub data: PathBuf,
}

/// The exit code and the output of a command.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Project {
    pub fn new() -> Self {
        let TestUser { server, id: user_id } = TestUser::new().unwrap();
        Self { server, user_id, directory: tempfile::tempdir().unwrap() }
    }

    /// A device that is not signed in yet.
    pub fn blank(&self, name: &str) -> Device<'_> {
        Device { project: self, data: self.directory.path().join(name) }
    }

    pub fn device(&self, name: &str) -> Device<'_> {
        let device = self.blank(name);
        let login = device.login(PASSWORD);
        assert_eq!(login.code, 0, "{login:?}");
        device
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The file of profiles, which does not exist unless a test writes it.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    pub fn messages_on_server(&self) -> u64 {
        self.server.row_count(Table::Messages).unwrap()
    }

    /// The sequence numbers of a session on the server, in the order of arrival.
    pub fn numbers(&self, session: &str) -> Vec<i64> {
        let messages = self.server.messages(&SessionId::from(session)).unwrap();
        messages.iter().map(|message| message.sequence_number).collect()
    }
}

impl Device<'_> {
    pub fn login(&self, password: &str) -> Outcome {
        self.login_with(&[], password)
    }

    /// As `login`, with more arguments.
    pub fn login_with(&self, more: &[&str], password: &str) -> Outcome {
        let (url, key) = (self.project.server.url(), self.project.server.publishable_key().to_owned());
        let args = ["login", "--url", &url, "--key", &key, "--email", EMAIL, "--password-stdin"];
        self.run_with(&[&args, more].concat(), password)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_levi"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LEVI_") {
                command.env_remove(name);
            }
        }
        for colour in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(colour);
        }
        // Not that of the person who runs the tests.
        command.env("LEVI_CONFIG", self.project.config());
        command.args(args).env("LEVI_DATA_DIR", &self.data).current_dir(self.project.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Outcome {
        let mut child = self.start(args);
        let mut pipe = child.stdin.take().unwrap();
        // A command that does not read its stdin may be gone by now.
        let _ = pipe.write_all(stdin.as_ref());
        drop(pipe);
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        schema::hold(args, &outcome.out, &outcome.err);
        outcome
    }

    /// Every command that has none below it; one below another one as `outbox-list`.
    pub fn commands(&self) -> Vec<String> {
        self.commands_of(&[])
    }

    fn commands_of(&self, of: &[&str]) -> Vec<String> {
        let help = self.run(&[of, &["--help"]].concat()).assert_code(0).out;
        let Some((_, section)) = help.split_once("Commands:\n") else { return vec![of.join("-")] };
        let section = section.split("\n\n").next().unwrap();
        let named = section.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = named.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help");
        names.flat_map(|name| self.commands_of(&[of, &[name]].concat())).collect()
    }

    pub fn outbox(&self) -> PathBuf {
        self.data.join("outbox.sqlite")
    }

    /// What `levi pull` reads of a session.
    pub fn pulled(&self, session: &str) -> Vec<(i64, String)> {
        let pulled = self.run(&["pull", "--session", session]);
        assert_eq!(pulled.code, 0, "{pulled:?}");
        let rows = pulled.objects().into_iter();
        rows.map(|row| {
            (row["sequence_number"].as_i64().unwrap(), row["content"].as_str().unwrap().to_owned())
        })
        .collect()
    }
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        ran
    }

    /// stdout as one JSON object.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// stdout as JSON objects, one a line.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// `{"content": ...}` lines.
pub fn lines<T: AsRef<str>>(contents: impl IntoIterator<Item = T>) -> String {
    contents
        .into_iter()
        .map(|content| serde_json::json!({ "content": content.as_ref() }).to_string() + "\n")
        .collect()
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
