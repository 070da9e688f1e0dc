use std::io;
use std::sync::Arc;

use levi_types::AccessToken;
use ureq::config::Config;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use ureq::{Agent, ProxyProtocol};
use zeroize::Zeroizing;

use super::address::Address;
use super::agents::{Agents, CancelOnDrop};
use super::failure::{self, Phase};
use super::headers::{self, sensitive};
use super::options::{HttpConfigError, HttpOptions, ProxyUse, Timeouts};
use super::pace::{LONGEST, Pace};
use super::{proxy, tls};
use crate::api_error::{ApiError, Verdict};
use crate::classify::{ResponseHead, classify};

const BEARER: &str = "Bearer ";
const USER_AGENT: &str = concat!("levi/", env!("CARGO_PKG_VERSION"));

/// Shorter than any key or token, in bytes: redacting such text would only make messages
/// unreadable.
const SHORTEST_SECRET: usize = 8;

/// One project's address, key and connections. Clones share them.
#[derive(Clone)]
pub(super) struct Exchange(Arc<Shared>);

struct Shared {
    agents: Agents,
    base: String,
    key: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeouts: Timeouts,
    max_response_bytes: u64,
}

/// A request, relative to the project's address.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) bearer: Option<Bearer>,
    pub(super) prefer: Option<&'static str>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// The media type of the response.
    pub(super) accept: &'static str,
}

/// What PostgREST and the sign-in server answer with.
pub(super) const JSON: &str = "application/json";

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
        options.check_limits()?;
        let address = Address::parse(&options.api_url, options.plain_http)?;
        let proxy = match options.proxy {
            ProxyUse::Environment if !address.loopback => proxy::from_environment(&address)?,
            _ => None,
        };
        let roots = options.more_roots.as_deref().map(tls::certificates).transpose()?.unwrap_or_default();
        let through_tls = proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
        // Reading the system's certificates takes a while, and a connection without TLS needs none.
        let tls = (address.is_encrypted() || through_tls).then(|| tls::config(roots)).transpose()?;
        let shared = Shared {
            key: key(&options.publishable_key)?,
            headers: headers::parse(options)?,
            agents: Agents::new(config(options, proxy), tls, options.max_idle_connections),
            base: address.base,
            timeouts: options.timeouts,
            max_response_bytes: options.max_response_bytes,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The token as a header, or the error for a token that no server would take.
    ///
    /// The publishable key is refused as a token, because the server would handle the request as
    /// anonymous.
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

    /// The address and the head of a request for another protocol.
    #[cfg(feature = "upgrade")]
    pub(super) fn upgrade_head(&self, path: &str, headers: &[(&str, &str)]) -> (String, Zeroizing<Vec<u8>>) {
        let shared = &*self.0;
        let after_scheme = shared.base.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, prefix) = after_scheme.split_at(after_scheme.find('/').unwrap_or(after_scheme.len()));
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut head = format!("GET {prefix}{path}{joint}apikey=").into_bytes();
        for byte in shared.key.as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                head.push(*byte);
            } else {
                head.extend(format!("%{byte:02X}").into_bytes());
            }
        }
        head.extend(format!(" HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\n").into_bytes());
        let own = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let given = shared.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        for (name, value) in given.chain(own) {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        let without_query = path.split('?').next().unwrap_or_default();
        (format!("{}{without_query}", shared.base), Zeroizing::new(head))
    }

    /// An agent with the settings of every request, whose connections are passed to `keep`.
    #[cfg(feature = "upgrade")]
    pub(super) fn agent_that_keeps(&self, keep: super::keep_connection::KeepConnection) -> Agent {
        self.0.agents.agent_with(ureq::unversioned::resolver::DefaultResolver::default(), keep)
    }

    #[cfg(feature = "upgrade")]
    pub(super) fn response_timeout(&self) -> std::time::Duration {
        self.0.timeouts.response.min(LONGEST)
    }

    pub(super) fn close_idle(&self) {
        self.0.agents.close_idle();
    }

    /// Sends `call` on a thread of its own and waits for the whole response. If the future is
    /// dropped, the connection is closed, and the thread ends.
    pub(super) async fn run(&self, call: Call) -> Result<Response, ApiError> {
        let no_thread =
            |error: io::Error| failure::unsent("no_thread", &format!("a request needs a thread: {error}"));
        let thread = self.0.agents.take().map_err(no_thread)?;
        let mut cancel = CancelOnDrop::of(&thread);
        let exchange = self.clone();
        let ended = thread.run(move |agent| exchange.run_blocking(agent, call)).await;
        cancel.disarm();
        let outcome = ended.map_err(no_thread)?;
        self.0.agents.put_back(thread);
        outcome
    }

    fn run_blocking(&self, agent: &Agent, call: Call) -> Result<Response, ApiError> {
        let shared = &*self.0;
        let request = Request::builder().method(call.method).uri(format!("{}{}", shared.base, call.path));
        let mut request =
            request.body(()).map_err(|error| failure::unsent("bad_request", &error.to_string()))?;
        let headers = request.headers_mut();
        headers.extend(shared.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(HeaderName::from_static("apikey"), shared.key.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(call.accept));
        if let Some(prefer) = call.prefer {
            headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static(prefer));
        }
        let bearer = call.bearer.map(|Bearer(value)| value);
        if let Some(value) = &bearer {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let pace = Pace::new(shared.timeouts, call.body.as_ref().map_or(0, |body| body.len()));
        let outcome = match &call.body {
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
                agent.run(pace.apply(agent.configure_request(request.map(|()| body.as_slice()))))
            }
            None => agent.run(pace.apply(agent.configure_request(request))),
        };
        let response = outcome.map_err(|error| failure::no_response(&error, Phase::Request))?;
        self.read(response, pace, bearer.as_ref())
    }

    fn read(
        &self,
        response: ureq::http::Response<ureq::Body>,
        pace: Pace,
        bearer: Option<&HeaderValue>,
    ) -> Result<Response, ApiError> {
        let shared = &*self.0;
        let (head, received) = response.into_parts();
        let mut body = Zeroizing::new(Vec::new());
        let length = received.content_length();
        let reader = received.into_with_config().limit(shared.max_response_bytes).reader();
        pace.read_to_end(reader, length, &mut body)
            .map_err(|error| failure::no_response(&error, Phase::Body))?;
        let rows = head.status.is_success() && body.trim_ascii_start().first() == Some(&b'[');
        if !rows {
            // Error texts are logged, and a proxy may echo the request in its page.
            let token = bearer.and_then(|value| value.as_bytes().strip_prefix(BEARER.as_bytes()));
            let headers = shared.headers.iter().map(|(_, value)| value.as_bytes());
            for secret in headers.chain([shared.key.as_bytes()]).chain(token) {
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

fn config(options: &HttpOptions, proxy: Option<ureq::Proxy>) -> Config {
    let connect = options.timeouts.connect.min(LONGEST);
    Agent::config_builder()
        .http_status_as_error(false)
        // A followed redirect would send the user's token to another server.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        // Each agent has one request at a time.
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .proxy(proxy)
        .user_agent(USER_AGENT)
        .build()
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
