//! `levi demo --serve`: a fake Supabase that stays, with a profile for each of two devices, to try the
//! other commands without an account.

use std::fs;
use std::path::{Path, PathBuf};

use levi_testkit::supabase::FakeSupabase;
use serde::Serialize;

use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::stop::{Ending, Stop};

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a long password";
/// The one that writes in the walk that is printed, and the one that reads.
const DEVICES: [&str; 2] = ["laptop", "phone"];

#[derive(Serialize)]
struct Serving<'a> {
    url: &'a str,
    publishable_key: &'a str,
    email: &'a str,
    password: &'a str,
    config: &'a Path,
    profiles: [&'a str; 2],
}

/// Serves until it is stopped. What the server has is gone then, and so is `folder`.
pub(super) async fn run(folder: &Path, console: Console) -> Result<Exit, CliError> {
    let mut stop = Stop::listen(Ending::AtOnce)?;
    let server = FakeSupabase::builder().keep_requests(0).start()?;
    server.add_user(EMAIL, PASSWORD)?;
    let folder = Folder::create(folder)?;
    let config = folder.0.join("config.toml");
    write(&config, &profiles(&server, &folder.0))?;
    console.json(&Serving {
        url: &server.url(),
        publishable_key: server.publishable_key(),
        email: EMAIL,
        password: PASSWORD,
        config: &config,
        profiles: DEVICES,
    })?;
    console.say(walk(&server.url(), &config))?;
    let signal = stop.requested().await;
    Ok(signal.into())
}

/// The folder of the devices, which is removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    /// The devices of an earlier run belong to a server that is gone, so the folder must be new.
    fn create(path: &Path) -> Result<Self, CliError> {
        let fail = |source| CliError::File { path: path.to_owned(), source };
        fs::create_dir(path).map_err(fail)?;
        Ok(Self(path.canonicalize().map_err(fail)?))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is of no use to anybody, and in nobody's way but the next run's, which names it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|source| CliError::File { path: path.to_owned(), source })
}

fn profiles(server: &FakeSupabase, folder: &Path) -> String {
    let (url, key) = (server.url(), server.publishable_key());
    let profile = |name: &str| {
        let data = folder.join(name);
        format!(
            "[profiles.{name}]\nurl = '{url}'\nkey = '{key}'\nemail = '{EMAIL}'\ndevice_name = '{name}'\n\
             data_dir = '{}'\n",
            data.display()
        )
    };
    DEVICES.map(profile).join("\n")
}

fn walk(url: &str, config: &Path) -> String {
    let [laptop, phone] = DEVICES;
    let login = |profile| format!("echo '{PASSWORD}' | levi --profile {profile} login --password-stdin");
    format!(
        "A fake Supabase runs at {url} until Ctrl-C, with the user {EMAIL}.\n\n\
         In each other terminal:\n  export LEVI_CONFIG='{config}'\n\n\
         The phone, which reads:\n  {}\n  levi --profile {phone} pull --follow\n\n\
         The laptop, which writes:\n  {}\n  echo 'hello' | levi --profile {laptop} sync --text",
        login(phone),
        login(laptop),
        config = config.display()
    )
}
