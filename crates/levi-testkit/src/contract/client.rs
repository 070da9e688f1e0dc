use std::time::Duration;

use levi_transport::{ApiError, ResponseHead, Select, Upsert, classify};
use serde_json::Value;
use ureq::http;

use super::error::ContractError;

/// The `Prefer` header of Levi's upserts.
const PREFER: &str = "resolution=merge-duplicates,return=minimal";

/// One request, as Levi or any other client could send it.
#[derive(Clone)]
pub(super) struct Call {
    method: &'static str,
    path: String,
    body: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
    key: Key,
    token: Option<String>,
}

/// The `apikey` header.
#[derive(Clone)]
enum Key {
    Publishable,
    Missing,
    Other(String),
}

impl Call {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, headers: vec![], key: Key::Publishable, token: None }
    }

    pub(super) fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..Self::new("POST", path) }
    }

    /// An upsert as Levi sends it.
    pub(super) fn upsert(upsert: Upsert) -> Self {
        let Upsert { table, columns, body } = upsert;
        let conflict = table.conflict_columns();
        Self::post(format!("/rest/v1/{}?on_conflict={conflict}&columns={columns}", table.name()), body)
            .prefer(PREFER)
    }

    /// The same rows as a plain INSERT: a row whose key is taken is an error.
    pub(super) fn insert(rows: Upsert) -> Self {
        let Upsert { table, columns, body } = rows;
        Self::post(format!("/rest/v1/{}?columns={columns}", table.name()), body).prefer("return=minimal")
    }

    /// An upsert with another query string.
    pub(super) fn upsert_with(table: &str, query: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::post(format!("/rest/v1/{table}?{query}"), body).prefer(PREFER)
    }

    /// A select as Levi sends it.
    pub(super) fn select(select: &Select) -> Self {
        Self::new("GET", format!("/rest/v1/{}?{}", select.table.name(), select.query))
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(super) fn prefer(self, prefer: &str) -> Self {
        self.header("Prefer", prefer)
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(super) fn no_token(mut self) -> Self {
        self.token = None;
        self
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.key = Key::Other(key.to_owned());
        self
    }

    pub(super) fn no_key(mut self) -> Self {
        self.key = Key::Missing;
        self
    }
}

/// A complete answer.
pub(super) struct Reply {
    pub(super) status: u16,
    retry_after: Option<String>,
    content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn result(&self) -> Result<(), ApiError> {
        let head = ResponseHead {
            retry_after: self.retry_after.as_deref(),
            content_type: self.content_type.as_deref(),
            ..ResponseHead::default()
        };
        classify(self.status, head, &self.body)
    }

    /// The server's error message, shortened. Empty if it accepted the request.
    pub(super) fn detail(&self) -> String {
        self.result().err().map(|error| error.detail).unwrap_or_default()
    }

    /// The body, or `null` if it is not JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The rows of a select, or none if the body is not an array.
    pub(super) fn rows(&self) -> Vec<Value> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// This answer as the reason why a preparation failed.
    pub(super) fn preparation(&self, what: &str) -> ContractError {
        ContractError::Preparation { what: what.to_owned(), status: self.status, detail: self.detail() }
    }
}

/// Plain HTTP to one project, without retries.
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
    publishable_key: String,
}

impl Client {
    pub(super) fn new(url: &str, publishable_key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { agent: config.into(), url: url.to_owned(), publishable_key: publishable_key.to_owned() }
    }

    pub(super) fn send(&self, call: Call) -> Result<Reply, ContractError> {
        let name = format!("{} {}", call.method, call.path.split('?').next().unwrap_or_default());
        self.exchange(call)
            .map_err(|error| ContractError::NoAnswer { request: name, source: Box::new(error) })
    }

    fn exchange(&self, call: Call) -> Result<Reply, ureq::Error> {
        let mut request =
            http::Request::builder().method(call.method).uri(format!("{}{}", self.url, call.path));
        match &call.key {
            Key::Publishable => request = request.header("apikey", &self.publishable_key),
            Key::Other(key) => request = request.header("apikey", key),
            Key::Missing => {}
        }
        if let Some(token) = &call.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let response = match call.body {
            Some(body) => self.agent.run(request.header("Content-Type", "application/json").body(body)?)?,
            None => self.agent.run(request.body(())?)?,
        };
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (retry_after, content_type) = (header("retry-after"), header("content-type"));
        let status = response.status().as_u16();
        let body = response.into_body().with_config().limit(64 << 20).read_to_vec()?;
        Ok(Reply { status, retry_after, content_type, body })
    }
}
