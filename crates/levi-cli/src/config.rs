//! The file of profiles: several projects, or several devices, for one user of this machine.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of a profile, which are those of the options that it replaces.
pub(crate) const KEYS: [&str; 7] =
    ["url", "key", "data_dir", "ca_file", "email", "device_name", "device_type"];
/// Those whose value is a path.
const PATHS: [&str; 2] = ["data_dir", "ca_file"];
/// The keys outside of profiles.
const TOP_KEYS: &str = "default_profile and profiles";

/// Why the file of profiles cannot be used. The text quotes no value of the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the file of profiles {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}, line {line}: not TOML: {message}", path = .path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{path}, line {line}: there is no key {key}; known here: {known}", path = .path.display())]
    UnknownKey { path: PathBuf, line: usize, key: String, known: String },
    #[error("{path}, line {line}: {key} is not {expected}", path = .path.display())]
    Type { path: PathBuf, line: usize, key: String, expected: &'static str },
    #[error(
        "{path}, line {line}: {key} is a relative path; begin it with / or ~/", path = .path.display()
    )]
    RelativePath { path: PathBuf, line: usize, key: String },
    #[error(
        "{path}, line {line}: a profile's name is 1 to 64 letters, digits, dashes and underscores",
        path = .path.display()
    )]
    Name { path: PathBuf, line: usize },
    #[error(
        "there is no profile {name} in {path}; {}; add [profiles.NAME] with url and key",
        there_are(.known), path = .path.display()
    )]
    NoProfile { path: PathBuf, name: String, known: Vec<String> },
}

fn there_are(known: &[String]) -> String {
    if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) }
}

/// The values of one profile, by key.
pub(crate) type Profile = BTreeMap<&'static str, String>;

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) default_profile: Option<String>,
    pub(crate) profiles: BTreeMap<String, Profile>,
}

impl Config {
    /// Reads the file at `path`, or `levi/config.toml` in the folder for settings. One that does not
    /// exist has no profiles; nor has a system without such a folder.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => dirs::config_dir().unwrap_or_default().join("levi").join("config.toml"),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Reading { path, text: &text, home: dirs::home_dir() }.config(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { path, ..Self::default() }),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    /// The profile with this name.
    pub(crate) fn profile(&self, name: &str) -> Result<&Profile, ConfigError> {
        self.profiles.get(name).ok_or_else(|| ConfigError::NoProfile {
            path: self.path.clone(),
            name: name.to_owned(),
            known: self.profiles.keys().cloned().collect(),
        })
    }
}

/// A file that is being read.
struct Reading<'a> {
    path: PathBuf,
    text: &'a str,
    home: Option<PathBuf>,
}

