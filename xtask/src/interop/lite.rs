use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use crate::failure::Failure;
use crate::metadata::root;

/// A running Supabase Lite. It stops when this is dropped, and also when this process dies, because
/// the launcher watches its standard input.
pub(super) struct Lite {
    launcher: Child,
    pub(super) ready: Ready,
    /// The launcher's own line, for programs that read it.
    pub(super) line: String,
}

/// Which database the server starts with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Empty,
    /// The database that an earlier server left, on the same port.
    Kept {
        port: u16,
    },
    /// An empty one on a PostgreSQL server, which the launcher starts and stops.
    OnPostgres,
}

/// What the launcher says once the server answers.
#[derive(Deserialize)]
pub(super) struct Ready {
    pub(super) url: String,
    pub(super) publishable_key: String,
    pub(super) jwt_secret: String,
}

impl Lite {
    /// Starts a server with its database in `dir`, on a free port if `dir` is empty, and waits
    /// until it answers. The launcher gives up by itself if that takes too long.
    pub(super) fn start(node: &str, dir: &Path, log: &Path, database: Database) -> Result<Self, Failure> {
        let (driver, port) = match database {
            Database::Empty => ("pglite", 0),
            Database::Kept { port } => ("pglite", port),
            Database::OnPostgres => ("postgres", 0),
        };
        if !matches!(database, Database::Kept { .. }) && dir.exists() {
            fs::remove_dir_all(dir).map_err(Failure::io(dir.display().to_string()))?;
        }
        let output = File::create(log).map_err(Failure::io(log.display().to_string()))?;
        let mut launcher = Command::new(node)
            .arg(root().join("interop/lite.mjs"))
            .args([
                "--until-stdin-closes",
                "--twice",
                "--driver",
                driver,
                "--port",
                &port.to_string(),
                "--dir",
            ])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()
            .map_err(Failure::io("interop/lite.mjs"))?;
        let mut line = String::new();
        if let Some(stdout) = launcher.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Failure::io("interop/lite.mjs"))?;
        }
        match serde_json::from_str(&line) {
            Ok(ready) => Ok(Self { launcher, ready, line }),
            Err(_) => {
                let _ = launcher.wait();
                let log = fs::read_to_string(log).unwrap_or_default();
                Err(Failure::Tool { what: "Supabase Lite did not start".to_owned(), detail: log })
            }
        }
    }
}

impl Ready {
    pub(super) fn port(&self) -> Option<u16> {
        self.url.rsplit(':').next()?.parse().ok()
    }
}

impl Drop for Lite {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        let _ = self.launcher.wait();
    }
}
