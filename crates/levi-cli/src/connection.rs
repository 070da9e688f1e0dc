//! The connection of a signed-in device to its project.

use std::sync::Arc;

use levi::{
    AccessToken, ApiError, DeviceId, HttpOptions, HttpSignIn, HttpSupabase, Levi, Reader, Select,
    SqliteSessionStore, Supabase as _, TokenKeeper, UserId, Verdict,
};

use crate::args::{DataArgs, ProjectArgs};
use crate::data_dir::{self, DataDir, Project};
use crate::error::CliError;

/// What a command needs to work as the signed-in user on this device.
pub(crate) struct Connection {
    pub(crate) data_dir: DataDir,
    pub(crate) http: HttpOptions,
    pub(crate) keeper: TokenKeeper,
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
    match (url, key) {
        (Some(url), Some(key)) => Ok(HttpOptions::new(url, key)),
        _ => Err(CliError::NoProject),
    }
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
        let keeper = TokenKeeper::new(Arc::new(HttpSignIn::new(&http)?), data_dir.credentials());
        let signed_in = keeper.current().await?.ok_or(CliError::NotSignedIn)?;
        let device_id = data_dir.device_id()?.ok_or(CliError::NoDevice)?;
        let supabase = HttpSupabase::new(&http)?;
        Ok(Self { data_dir, http, keeper, user_id: signed_in.user_id, device_id, supabase })
    }

    pub(crate) fn session_store(&self) -> Result<Arc<SqliteSessionStore>, CliError> {
        Ok(Arc::new(self.data_dir.session_store()?))
    }

    /// This device's worker, not started yet.
    pub(crate) fn levi(&self, store: Arc<SqliteSessionStore>) -> Result<Levi, CliError> {
        self.data_dir.levi(&self.http, store)
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
                let fresh = self.keeper.fresh(&token).await?;
                Ok(self.supabase.select(&fresh.access_token, select).await)
            }
            result => Ok(result),
        }
    }

    pub(crate) fn supabase(&self) -> &HttpSupabase {
        &self.supabase
    }

    pub(crate) async fn token(&self) -> Result<AccessToken, CliError> {
        let signed_in = self.keeper.current().await?.ok_or(CliError::NotSignedIn)?;
        Ok(signed_in.context.access_token)
    }
}