impl Reading<'_> {
    fn config(&self) -> Result<Config, ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            path: self.path.clone(),
            line: error.span().map_or(1, |span| self.line(span)),
            message: error.message().to_owned(),
        })?;
        let mut config = Config { path: self.path.clone(), ..Config::default() };
        for (key, value) in table.into_inner() {
            match key.get_ref().as_ref() {
                "default_profile" => config.default_profile = Some(self.text("default_profile", &value)?),
                "profiles" => config.profiles = self.profiles(&value)?,
                other => return Err(self.unknown(key.span(), other, TOP_KEYS.to_owned())),
            }
        }
        if let Some(name) = &config.default_profile {
            config.profile(name)?;
        }
        Ok(config)
    }

    fn profiles(&self, value: &Spanned<DeValue<'_>>) -> Result<BTreeMap<String, Profile>, ConfigError> {
        let mut profiles = BTreeMap::new();
        for (name, value) in self.table("profiles", value)? {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let text = name.get_ref().as_ref();
            if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
                return Err(ConfigError::Name { path: self.path.clone(), line: self.line(name.span()) });
            }
            profiles.insert(text.to_owned(), self.profile(text, value)?);
        }
        Ok(profiles)
    }

    fn profile(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Profile, ConfigError> {
        let mut profile = Profile::new();
        for (key, value) in self.table(&format!("profiles.{name}"), value)? {
            let Some(known) = KEYS.into_iter().find(|known| known == key.get_ref()) else {
                return Err(self.unknown(key.span(), key.get_ref(), KEYS.join(", ")));
            };
            let text = self.text(known, value)?;
            let text = if PATHS.contains(&known) { self.absolute(known, value.span(), text)? } else { text };
            profile.insert(known, text);
        }
        Ok(profile)
    }

    fn table<'v, 'i>(
        &self,
        key: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Result<&'v DeTable<'i>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.not(value.span(), key, "a table, such as [profiles.work]")),
        }
    }

    fn text(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Ok(text.to_string()),
            _ => Err(self.not(value.span(), key, "text in quotes")),
        }
    }

    fn absolute(&self, key: &str, span: Range<usize>, text: String) -> Result<String, ConfigError> {
        let relative = || ConfigError::RelativePath {
            path: self.path.clone(),
            line: self.line(span),
            key: key.to_owned(),
        };
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => {
                home.join(rest).into_os_string().into_string().map_err(|_| relative())
            }
            _ if Path::new(&text).is_absolute() => Ok(text),
            _ => Err(relative()),
        }
    }

    fn unknown(&self, span: Range<usize>, key: &str, known: String) -> ConfigError {
        ConfigError::UnknownKey { path: self.path.clone(), line: self.line(span), key: key.to_owned(), known }
    }

    fn not(&self, span: Range<usize>, key: &str, expected: &'static str) -> ConfigError {
        ConfigError::Type { path: self.path.clone(), line: self.line(span), key: key.to_owned(), expected }
    }

    /// Counted from 1.
    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let reading = Reading { path: "config.toml".into(), text, home: Some("/home/ada".into()) };
        reading.config().map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_has_what_the_options_say_and_paths_from_home_on() {
        let config = read(
            "default_profile = 'work'\n[profiles.work]\nurl = 'https://a.example'\ndata_dir = '~/levi'\n[profiles.b]\n",
        );
        let config = config.unwrap();
        assert_eq!(config.default_profile.as_deref(), Some("work"));
        assert_eq!(config.profile("work").unwrap()["data_dir"], "/home/ada/levi");
        assert!(config.profile("b").unwrap().is_empty());
        assert!(config.profile("c").unwrap_err().to_string().contains("it has b, work"));
    }

    /// Each names the line and what to write, and quotes no value: somebody may have written a password.
    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_line_and_without_its_values() {
        let table = [
            ("\n[profiles.a]\nurl = 'hunter2\n", "line 3: not TOML"),
            ("[profiles.a]\nurl = 'x'\nurl = 'hunter2'\n", "line 3: not TOML"),
            (
                "[profiles.a]\n\npassword = 'hunter2'\n",
                "line 3: there is no key password; known here: url, key",
            ),
            ("token = 'hunter2'\n", "line 1: there is no key token; known here: default_profile"),
            ("[profiles.a]\nkey = 5\n", "line 2: key is not text"),
            ("[profiles.a]\nurl = ''\n", "line 2: url is not text"),
            ("[profiles.a]\nurl = ['hunter2']\n", "line 2: url is not text"),
            ("profiles = 'hunter2'\n", "line 1: profiles is not a table"),
            ("[profiles]\na = 'hunter2'\n", "line 2: profiles.a is not a table"),
            ("[[profiles]]\nurl = 'hunter2'\n", "profiles is not a table"),
            ("[profiles.a]\nurl = 'x'\n[profiles.'a b']\n", "line 3: a profile's name is"),
            ("[profiles.a]\ndata_dir = 'hunter2'\n", "line 2: data_dir is a relative path"),
            ("default_profile = 'b'\n[profiles.a]\n", "no profile b in config.toml; it has a"),
        ];
        for (text, expected) in table {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
