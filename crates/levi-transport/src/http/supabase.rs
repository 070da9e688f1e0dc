use std::fmt;

use async_trait::async_trait;
use levi_types::AccessToken;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::exchange::{Call, Exchange, JSON, Response};
use super::options::{HttpConfigError, HttpOptions};
use super::sign_in::HttpSignIn;
use crate::api_error::{ApiError, Verdict};
use crate::supabase::{Select, Supabase, Update, Upsert};

/// A Supabase project over HTTPS. Clones share its connections.
///
/// Each call runs on a thread of its own. If its future is dropped, its connection is closed and
/// the thread ends; its rows may have been written. A thread that looks up a name or waits for a
/// connection ends with that, within [`Timeouts::connect`](crate::Timeouts::connect), and keeps no
/// runtime waiting.
#[derive(Clone)]
pub struct HttpSupabase {
    pub(super) exchange: Exchange,
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
            accept: JSON,
        };
        self.exchange.run(call).await?.classify()
    }

    async fn insert(&self, token: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        let Upsert { table, columns, body } = insert;
        let (name, key) = (table.name(), table.conflict_columns());
        self.rows(Call {
            method: Method::POST,
            path: format!("/rest/v1/{name}?on_conflict={key}&columns={columns}&select={key}"),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: Some("resolution=ignore-duplicates,return=representation"),
            body: Some(Zeroizing::new(body)),
            accept: JSON,
        })
        .await
    }

    async fn update(&self, token: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError> {
        self.rows(Call {
            method: Method::PATCH,
            path: format!("/rest/v1/{}?{}", update.table.name(), update.query),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: Some("return=representation"),
            body: Some(Zeroizing::new(update.body)),
            accept: JSON,
        })
        .await
    }

    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        self.rows(Call {
            method: Method::GET,
            path: format!("/rest/v1/{}?{}", select.table.name(), select.query),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: None,
            body: None,
            accept: JSON,
        })
        .await
    }

    fn close_idle(&self) {
        self.exchange.close_idle();
    }
}

impl HttpSupabase {
    /// The OpenAPI document in which PostgREST describes the tables that this user may touch
    /// (`GET /rest/v1/`). A project may have it switched off, or keep it for secret keys.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn describe(&self, token: &AccessToken) -> Result<Vec<u8>, ApiError> {
        let call = Call {
            method: Method::GET,
            path: "/rest/v1/".to_owned(),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: None,
            body: None,
            accept: "application/openapi+json",
        };
        let mut response = self.exchange.run(call).await?;
        if response.is_success() {
            return Ok(std::mem::take(&mut *response.body));
        }
        response.classify()?;
        Err(bad_response(&response, "an OpenAPI document"))
    }

    /// The rows with which the server answers.
    async fn rows(&self, call: Call) -> Result<Vec<u8>, ApiError> {
        let mut response = self.exchange.run(call).await?;
        if response.is_success() && response.body.trim_ascii_start().first() == Some(&b'[') {
            return Ok(std::mem::take(&mut *response.body));
        }
        response.classify()?;
        Err(bad_response(&response, "an array of rows"))
    }
}

fn bad_response(response: &Response, without: &str) -> ApiError {
    let detail = format!("HTTP {} without {without}", response.status);
    ApiError::new(Verdict::Unreachable, "bad_response", detail)
}

impl fmt::Debug for HttpSupabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSupabase").finish_non_exhaustive()
    }
}
