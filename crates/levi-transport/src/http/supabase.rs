use std::fmt;

use async_trait::async_trait;
use levi_types::AccessToken;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::exchange::{Call, Exchange};
use super::options::{HttpConfigError, HttpOptions};
use super::sign_in::HttpSignIn;
use crate::api_error::{ApiError, Verdict};
use crate::supabase::{Select, Supabase, Upsert};

/// A Supabase project over HTTPS. Clones share its connections.
///
/// Each call runs on a thread of its own. If its future is dropped, its connection is closed and the thread ends; its
/// rows may have been written. A thread that looks up a name or waits for a connection ends with that, within
/// [`Timeouts::connect`](crate::Timeouts::connect), and keeps no runtime waiting.
#[derive(Clone)]
pub struct HttpSupabase {
    exchange: Exchange,
}

impl HttpSupabase {
    /// Checks the options. Connects at the first request.
    ///
    /// ```
    /// use levi_transport::{HttpConfigError, HttpOptions, HttpSupabase};
    ///
    /// let options = HttpOptions::new("https://abcd.supabase.co/rest/v1", "sb_publishable_xyz");
    /// assert_eq!(HttpSupabase::new(&options).unwrap_err(), HttpConfigError::ApiPath);
    /// ```
    ///
    /// # Errors
    /// [`HttpConfigError`], which says what to change.
    pub fn new(options: &HttpOptions) -> Result<Self, HttpConfigError> {
        Ok(Self { exchange: Exchange::new(options)? })
    }

    /// Sign-in to the same project, over the same connections.
    pub fn sign_in(&self) -> HttpSignIn {
        HttpSignIn::over(self.exchange.clone())
    }
}

#[async_trait]
impl Supabase for HttpSupabase {
    async fn upsert(&self, token: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        let Upsert { table, columns, body } = upsert;
        let conflict = table.conflict_columns();
        let call = Call {
            method: Method::POST,
            path: format!("/rest/v1/{}?on_conflict={conflict}&columns={columns}", table.name()),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: Some("resolution=merge-duplicates,return=minimal"),
            body: Some(Zeroizing::new(body)),
        };
        self.exchange.run(call).await?.classify()
    }

    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        let call = Call {
            method: Method::GET,
            path: format!("/rest/v1/{}?{}", select.table.name(), select.query),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: None,
            body: None,
        };
        let mut response = self.exchange.run(call).await?;
        if response.is_success() && response.body.trim_ascii_start().first() == Some(&b'[') {
            return Ok(std::mem::take(&mut *response.body));
        }
        response.classify()?;
        let detail = format!("HTTP {} without an array of rows", response.status);
        Err(ApiError::new(Verdict::Unreachable, "bad_response", detail))
    }
}

impl fmt::Debug for HttpSupabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSupabase").finish_non_exhaustive()
    }
}
