//! Supabase Lite, started by the launcher of the interop checks. Needs Node.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use crate::error::CliError;

/// A running server. It stops when this value is dropped or this process ends.
pub(crate) struct Lite {
    process: Child,
}

/// What the launcher prints once the server responds.
#[derive(Deserialize)]
pub(crate) struct Started {
    pub(crate) url: String,
    pub(crate) publishable_key: String,
}

impl Lite {
    /// Starts the server and waits until it responds. Blocks for some seconds.
    pub(crate) fn start() -> Result<(Self, Started), CliError> {
        let launcher = launcher().ok_or(CliError::Usage(
            "--server lite needs interop/lite.mjs of Levi's repository; run it inside a checkout",
        ))?;
        let mut command = Command::new("node");
        command.arg(launcher).arg("--until-stdin-closes");
        // stderr is only shown if the server does not start.
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let process = spawned.map_err(|source| CliError::System { what: "start node", source })?;
        let mut lite = Self { process };
        let started = lite.process.stdout.take().and_then(|out| {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).ok()?;
            serde_json::from_str(&line).ok()
        });
        match started {
            Some(started) => {
                lite.drain();
                Ok((lite, started))
            }
            None => Err(CliError::Demo(format!("Supabase Lite did not start: {}", lite.last_line()))),
        }
    }

    /// Reads stderr to the end, because a full pipe would block the server.
    fn drain(&mut self) {
        if let Some(mut stderr) = self.process.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        }
    }

    /// The last line of stderr, once the launcher has ended.
    fn last_line(&mut self) -> String {
        drop(self.process.stdin.take());
        let stderr = self.process.stderr.take();
        let lines = stderr.map(|stderr| BufReader::new(stderr).lines().map_while(Result::ok));
        lines.and_then(Iterator::last).unwrap_or_else(|| "no output; is Node 20 installed?".to_owned())
    }
}

impl Drop for Lite {
    fn drop(&mut self) {
        // The launcher stops the server when its stdin ends, then it ends itself.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The launcher in the checkout around the current directory, or in the one that this binary was
/// built from.
fn launcher() -> Option<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let here = std::env::current_dir().ok()?;
    let directories = here.ancestors().map(Path::to_owned).chain([built_from]);
    directories.map(|directory| directory.join("interop/lite.mjs")).find(|path| path.is_file())
}
