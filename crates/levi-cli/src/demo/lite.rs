//! Supabase Lite, started by the launcher that the project keeps for its interop checks. Needs Node.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use crate::error::CliError;

/// A server that goes away with this value, or with this process.
pub(crate) struct Lite {
    process: Child,
}

/// What the launcher says once the server answers.
#[derive(Deserialize)]
pub(crate) struct Started {
    pub(crate) url: String,
    pub(crate) publishable_key: String,
}

impl Lite {
    /// Starts it and waits until it answers. Blocks for some seconds.
    pub(crate) fn start() -> Result<(Self, Started), CliError> {
        let launcher = launcher().ok_or(CliError::Usage(
            "--server lite needs interop/lite.mjs of Levi's repository; run it inside a checkout",
        ))?;
        let mut command = Command::new("node");
        command.arg(launcher).arg("--until-stdin-closes");
        // What the server has to say while it starts is of no interest unless it does not.
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
            None => Err(CliError::Demo(format!("Supabase Lite did not start: {}", lite.last_words()))),
        }
    }

    /// Keeps the server from waiting for somebody to read what it says.
    fn drain(&mut self) {
        if let Some(mut said) = self.process.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        }
    }

    fn last_words(&mut self) -> String {
        drop(self.process.stdin.take());
        let said = self.process.stderr.take().map(|said| BufReader::new(said).lines().map_while(Result::ok));
        said.and_then(Iterator::last).unwrap_or_else(|| "it said nothing; is Node 20 installed?".to_owned())
    }
}

impl Drop for Lite {
    fn drop(&mut self) {
        // The launcher stops the server when its stdin ends, and only then ends itself.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The launcher in the checkout that we are in, or in the one that this was built from.
fn launcher() -> Option<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let here = std::env::current_dir().ok()?;
    let folders = here.ancestors().map(Path::to_owned).chain([built_from]);
    folders.map(|folder| folder.join("interop/lite.mjs")).find(|path| path.is_file())
}
