//! The row of this device in the user's list of devices.

use levi::transport::rows::upsert_of;
use levi::transport::{Supabase as _, Upsert, Verdict};
use levi::types::AuthSession;
use levi::{DeviceId, DeviceRow, HttpOptions, HttpSupabase, RefreshingAuth};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::ids::random_uuid;

/// How a list of devices shows this one.
#[derive(Clone, Copy)]
pub(crate) struct Description<'a> {
    pub(crate) name: &'a str,
    /// `None`: a desktop, in the first word for it that the project takes.
    pub(crate) device_type: Option<&'a str>,
}

/// The words for a desktop: Levi's, then what projects with an enum of device types use.
const DESKTOP: [&str; 2] = ["desktop", DESKTOP_OF_THIS_SYSTEM];

const DESKTOP_OF_THIS_SYSTEM: &str = if cfg!(target_os = "macos") {
    "macos-desktop"
} else if cfg!(windows) {
    "windows-desktop"
} else {
    "linux-desktop"
};

/// `invalid_text_representation`: the column is an enum without the word.
const NOT_IN_ENUM: &str = "22P02";

/// Writes this device's row, with its id and its public key. Creates both on the first call.
pub(crate) async fn register(
    data_dir: &DataDir,
    http: &HttpOptions,
    auth: &RefreshingAuth,
    description: Description<'_>,
) -> Result<DeviceId, CliError> {
    let signed_in = auth.current().await?.ok_or(CliError::NotSignedIn)?;
    let known = data_dir.device_id()?;
    let id = known.clone().unwrap_or_else(|| DeviceId::from(random_uuid(&mut UnwrapErr(SysRng))));
    if known.is_none() {
        // Saved before the server has it, because a crash in between would register this device
        // twice.
        data_dir.save_device_id(&id)?;
    }
    let mut row = DeviceRow {
        public_key: Some(data_dir.member_keys()?.envelope.public_key().to_base64()),
        ..DeviceRow::new(id.clone(), signed_in.user_id.clone(), description.name, "")
    };
    let given = description.device_type;
    for device_type in given.as_ref().map_or(&DESKTOP[..], std::slice::from_ref) {
        row.device_type = (*device_type).to_owned();
        match write(http, auth, &signed_in, &row).await {
            Err(CliError::Server(error)) if error.code == NOT_IN_ENUM => {}
            result => return result.map(|()| id),
        }
    }
    Err(CliError::DeviceType { given: row.device_type })
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
