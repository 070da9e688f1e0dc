//! The project that the data folder is signed in to.

use std::sync::Arc;

use levi::{
    AccessToken, ApiError, DeviceId, HttpOptions, HttpSignIn, HttpSupabase, Levi, Reader, RefreshingAuth,
    Select, SqliteSessionStore, Supabase as _, UserId, Verdict,
};

use crate::args::{DataArgs, ProjectArgs};
use crate::error::CliError;
use crate::home::{self, Home, Project};

/// A signed-in device and the way to its project.
pub(crate) struct Connection {
    pub(crate) home: Home,
    pub(crate) http: HttpOptions,
    pub(crate) auth: RefreshingAuth,
    pub(crate) user_id: UserId,
    pub(crate) device_id: DeviceId,
    supabase: HttpSupabase,
}

/// The project's address and key: from the command line, else from the last sign-in, if they fit together.
pub(crate) fn address(args: &ProjectArgs, known: Option<&Project>) -> Result<HttpOptions, CliError> {
    let same = |url: &str, known: &Project| url.trim_end_matches('/') == known.url.trim_end_matches('/');
    if let (Some(url), Some(known)) = (&args.url, known)
        && !same(url, known)
    {
        // The tokens in this folder are the other project's, and must not be shown to this one.
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
    /// Opens what `levi login` left in the data folder. Asks no server.
    pub(crate) async fn open(project: &ProjectArgs, data: &DataArgs) -> Result<Self, CliError> {
        let folder = home::folder(data.data_dir.as_deref());
        let known = home::project(&folder)?;
        let http = address(project, known.as_ref())?;
        if known.is_none() {
            return Err(CliError::NotSignedIn);
        }
        let home = Home::open(folder)?;
        let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(&http)?), home.credentials());
        let signed_in = auth.current().await?.ok_or(CliError::NotSignedIn)?;
        let device_id = home.device_id()?.ok_or(CliError::NoDevice)?;
        let supabase = HttpSupabase::new(&http)?;
        Ok(Self { home, http, auth, user_id: signed_in.user_id, device_id, supabase })
    }

    /// The message worker of this device, at rest.
    pub(crate) fn levi(&self) -> Result<(Levi, Arc<SqliteSessionStore>), CliError> {
        let store = Arc::new(self.home.session_store()?);
        let builder = Levi::builder(self.http.clone(), Arc::clone(&store) as _);
        let builder = builder.config(self.home.config()).database_key(self.home.database_key()?);
        Ok((builder.credentials(self.home.credentials()).build()?, store))
    }

    pub(crate) fn reader(&self, levi: &Levi) -> Result<Reader, CliError> {
        Ok(levi.reader(self.device_id.clone(), self.home.private_key()?)?)
    }

    /// A read as the signed-in user; an expired token is refreshed once.
    pub(crate) async fn select(&self, select: Select) -> Result<Vec<u8>, CliError> {
        Ok(self.try_select(select).await??)
    }

    /// As [`select`](Self::select), with the server's refusal told apart from a missing sign-in.
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
