//! How a device reaches its project.

use levi_transport::HttpOptions;

use super::{DeviceError, Project};

/// How a [`Device`](super::Device) reaches its project.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The project's address. `None`: that of the last sign-in in the folder.
    pub api_url: Option<String>,
    /// Its publishable key. `None`: that of the last sign-in.
    pub publishable_key: Option<String>,
    /// Certificates in PEM that are trusted besides the system's.
    pub more_roots: Option<Vec<u8>>,
    /// Headers for every request, such as a gateway's key.
    pub headers: Vec<(String, String)>,
}

impl DeviceOptions {
    /// For the project at `api_url`.
    pub fn new(api_url: impl Into<String>, publishable_key: impl Into<String>) -> Self {
        Self {
            api_url: Some(api_url.into()),
            publishable_key: Some(publishable_key.into()),
            ..Self::default()
        }
    }
}

/// The project's address and key: those given, or else those of the last sign-in.
pub(super) fn address(options: DeviceOptions, known: Option<&Project>) -> Result<HttpOptions, DeviceError> {
    let same = |url: &str, known: &Project| url.trim_end_matches('/') == known.url.trim_end_matches('/');
    if let (Some(url), Some(known)) = (&options.api_url, known)
        && !same(url, known)
    {
        // The tokens in this folder belong to the other project, and must not be sent to this one.
        return Err(DeviceError::OtherProject);
    }
    let url = options.api_url.or_else(|| known.map(|known| known.url.clone()));
    let key = options.publishable_key.or_else(|| known.map(|known| known.publishable_key.clone()));
    let (Some(url), Some(key)) = (url, key) else { return Err(DeviceError::NoProject) };
    let mut http = HttpOptions::new(url, key);
    (http.more_roots, http.headers) = (options.more_roots, options.headers);
    Ok(http)
}
