//! The connection of a signed-in device to its project.

use std::sync::Arc;

use levi::transport::{ApiError, HttpConfigError, HttpSignIn, Select, Supabase as _, Verdict};
use levi::{
    AccessToken, DeviceId, HttpOptions, HttpSupabase, Levi, Reader, RefreshingAuth, SqliteSessionStore,
    UserId,
};

use crate::args::{DataArgs, HttpArgs, ProjectArgs};
use crate::data_dir::{self, DataDir, Project};
use crate::error::CliError;
use crate::notices::Notices;

/// What a command needs to work as the signed-in user on this device.
pub(crate) struct Connection {
    pub(crate) data_dir: DataDir,
    pub(crate) http: HttpOptions,
    pub(crate) auth: RefreshingAuth,
    pub(crate) user_id: UserId,
    pub(crate) device_id: DeviceId,
    supabase: HttpSupabase,
}

/// The project's address and key, from the command line or else from the last sign-in.
pub(crate) fn address(args: &ProjectArgs, known: Option<&Project>) -> Result<HttpOptions, CliError> {
    let same = |url: &str, known: &Project| url.trim_end_matches('/') == known.url.trim_end_matches('/');
    if let (Some(url), Some(known)) = (&args.url, known)
        && !same(url, known)
    {
        // The tokens in this data directory belong to the other project, and must not be sent to
        // this one.
        return Err(CliError::OtherProject);
    }
    let url = args.url.clone().or_else(|| known.map(|known| known.url.clone()));
    let key = args.key.clone().or_else(|| known.map(|known| known.publishable_key.clone()));
    let (Some(url), Some(key)) = (url, key) else { return Err(CliError::NoProject) };
    options(url, key, &args.http)
}

/// The options for the project at `url`.
pub(crate) fn options(url: String, key: String, args: &HttpArgs) -> Result<HttpOptions, CliError> {
    let mut http = HttpOptions::new(url, key);
    if let Some(path) = &args.ca_file {
        let read = std::fs::read(path).map_err(|source| CliError::Input { path: path.clone(), source })?;
        http.more_roots = Some(read);
    }
    // A line of the environment may end with a line break.
    let lines = args.header.iter().filter(|line| !line.trim().is_empty());
    http.headers = lines.map(|line| header(line)).collect::<Result<_, _>>()?;
    Ok(http)
}

fn header(line: &str) -> Result<(String, String), CliError> {
    let (name, value) = line.split_once(':').ok_or(HttpConfigError::BadHeader)?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Connection {
    /// Loads what `levi login` stored in the data directory. Sends no request.
    pub(crate) async fn open(project: &ProjectArgs, data: &DataArgs) -> Result<Self, CliError> {
        let path = data_dir::resolve(data.data_dir.as_deref());
        let known = data_dir::project(&path)?;
        let http = address(project, known.as_ref())?;
        if known.is_none() {
            return Err(CliError::NotSignedIn);
        }
        let data_dir = DataDir::open(path)?;
        let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(&http)?), data_dir.credentials());
        let signed_in = auth.current().await?.ok_or(CliError::NotSignedIn)?;
        let device_id = data_dir.device_id()?.ok_or(CliError::NoDevice)?;
        let supabase = HttpSupabase::new(&http)?;
        Ok(Self { data_dir, http, auth, user_id: signed_in.user_id, device_id, supabase })
    }

    pub(crate) fn session_store(&self) -> Result<Arc<SqliteSessionStore>, CliError> {
        Ok(Arc::new(self.data_dir.session_store()?))
    }

    /// This device's worker, not started yet. It says why its reads wait.
    pub(crate) fn levi(
        &self,
        store: Arc<SqliteSessionStore>,
        notices: &Arc<Notices>,
    ) -> Result<Levi, CliError> {
        let builder = self.data_dir.levi(&self.http, store)?;
        Ok(builder.on_read_retry(Arc::clone(notices).of_reads()).build()?)
    }

    /// As [`levi`](Self::levi), for a command that says by itself how it went.
    pub(crate) fn quiet_levi(&self) -> Result<Levi, CliError> {
        Ok(self.data_dir.levi(&self.http, self.session_store()?)?.build()?)
    }

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
        match self.supabase.select(&token, select.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let fresh = self.auth.refresh(&token).await?;
                Ok(self.supabase.select(&fresh.access_token, select).await)
            }
            result => Ok(result),
        }
    }

    pub(crate) fn supabase(&self) -> &HttpSupabase {
        &self.supabase
    }

    pub(crate) async fn token(&self) -> Result<AccessToken, CliError> {
        let signed_in = self.auth.current().await?.ok_or(CliError::NotSignedIn)?;
        Ok(signed_in.access_token)
    }
}
