//! The device list in the exchanges of `cargo xtask interop`: what one program writes, every other
//! reads.
//!
//!     trust_exchange write    one line in, one line out: a list of every kind of entry, a keyring, messages
//!     trust_exchange read     for each line in, one line out: what is in them
//!     trust_exchange invite   the device that shows a pairing code; three lines in, three lines out
//!     trust_exchange join     the device that takes it in; three lines in, three lines out
//!
//! Lines are JSON. `interop/trust.mjs` runs these programs in pairs and says what is in each line.

#![expect(
    clippy::unwrap_used,
    reason = "what the other program sent wrong must fail, and the panic names the line"
)]

mod pairing;
mod session;

#[path = "../trust_vectors/files/mod.rs"]
#[expect(dead_code, reason = "the vectors themselves are not written here")]
mod files;

use std::io::{self, BufRead as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::envelope::DevicePrivateKey;
use levi_devices::entry::ListRow;
use levi_devices::{KeySeed, MemberKeys, MemberType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use files::Row;
use files::common::Owner;

fn main() -> Result<(), String> {
    match std::env::args().nth(1).as_deref() {
        Some("write") => session::write(),
        Some("read") => session::read(),
        Some("invite") => pairing::invite(),
        Some("join") => pairing::join(),
        _ => return Err("usage: trust_exchange write, read, invite or join".to_owned()),
    }
    Ok(())
}

/// A device whose private keys the orchestrator knows.
#[derive(Deserialize)]
struct Device {
    id: String,
    keys: Seeds,
}

#[derive(Deserialize)]
struct Seeds {
    signing: String,
    envelope: String,
    keyring: String,
}

impl Device {
    fn owner(&self) -> Owner {
        let keys = MemberKeys {
            signing: KeySeed::from_base64(&self.keys.signing).unwrap(),
            envelope: DevicePrivateKey::from_base64(&self.keys.envelope).unwrap(),
            keyring: KeySeed::from_base64(&self.keys.keyring).unwrap(),
        };
        Owner::new(&self.id, MemberType::Device, keys)
    }
}

/// A row of `levi_keyrings`.
#[derive(Serialize, Deserialize)]
struct KeyringRow {
    epoch: u32,
    enc: String,
    sealed: String,
}

fn list_rows(rows: Vec<Row>) -> Vec<ListRow> {
    rows.into_iter().map(ListRow::from).collect()
}

fn hash(text: &str) -> levi_devices::EntryHash {
    levi_devices::EntryHash::from_bytes(STANDARD.decode(text).unwrap().try_into().unwrap())
}

fn receive<Line: DeserializeOwned>() -> Line {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn send(line: &impl Serialize) {
    println!("{}", serde_json::to_string(line).unwrap());
    io::stdout().flush().unwrap();
}
