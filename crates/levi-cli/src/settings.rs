//! Where each setting comes from: the command line, the environment, a profile, or nowhere.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use levi::DeviceFolder;

use crate::config::{Config, ConfigError, KEYS, Profile};

/// Settings whose values are not shown.
const HIDDEN: [&str; 2] = ["key", "header"];

/// What decided a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An option of the command line.
    Flag(String),
    /// A variable of the environment.
    Variable(String),
    /// The profile of this name.
    Profile(String),
    /// `default_profile` in the file of profiles.
    DefaultProfile,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::Profile(name) => write!(f, "the profile {name}"),
            Self::DefaultProfile => f.write_str("default_profile"),
        }
    }
}

/// A setting that is set.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: String,
    /// `None` if it is not shown.
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// The profile in use.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    values: Profile,
}

/// What one command line is run with.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) profile: Option<Chosen>,
    /// Those of the command that is run.
    pub(crate) set: Vec<Setting>,
}

impl Settings {
    /// Reads the file of profiles and chooses one. `matches` are of the whole command line.
    pub(crate) fn choose(matches: &ArgMatches) -> Result<Self, ConfigError> {
        let config = Config::load(matches.get_one::<PathBuf>("config").map(PathBuf::as_path))?;
        let name = matches.get_one::<String>("profile").cloned();
        let profile = match (name, &config.default_profile) {
            // Chooses none, not the default either.
            (Some(name), _) if name.is_empty() => None,
            (Some(name), _) => {
                let origin = match matches.value_source("profile") {
                    Some(ValueSource::EnvVariable) => Origin::Variable("LEVI_PROFILE".to_owned()),
                    _ => Origin::Flag("--profile".to_owned()),
                };
                Some((name, origin))
            }
            (None, Some(name)) => Some((name.clone(), Origin::DefaultProfile)),
            (None, None) => None,
        };
        let profile = profile.map(|(name, origin)| {
            let mut values = config.profile(&name)?.clone();
            values.entry("data_dir").or_insert_with(|| data_dir(&name).to_string_lossy().into_owned());
            Ok(Chosen { name, origin, values })
        });
        Ok(Self { profile: profile.transpose()?, config, set: Vec::new() })
    }

    /// `command` with the profile's values where neither the command line nor the environment has one.
    pub(crate) fn apply(&self, command: Command) -> Command {
        match &self.profile {
            Some(profile) => with_defaults(command, &profile.values),
            None => command,
        }
    }

    /// Notes what decided each setting of the command that `matches` name.
    pub(crate) fn note(&mut self, command: &Command, matches: &ArgMatches) {
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            self.note(command, matches);
            return;
        }
        let named = command.get_arguments().filter(|arg| is_setting(arg));
        self.set = named.filter_map(|arg| self.setting(arg, matches)).collect();
    }

    fn setting(&self, arg: &Arg, matches: &ArgMatches) -> Option<Setting> {
        let id = arg.get_id().as_str();
        let origin = match matches.value_source(id)? {
            ValueSource::CommandLine => Origin::Flag(format!("--{}", arg.get_long()?)),
            ValueSource::EnvVariable => Origin::Variable(arg.get_env()?.to_string_lossy().into_owned()),
            _ => Origin::Profile(self.profile.as_ref()?.name.clone()),
        };
        let value = matches.get_raw(id)?.next()?.to_string_lossy().into_owned();
        let value = (!HIDDEN.contains(&id)).then_some(value);
        Some(Setting { name: arg.get_long()?.to_owned(), value, origin })
    }
}

/// The data directory of a profile that names none: beside that without a profile, because a data
/// directory belongs to one user of one project.
pub(crate) fn data_dir(profile: &str) -> PathBuf {
    let default = DeviceFolder::new(None);
    default.path().parent().unwrap_or(Path::new("")).join(format!("levi-{profile}"))
}

fn is_setting(arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    KEYS.contains(&id) || id == "header"
}

fn with_defaults(command: Command, values: &Profile) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |sub| with_defaults(sub, values)));
    // What connects to no project of the user, such as the demo, has no data directory either.
    if !command.get_arguments().any(|arg| arg.get_id() == "data_dir") {
        return command;
    }
    command.mut_args(|arg| match values.get(arg.get_id().as_str()) {
        Some(value) => arg.default_value(value.clone()).hide_default_value(true),
        None => arg,
    })
}
