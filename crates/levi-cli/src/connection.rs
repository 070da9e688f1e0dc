//! The connection of a signed-in device to its project.

use std::sync::Arc;

#[cfg(feature = "demo")]
use levi::HttpOptions;
use levi::transport::{ApiError, HttpConfigError, Select, Supabase as _, Verdict};
use levi::types::AccessToken;
use levi::{
    Device, DeviceFolder, DeviceId, DeviceOptions, HttpSupabase, Levi, LeviConfig, Reader,
    SqliteSessionStore, UserId,
};

use crate::error::CliError;
use crate::notices::Notices;
use crate::options::{DataArgs, HttpArgs, ProjectArgs};

/// What a command needs to work as the signed-in user on this device.
pub(crate) struct Connection {
    pub(crate) device: Device,
    pub(crate) data_dir: DeviceFolder,
    pub(crate) user_id: UserId,
    pub(crate) device_id: DeviceId,
}

/// The project that the command line names; what it leaves out is taken from the last sign-in.
pub(crate) fn options(args: &ProjectArgs) -> Result<DeviceOptions, CliError> {
    let (api_url, publishable_key) = (args.url.clone(), args.key.clone());
    let (more_roots, headers) = (more_roots(&args.http)?, headers(&args.http)?);
    Ok(DeviceOptions { api_url, publishable_key, more_roots, headers })
}

/// The options for the project at `url`.
#[cfg(feature = "demo")]
pub(crate) fn http_options(url: String, key: String, args: &HttpArgs) -> Result<HttpOptions, CliError> {
    let mut http = HttpOptions::new(url, key);
    (http.more_roots, http.headers) = (more_roots(args)?, headers(args)?);
    Ok(http)
}

fn more_roots(args: &HttpArgs) -> Result<Option<Vec<u8>>, CliError> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|source| CliError::Input { path: path.clone(), source })
    };
    args.ca_file.as_ref().map(read).transpose()
}

fn headers(args: &HttpArgs) -> Result<Vec<(String, String)>, CliError> {
    // A line of the environment may end with a line break.
    let lines = args.header.iter().filter(|line| !line.trim().is_empty());
    lines.map(|line| header(line)).collect()
}

fn header(line: &str) -> Result<(String, String), CliError> {
    let (name, value) = line.split_once(':').ok_or(HttpConfigError::BadHeader)?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Connection {
    /// Loads what `levi login` stored in the data directory. Sends no request.
    pub(crate) async fn open(project: &ProjectArgs, data: &DataArgs) -> Result<Self, CliError> {
        let data_dir = data.folder();
        let is_known = data_dir.project()?.is_some();
        let device = Device::in_folder(data_dir.clone(), options(project)?)?;
        let user_id = device.user_id().await?.filter(|_| is_known).ok_or(CliError::NotSignedIn)?;
        let device_id = data_dir.device_id()?.ok_or(CliError::NoDevice)?;
        Ok(Self { device, data_dir, user_id, device_id })
    }

    pub(crate) fn session_store(&self) -> Result<Arc<SqliteSessionStore>, CliError> {
        Ok(self.device.session_store()?)
    }

    /// This device's worker, not started yet. It says why its reads wait.
    pub(crate) fn levi(&self, notices: &Arc<Notices>) -> Result<Levi, CliError> {
        let builder = self.device.builder(LeviConfig::default())?;
        Ok(builder.on_read_retry(Arc::clone(notices).of_reads()).build()?)
    }

    /// As [`levi`](Self::levi), for a command that says by itself how it went.
    pub(crate) fn quiet_levi(&self) -> Result<Levi, CliError> {
        Ok(self.device.levi(LeviConfig::default())?)
    }

    /// A reader that says what `levi` says.
    pub(crate) fn reader(&self, levi: &Levi) -> Result<Reader, CliError> {
        Ok(levi.reader(self.device_id.clone(), self.data_dir.private_key()?)?)
    }

    /// Reads as the signed-in user. Refreshes an expired token once.
    pub(crate) async fn select(&self, select: Select) -> Result<Vec<u8>, CliError> {
        Ok(self.try_select(select).await??)
    }

    /// As [`select`](Self::select), but the server's refusal is apart from a missing sign-in.
    pub(crate) async fn try_select(&self, select: Select) -> Result<Result<Vec<u8>, ApiError>, CliError> {
        let token = self.token().await?;
        match self.supabase().select(&token, select.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let fresh = self.device.auth().refresh(&token).await?;
                Ok(self.supabase().select(&fresh.access_token, select).await)
            }
            result => Ok(result),
        }
    }

    pub(crate) fn supabase(&self) -> &HttpSupabase {
        self.device.supabase()
    }

    pub(crate) async fn token(&self) -> Result<AccessToken, CliError> {
        let signed_in = self.device.auth().current().await?.ok_or(CliError::NotSignedIn)?;
        Ok(signed_in.access_token)
    }
}
