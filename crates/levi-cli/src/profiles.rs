//! `levi profiles`: the profiles of the file, and which of them is in use.

use std::path::PathBuf;

use clap::Args;
use levi::DeviceFolder;
use serde::Serialize;

use crate::config::Profile;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::{Settings, data_dir};
use crate::style::{FAINT, GOOD, paint};

#[derive(Debug, Args)]
pub(crate) struct ProfilesArgs {}

#[derive(Serialize)]
struct Listed<'a> {
    profile: &'a str,
    /// The profile's, or else that of the last sign-in.
    url: Option<String>,
    data_dir: String,
    signed_in: bool,
    in_use: bool,
}

pub(crate) fn run(settings: &Settings, console: Console) -> Result<Exit, CliError> {
    let config = &settings.config;
    for (name, profile) in &config.profiles {
        let listed = listed(name, profile, settings)?;
        console.json(&listed)?;
        console.say(line(&listed, settings))?;
    }
    if config.profiles.is_empty() {
        let path = config.path.display();
        console.say(format!("no profiles yet; write them into {path}: [profiles.NAME] with url and key"))?;
    } else {
        console
            .hint(format!("they are in {}; use one with --profile or LEVI_PROFILE", config.path.display()));
    }
    Ok(Exit::Done)
}

fn listed<'a>(name: &'a str, profile: &Profile, settings: &Settings) -> Result<Listed<'a>, CliError> {
    let path = profile.get("data_dir").map_or_else(|| data_dir(name), PathBuf::from);
    let folder = DeviceFolder::new(Some(path));
    let known = folder.project()?.map(|project| project.url);
    Ok(Listed {
        profile: name,
        url: profile.get("url").cloned().or(known),
        data_dir: folder.path().display().to_string(),
        signed_in: folder.has_sign_in()?,
        in_use: settings.profile.as_ref().is_some_and(|chosen| chosen.name == name),
    })
}

fn line(listed: &Listed<'_>, settings: &Settings) -> String {
    let url = listed.url.as_deref().unwrap_or("no url");
    let sign_in = if listed.signed_in { paint(GOOD, "signed in ") } else { "signed out".to_owned() };
    let origin = settings.profile.as_ref().filter(|_| listed.in_use).map(|chosen| &chosen.origin);
    let in_use = origin.map_or_else(String::new, |origin| format!("  in use, by {origin}"));
    let folder = paint(FAINT, &listed.data_dir);
    format!("{:<16}  {sign_in}  {url}  {folder}{in_use}", listed.profile)
}
