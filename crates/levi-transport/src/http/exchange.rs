use std::sync::Arc;

use levi_types::AccessToken;
use ureq::Agent;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use ureq::tls::TlsConfig;
use zeroize::Zeroizing;

use super::address::Address;
use super::failure::{self, Phase};
use super::options::{HttpConfigError, HttpOptions, ProxyUse};
use crate::api_error::{ApiError, Verdict};
use crate::classify::{ResponseHead, classify};

const BEARER: &str = "Bearer ";

/// Shorter than any key or token, in bytes: redacting such text would only make messages unreadable.
const SHORTEST_SECRET: usize = 8;

/// One project's address, key and connections. Clones share them.
#[derive(Clone)]
pub(super) struct Exchange(Arc<Shared>);

struct Shared {
    agent: Agent,
    base: String,
    key: HeaderValue,
    max_response_bytes: u64,
}

/// A request, relative to the project's address.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) bearer: Option<Bearer>,
    pub(super) prefer: Option<&'static str>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// A user's token as a header value.
pub(super) struct Bearer(HeaderValue);

/// A complete response.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
    retry_after: Option<String>,
    date: Option<String>,
    content_type: Option<String>,
}

impl Exchange {
    pub(super) fn new(options: &HttpOptions) -> Result<Self, HttpConfigError> {
        let address = Address::parse(&options.api_url, options.plain_http)?;
        let key = key(&options.publishable_key)?;
        let agent = agent(options, address.loopback);
        let max_response_bytes = options.max_response_bytes;
        Ok(Self(Arc::new(Shared { agent, base: address.base, key, max_response_bytes })))
    }

    /// The token as a header, or the error for a token that no server would take.
    ///
    /// The publishable key is refused as a token, because the server would handle the request as anonymous.
    pub(super) fn bearer(&self, token: &AccessToken) -> Result<Bearer, ApiError> {
        // Exposed to be sent as the Authorization header, which is what the token is for.
        let text = token.expose();
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        if text.is_empty() || !legal || text.as_bytes() == self.0.key.as_bytes() {
            let detail = "the access token is empty or not a user's token; sign in again";
            return Err(ApiError::new(Verdict::SignedOut, "bad_token", detail));
        }
        match sensitive(&Zeroizing::new(format!("{BEARER}{text}"))) {
            Some(value) => Ok(Bearer(value)),
            None => Err(failure::unsent("bad_token", "the access token cannot be sent")),
        }
    }

    /// Sends `call` on a thread of the blocking pool and waits for the whole response.
    pub(super) async fn run(&self, call: Call) -> Result<Response, ApiError> {
        let exchange = self.clone();
        match tokio::task::spawn_blocking(move || exchange.run_blocking(call)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(failure::unsent("cancelled", "the runtime is shutting down")),
        }
    }

    fn run_blocking(&self, call: Call) -> Result<Response, ApiError> {
        let shared = &*self.0;
        let request = Request::builder().method(call.method).uri(format!("{}{}", shared.base, call.path));
        let mut request =
            request.body(()).map_err(|error| failure::unsent("bad_request", &error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(HeaderName::from_static("apikey"), shared.key.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(prefer) = call.prefer {
            headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static(prefer));
        }
        let bearer = call.bearer.map(|Bearer(value)| value);
        if let Some(value) = &bearer {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let outcome = match &call.body {
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                shared.agent.run(request.map(|()| body.as_slice()))
            }
            None => shared.agent.run(request),
        };
        let response = outcome.map_err(|error| failure::no_response(&error, Phase::Request))?;
        self.read(response, bearer.as_ref())
    }

    fn read(
        &self,
        response: ureq::http::Response<ureq::Body>,
        bearer: Option<&HeaderValue>,
    ) -> Result<Response, ApiError> {
        let (head, body) = response.into_parts();
        let body = body
            .into_with_config()
            .limit(self.0.max_response_bytes)
            .read_to_vec()
            .map_err(|error| failure::no_response(&error, Phase::Body))?;
        let mut body = Zeroizing::new(body);
        let rows = head.status.is_success() && body.trim_ascii_start().first() == Some(&b'[');
        if !rows {
            // Error texts are logged, and a proxy may echo the request in its page.
            let token = bearer.and_then(|value| value.as_bytes().strip_prefix(BEARER.as_bytes()));
            for secret in [Some(self.0.key.as_bytes()), token].into_iter().flatten() {
                redact(&mut body, secret);
            }
        }
        Ok(Response {
            status: head.status.as_u16(),
            body,
            retry_after: text(&head.headers, &RETRY_AFTER),
            date: text(&head.headers, &DATE),
            content_type: text(&head.headers, &CONTENT_TYPE),
        })
    }
}

impl Response {
    /// What the response means if the request was an upsert.
    pub(super) fn classify(&self) -> Result<(), ApiError> {
        classify(self.status, self.head(), &self.body)
    }

    pub(super) fn head(&self) -> ResponseHead<'_> {
        ResponseHead {
            retry_after: self.retry_after.as_deref(),
            date: self.date.as_deref(),
            content_type: self.content_type.as_deref(),
        }
    }

    pub(super) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

fn agent(options: &HttpOptions, loopback: bool) -> Agent {
    let builder = Agent::config_builder()
        .http_status_as_error(false)
        // A followed redirect would send the user's token to another server.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(options.timeouts.connect))
        .timeout_connect(Some(options.timeouts.connect))
        .timeout_recv_response(Some(options.timeouts.response))
        .timeout_global(Some(options.timeouts.total))
        .max_idle_connections(options.max_idle_connections)
        .max_idle_connections_per_host(options.max_idle_connections)
        .tls_config(TlsConfig::default())
        .user_agent(concat!("levi/", env!("CARGO_PKG_VERSION")));
    let builder = match options.proxy {
        ProxyUse::Environment if !loopback => builder,
        _ => builder.proxy(None),
    };
    builder.build().new_agent()
}

fn key(publishable_key: &str) -> Result<HeaderValue, HttpConfigError> {
    let key = publishable_key.trim();
    if key.starts_with("sb_secret_") {
        return Err(HttpConfigError::SecretKey);
    }
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HttpConfigError::BadKey);
    }
    sensitive(key).ok_or(HttpConfigError::BadKey)
}

/// A header value whose `Debug` shows nothing.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Overwrites every occurrence of `secret` with asterisks, which keeps JSON well-formed.
pub(super) fn redact(body: &mut [u8], secret: &[u8]) {
    if secret.len() < SHORTEST_SECRET {
        return;
    }
    let mut from = 0;
    while let Some(at) = body[from..].windows(secret.len()).position(|window| window == secret) {
        body[from + at..from + at + secret.len()].fill(b'*');
        from += at + secret.len();
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
