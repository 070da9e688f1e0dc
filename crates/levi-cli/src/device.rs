//! This device among the user's devices.

use levi::{
    AuthSession, DeviceId, DeviceRow, HttpOptions, HttpSupabase, RefreshingAuth, Supabase as _, Upsert,
    Verdict, upsert_of,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::error::CliError;
use crate::home::Home;
use crate::ids::random_uuid;

/// What people read in a list of devices.
pub(crate) struct Description<'a> {
    pub(crate) name: &'a str,
    pub(crate) device_type: &'a str,
}

/// Writes this device's row: with its id and its public key, which it makes if there are none yet.
pub(crate) async fn register(
    home: &Home,
    http: &HttpOptions,
    auth: &RefreshingAuth,
    description: Description<'_>,
) -> Result<DeviceId, CliError> {
    let signed_in = auth.current().await?.ok_or(CliError::NotSignedIn)?;
    let known = home.device_id()?;
    let id = known.clone().unwrap_or_else(|| DeviceId::from(random_uuid(&mut UnwrapErr(SysRng))));
    if known.is_none() {
        // Before the server has it: a device that is registered and does not know it would be one too many.
        home.save_device_id(&id)?;
    }
    let row = DeviceRow {
        public_key: Some(home.private_key()?.public_key().to_base64()),
        ..DeviceRow::new(
            id.clone(),
            signed_in.user_id.clone(),
            description.name.to_owned(),
            description.device_type.to_owned(),
        )
    };
    write(http, auth, &signed_in, &row).await?;
    Ok(id)
}

async fn write(
    http: &HttpOptions,
    auth: &RefreshingAuth,
    signed_in: &AuthSession,
    row: &DeviceRow,
) -> Result<(), CliError> {
    let supabase = HttpSupabase::new(http)?;
    let body = || -> Upsert { upsert_of(std::slice::from_ref(row)) };
    let token = &signed_in.access_token;
    match supabase.upsert(token, body()).await {
        Err(error) if error.verdict == Verdict::SignedOut => {
            let fresh = auth.refresh(token).await?;
            Ok(supabase.upsert(&fresh.access_token, body()).await?)
        }
        result => Ok(result?),
    }
}
