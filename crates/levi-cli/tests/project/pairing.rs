//! Devices that the command puts on a list.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout};

use serde_json::Value;

use super::{Device, Outcome, path};

/// A code on the screen of a device of the list, which waits for the device with `fingerprint`.
pub struct Invitation {
    pub child: Child,
    pub out: BufReader<ChildStdout>,
    pub code: String,
}

impl Invitation {
    pub fn new(device: &Device<'_>, fingerprint: &str) -> Self {
        let mut child = device.start(&["pair", "--json", "--yes", fingerprint]);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let code: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("no code: {line:?} {:?}", std::io::read_to_string(child.stderr.take().unwrap()))
        });
        let code = code["pairing_code"].as_str().unwrap().to_owned();
        Self { child, out, code }
    }

    /// What the device of the list says once it is done.
    pub fn end(mut self) -> Outcome {
        let out = std::io::read_to_string(&mut self.out).unwrap();
        let ended = Outcome::of(self.child.wait_with_output().unwrap());
        Outcome { out, ..ended }
    }
}

pub fn fingerprint(device: &Device<'_>) -> String {
    let shown = device.run(&["devices", "--json"]).objects();
    let own = shown.iter().find_map(|line| line["this_fingerprint"].as_str());
    own.unwrap_or_else(|| panic!("{shown:?}")).to_owned()
}

/// Puts `new` on the list under `name`. Returns how many sessions it was given.
pub fn pair(old: &Device<'_>, new: &Device<'_>, name: &str) -> u64 {
    let fingerprint = fingerprint(new);
    let invitation = Invitation::new(old, &fingerprint[..9]);
    let joined = new.run_with(&["pair", "-", "--name", name, "--json"], &invitation.code).assert_code(0);
    assert_eq!(joined.objects()[1]["joined_as"], name);
    let added = invitation.end().assert_code(0).objects();
    assert_eq!((&added[0]["asks"], &added[0]["fingerprint"]), (&name.into(), &fingerprint.as_str().into()));
    assert_eq!(added[1]["added"], name);
    added[1]["shared"].as_u64().unwrap()
}

pub fn init(device: &Device<'_>, name: &str) -> String {
    let file = device.data.with_extension("recovery-key");
    device.run(&["init", "--name", name, "--recovery-key-file", path(&file)]).assert_code(0);
    std::fs::read_to_string(file).unwrap()
}

pub fn texts(pulled: &Outcome) -> Vec<String> {
    pulled.objects().iter().map(|row| row["content"].as_str().unwrap().to_owned()).collect()
}
