use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::answers::Record;
use super::install::{Programs, WITHOUT_BROWSER};
use super::lite::{Database, Lite};
use crate::failure::Failure;
use crate::metadata::root;
use crate::programs::{self, run, succeed};

/// What `interop/break.mjs` removes, in this order.
const ROUNDS: [&str; 5] = [
    "policies",
    "the policy of sessions",
    "row level security",
    "the first migration only",
    "tables, columns and keys",
];

/// What the steps share.
pub(super) struct Harness {
    pub(super) programs: Programs,
    record: Record,
    /// `target/interop`: packages, the server's database and log, fresh answers.
    folder: PathBuf,
    lite: Option<Lite>,
    /// Where the last server listened.
    port: u16,
}

impl Harness {
    pub(super) fn new(programs: Programs, record: Record) -> Result<Self, Failure> {
        let folder = root().join("target/interop");
        fs::create_dir_all(&folder).map_err(Failure::io(folder.display().to_string()))?;
        Ok(Self { programs, record, folder, lite: None, port: 0 })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn python_packages(&self) -> PathBuf {
        self.folder.join("python")
    }

    pub(super) fn tests_in_javascript(&mut self) -> Result<(), Failure> {
        succeed("the tests of clients/javascript", &mut self.node_tests("test/"))
    }

    /// Pairing, the change feed and a lying server.
    pub(super) fn clients_as_devices(&mut self) -> Result<(), Failure> {
        let mut node = self.node_tests("test-server/");
        node.env("LEVI_SERVER", &self.lite()?.line);
        node.env("LEVI_PYTHON", self.programs.python).env("PYTHONPATH", self.python_packages());
        succeed("the tests of clients with a server", &mut node)
    }

    fn node_tests(&self, folder: &str) -> Command {
        let mut node = Command::new(self.programs.node);
        node.args(["--test", "--test-reporter=dot", folder]).current_dir(root().join("clients/javascript"));
        node
    }

    pub(super) fn tests_in_python(&mut self) -> Result<(), Failure> {
        let mut python = Command::new(self.programs.python);
        python.args(["-m", "tests.vectors"]).current_dir(root().join("clients/python"));
        succeed("the tests of clients/python", python.env("PYTHONPATH", self.python_packages()))
    }

    pub(super) fn contract_of_the_fake_supabase(&mut self) -> Result<(), Failure> {
        self.contract("fake-supabase", &[])
    }

    pub(super) fn start_lite(&mut self) -> Result<(), Failure> {
        self.start(Database::Empty)
    }

    pub(super) fn start_lite_on_postgres(&mut self) -> Result<(), Failure> {
        self.start(Database::OnPostgres)
    }

    fn start(&mut self, database: Database) -> Result<(), Failure> {
        let name = if database == Database::OnPostgres { "lite-postgres" } else { "lite" };
        let (dir, log) = (self.folder.join(name), self.folder.join(format!("{name}.log")));
        let lite = Lite::start(self.programs.node, &dir, &log, database)?;
        self.port = lite.ready.port().unwrap_or_default();
        self.lite = Some(lite);
        Ok(())
    }

    pub(super) fn contract_of_lite(&mut self) -> Result<(), Failure> {
        self.contract_of_running("lite")
    }

    pub(super) fn contract_of_lite_on_postgres(&mut self) -> Result<(), Failure> {
        self.contract_of_running("lite-postgres")
    }

    fn contract_of_running(&self, server: &str) -> Result<(), Failure> {
        let ready = &self.lite()?.ready;
        let settings = [
            ("LEVI_CONTRACT_URL", ready.url.as_str()),
            ("LEVI_CONTRACT_KEY", &ready.publishable_key),
            ("LEVI_CONTRACT_JWT_SECRET", &ready.jwt_secret),
            ("LEVI_CONTRACT_SIGN_UP", "1"),
        ];
        self.contract(server, &settings)
    }

    /// Every program that writes, against every program that reads. A new program is added as a
    /// line here.
    pub(super) fn round_trips(&mut self) -> Result<(), Failure> {
        let clients = root().join("clients");
        let script = |path: &str| clients.join(path).display().to_string();
        let (node, python) = (self.programs.node, self.programs.python);
        let levi = programs::as_tested("interop")?;
        let participants = json!([
            { "name": "Levi", "write": [levi, "write"], "read": [levi, "read"] },
            { "name": "JavaScript",
              "write": [node, script("javascript/examples/write.mjs")],
              "read": [node, script("javascript/examples/read.mjs")] },
            { "name": "Python", "env": { "PYTHONPATH": self.python_packages() },
              "write": [python, script("python/write.py")], "read": [python, script("python/read.py")] },
        ]);
        let list = self.folder.join("participants.json");
        write(&list, &participants.to_string())?;
        let script = root().join("interop/roundtrip.mjs");
        run("roundtrip.mjs", Command::new(node).arg(script).arg(list).stdin(self.ready()?))
    }

    /// Every program that writes a device list and pairs, against every program that does.
    pub(super) fn trust(&mut self) -> Result<(), Failure> {
        let clients = root().join("clients");
        let (node, python) = (self.programs.node, self.programs.python);
        let participants = json!([
            { "name": "Levi", "trust": [programs::as_tested("trust_exchange")?] },
            { "name": "JavaScript", "trust": [node, clients.join("javascript/testing/exchange.mjs")] },
            { "name": "Python", "trust": [python, "-m", "tests.exchange"], "cwd": clients.join("python"),
              "env": { "PYTHONPATH": self.python_packages() } },
        ]);
        let list = self.folder.join("trust.json");
        write(&list, &participants.to_string())?;
        succeed("trust.mjs", Command::new(node).arg(root().join("interop/trust.mjs")).arg(list))
    }

    /// The viewer in a headless Chromium. With `--write` its screenshots become those of the docs.
    pub(super) fn viewer(&mut self) -> Result<(), Failure> {
        let Some(chromium) = self.programs.chromium else {
            println!("PASSED OVER: there is no Chromium, and {WITHOUT_BROWSER} is set");
            return Ok(());
        };
        let folder = self.folder.join("viewer");
        let mut node = Command::new(self.programs.node);
        node.arg(root().join("interop/browser.mjs")).arg(programs::levi()?).arg(&folder).arg(chromium);
        run("browser.mjs", node.stdin(self.ready()?))?;
        if self.record == Record::Write {
            for name in ["viewer-light.png", "viewer-dark.png"] {
                let to = root().join("docs/images").join(name);
                fs::copy(folder.join(name), &to).map_err(Failure::io(to.display().to_string()))?;
            }
        }
        Ok(())
    }

    /// Levi writes, and a third-party client is notified.
    pub(super) fn realtime(&mut self) -> Result<(), Failure> {
        let mut node = self.on_the_fake_supabase("realtime.mjs")?;
        succeed("realtime.mjs", &mut node)
    }

    /// One device writes, another follows, and a page shows it.
    pub(super) fn side_by_side(&mut self) -> Result<(), Failure> {
        let mut node = self.on_the_fake_supabase("side-by-side.mjs")?;
        match self.programs.chromium {
            Some(chromium) => succeed("side-by-side.mjs", node.arg(chromium)),
            None => {
                println!("PASSED OVER, the page: there is no Chromium, and {WITHOUT_BROWSER} is set");
                succeed("side-by-side.mjs", &mut node)
            }
        }
    }

    /// The clients as new devices, and the command as the old one.
    pub(super) fn pairing(&mut self) -> Result<(), Failure> {
        let mut node = self.on_the_fake_supabase("pairing.mjs")?;
        node.arg(root().join("clients")).arg(self.programs.node).arg(self.programs.python);
        succeed("pairing.mjs", node.env("PYTHONPATH", self.python_packages()))
    }

    /// A script that starts the fake Supabase by itself.
    fn on_the_fake_supabase(&self, script: &str) -> Result<Command, Failure> {
        let folder = self.folder.join(script.trim_end_matches(".mjs"));
        let mut node = Command::new(self.programs.node);
        node.arg(root().join("interop").join(script)).arg(programs::levi()?);
        node.arg(programs::as_tested("fake_supabase")?).arg(folder);
        Ok(node)
    }

    /// `levi login`, `doctor --server`, `sync` and `pull`, as a person types them.
    pub(super) fn command(&mut self) -> Result<(), Failure> {
        self.command_in("whole")
    }

    /// Takes something from the tables, and asks `levi doctor --server` what it is, round after
    /// round. The devices are those of the step before, so the server must be found where they know
    /// it.
    pub(super) fn doctor_names_what_is_missing(&mut self) -> Result<(), Failure> {
        for round in ROUNDS {
            println!("--- {round}");
            let mut node = Command::new(self.programs.node);
            node.arg(root().join("interop/break.mjs")).arg(self.folder.join("lite")).arg(round);
            succeed("break.mjs", &mut node)?;
            self.start(Database::Kept { port: self.port })?;
            let outcome = self.command_in(round);
            self.lite = None;
            outcome?;
        }
        Ok(())
    }

    /// On a server of its own, which the script stops and starts again.
    pub(super) fn demo(&mut self) -> Result<(), Failure> {
        let mut demo = Command::new(programs::levi()?);
        succeed("levi demo", demo.args(["demo", "--messages", "300", "--server", "lite"]).current_dir(root()))
    }

    fn command_in(&self, mode: &str) -> Result<(), Failure> {
        let levi = programs::levi()?;
        let mut node = Command::new(self.programs.node);
        node.arg(root().join("interop/command.mjs")).arg(levi).arg(self.folder.join("command")).arg(mode);
        run("command.mjs", node.stdin(self.ready()?))
    }

    /// The launcher's line, as a program's input.
    fn ready(&self) -> Result<fs::File, Failure> {
        let path = self.folder.join("ready.json");
        write(&path, &self.lite()?.line)?;
        fs::File::open(&path).map_err(Failure::io(path.display().to_string()))
    }

    pub(super) fn stop_lite(&mut self) -> Result<(), Failure> {
        self.lite = None;
        Ok(())
    }

    pub(super) fn change_feed_skips_nothing(&mut self) -> Result<(), Failure> {
        self.on_postgres("concurrency.mjs")
    }

    pub(super) fn change_feed_uses_its_index(&mut self) -> Result<(), Failure> {
        self.on_postgres("plan.mjs")
    }

    pub(super) fn messages_are_published(&mut self) -> Result<(), Failure> {
        self.on_postgres("publication.mjs")
    }

    /// A script that starts a PostgreSQL server of its own.
    fn on_postgres(&self, script: &str) -> Result<(), Failure> {
        succeed(script, Command::new(self.programs.node).arg(root().join("interop").join(script)))
    }

    pub(super) fn schema(&mut self) -> Result<(), Failure> {
        let mut node = Command::new(self.programs.node);
        succeed("schema.mjs", node.arg(root().join("interop/schema.mjs")).arg(self.folder.join("lite")))
    }

    fn contract(&self, server: &str, settings: &[(&str, &str)]) -> Result<(), Failure> {
        let mut suite = Command::new(programs::as_tested("contract")?);
        suite.arg(self.folder.join(format!("{server}.json")));
        suite.env("LEVI_CONTRACT_SERVER", server).envs(settings.iter().copied());
        succeed("the contract suite", suite.current_dir(root()))
    }

    fn lite(&self) -> Result<&Lite, Failure> {
        self.lite.as_ref().ok_or_else(|| Failure::Tool {
            what: "Supabase Lite".to_owned(),
            detail: "a step needs it after it was stopped".to_owned(),
        })
    }
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::io(path.display().to_string()))
}
