//! Options that several commands share.

use std::path::PathBuf;

use clap::Args;
use levi::DeviceFolder;

/// The project to connect to.
#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    /// The project's address, such as https://abcd.supabase.co. Default: the address of the last
    /// `levi login`.
    #[arg(long, env = "LEVI_URL")]
    pub(crate) url: Option<String>,
    /// Its publishable key (sb_publishable_...), or the older anon key. Default: the key of the
    /// last `levi login`.
    #[arg(long, env = "LEVI_PUBLISHABLE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
}

/// How requests are sent.
#[derive(Debug, Args)]
pub(crate) struct HttpArgs {
    /// A file in PEM with certificates that are trusted besides the system's, such as a company's
    /// own authority or a self-hosted project's.
    #[arg(long, env = "LEVI_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A header for every request, such as a gateway's key; give it again for more. In the
    /// environment one a line.
    #[arg(
        long,
        env = "LEVI_HEADER",
        hide_env_values = true,
        value_name = "NAME: VALUE",
        value_delimiter = '\n'
    )]
    pub(crate) header: Vec<String>,
}

/// The device, named by its data directory.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The directory of this device's sign-in, keys, sessions and outbox. Default: levi in the
    /// user's data directory.
    #[arg(long, env = "LEVI_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl DataArgs {
    pub(crate) fn folder(&self) -> DeviceFolder {
        DeviceFolder::new(self.data_dir.clone())
    }
}
