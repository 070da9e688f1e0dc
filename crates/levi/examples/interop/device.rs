//! This device: all of it comes from the environment, and its data folder goes with it.

use std::sync::Arc;

use levi::transport::HttpSignIn;
use levi::{
    DatabaseKey, DeviceId, DevicePrivateKey, FileCredentials, HttpOptions, Levi, LeviConfig, RefreshingAuth,
    SqliteSessionStore, UserId,
};
use tempfile::TempDir;

use crate::Outcome;

pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) user_id: UserId,
    pub(crate) http: HttpOptions,
    pub(crate) auth: RefreshingAuth,
    pub(crate) store: Arc<SqliteSessionStore>,
    pub(crate) levi: Levi,
    private_key: String,
    _folder: TempDir,
}

impl Device {
    /// Signs in with email and password, and puts a Levi together that is at rest.
    pub(crate) async fn sign_in() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let http = HttpOptions::new(setting("SUPABASE_URL")?, setting("SUPABASE_PUBLISHABLE_KEY")?);
        let credentials = Arc::new(FileCredentials::open(folder.path().join("credentials"))?);
        let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(&http)?), credentials.clone());
        let password = setting("LEVI_PASSWORD")?.into();
        let user_id = auth.sign_in(&setting("LEVI_EMAIL")?, &password).await?.user_id;
        let key = DatabaseKey::generate(&mut rand::rng());
        let store = Arc::new(SqliteSessionStore::open(folder.path().join("sessions.sqlite"), key.clone())?);
        let levi = Levi::builder(http.clone(), store.clone())
            .config(LeviConfig { data_dir: Some(folder.path().to_owned()), ..LeviConfig::default() })
            .database_key(key)
            .credentials(credentials)
            .build()?;
        let (id, private_key) = (setting("LEVI_DEVICE_ID")?.into(), setting("LEVI_DEVICE_PRIVATE_KEY")?);
        Ok(Self { id, user_id, http, auth, store, levi, private_key, _folder: folder })
    }

    pub(crate) fn private_key(&self) -> Outcome<DevicePrivateKey> {
        Ok(DevicePrivateKey::from_base64(&self.private_key)?)
    }
}

fn setting(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}
