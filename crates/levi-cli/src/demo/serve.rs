//! `levi demo --serve`: a fake Supabase that stays, with a profile for each of two devices, to try the
//! other commands without an account.

use std::fs;
use std::path::{Path, PathBuf};

use levi_testkit::supabase::FakeSupabase;
use serde::Serialize;

use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::stop::Stop;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery staple";
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

/// Serves until it is stopped. What the server has is gone then, and so are the devices.
pub(super) async fn run(console: Console) -> Result<Exit, CliError> {
    let mut stop = Stop::listen()?;
    let server = FakeSupabase::builder().keep_requests(0).start()?;
    server.add_user(EMAIL, PASSWORD)?;
    let folder = tempfile::Builder::new().prefix("levi-demo-").tempdir();
    let folder = folder.map_err(|source| CliError::System { what: "make a temporary folder", source })?;
    let config = folder.path().join("config.toml");
    write(&config, &profiles(&server, folder.path()))?;
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

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|source| CliError::File { path: path.to_owned(), source })
}

fn profiles(server: &FakeSupabase, folder: &Path) -> String {
    let (url, key) = (server.url(), server.publishable_key());
    let profile = |name: &str| {
        let data = PathBuf::from(folder).join(name);
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
    format!(
        "A fake Supabase runs at {url} until Ctrl-C, with the user {EMAIL}.\n\
         \n\
         In a second terminal, the phone, which reads:\n\
         \n  export LEVI_CONFIG={config}\n  \
         echo '{PASSWORD}' | levi --profile {phone} login --password-stdin\n  \
         levi --profile {phone} pull --follow\n\
         \n\
         In a third, the laptop, which writes:\n\
         \n  export LEVI_CONFIG={config}\n  \
         echo '{PASSWORD}' | levi --profile {laptop} login --password-stdin\n  \
         echo 'hello from the laptop' | levi --profile {laptop} sync --text\n  \
         levi --profile {laptop} status\n",
        config = config.display()
    )
}
