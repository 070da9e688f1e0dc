use std::fmt;
use std::time::Duration;

/// How to reach a project. `new` sets the defaults; change what differs.
///
/// ```
/// use levi_transport::HttpOptions;
///
/// let mut options = HttpOptions::new("https://abcd.supabase.co", "sb_publishable_xyz");
/// options.max_idle_connections = 16;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// The project's address, such as `https://abcd.supabase.co`: no `/rest/v1`, no query.
    pub api_url: String,
    /// The publishable key (`sb_publishable_...`), or the older anon key. Sent as `apikey`, never
    /// as `Bearer`.
    pub publishable_key: String,
    /// How long to wait for each step of a request.
    pub timeouts: Timeouts,
    /// Connections kept open between requests. At least the number of requests in flight. Default
    /// 8.
    pub max_idle_connections: usize,
    /// A longer response body is not read and ends in
    /// [`Verdict::ResponseTooLarge`](crate::Verdict). Default 8 MiB.
    pub max_response_bytes: u64,
    /// Whether tokens may be sent unencrypted. Default: to this machine only.
    pub plain_http: PlainHttp,
    /// Whether proxies are used. Default: those named in the environment.
    pub proxy: ProxyUse,
    /// Certificates that are trusted besides the operating system's, in PEM: a company's own
    /// authority, or that of a self-hosted project. Default: none.
    pub more_roots: Option<Vec<u8>>,
    /// Headers that every request carries besides Levi's own, such as a gateway's key: name and
    /// value. Default: none.
    pub headers: Vec<(String, String)>,
}

impl HttpOptions {
    /// The defaults, for this project.
    pub fn new(api_url: impl Into<String>, publishable_key: impl Into<String>) -> Self {
        Self {
            api_url: api_url.into(),
            publishable_key: publishable_key.into(),
            timeouts: Timeouts::default(),
            max_idle_connections: 8,
            max_response_bytes: 8 * 1024 * 1024,
            plain_http: PlainHttp::LoopbackOnly,
            proxy: ProxyUse::Environment,
            more_roots: None,
            headers: Vec::new(),
        }
    }
}

impl HttpOptions {
    /// Refuses limits under which every request would fail.
    pub(super) fn check_limits(&self) -> Result<(), HttpConfigError> {
        let Timeouts { connect, response, stall } = self.timeouts;
        let zero = [
            ("timeouts.connect", connect.is_zero()),
            ("timeouts.response", response.is_zero()),
            ("timeouts.stall", stall.is_zero()),
            ("max_response_bytes", self.max_response_bytes == 0),
        ];
        match zero.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((setting, _)) => Err(HttpConfigError::Zero { setting }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Omits the key, the values of the headers, and the address, which may contain a password
        // by mistake.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpOptions")
            .field("timeouts", &self.timeouts)
            .field("max_idle_connections", &self.max_idle_connections)
            .field("max_response_bytes", &self.max_response_bytes)
            .field("plain_http", &self.plain_http)
            .field("proxy", &self.proxy)
            .field("more_roots", &self.more_roots.is_some())
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// How long to wait for each step of a request. The whole request has no limit: it may take as long
/// as it makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For name resolution, and again for the connection with its TLS handshake. Default 5 s.
    pub connect: Duration,
    /// From the end of the request to the end of the response's head. Default 15 s, more than the 8
    /// s that hosted projects give a statement. A large request has more, because its last bytes
    /// may still be under way: 1 s for every 16 KiB, at most 32 s.
    pub response: Duration,
    /// How long no byte may move while the request is written or the response's body is read.
    /// Default 15 s. A transfer that stays below 2 KiB a second after that counts as stopped, too.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(15),
            stall: Duration::from_secs(15),
        }
    }
}

/// Whether tokens may be sent unencrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainHttp {
    /// To this machine only: `localhost`, `127.0.0.0/8`, `::1`.
    #[default]
    LoopbackOnly,
    /// Anywhere. For a network that is private by other means.
    Anywhere,
}

/// Whether proxies are used. They are never used for this machine's own addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyUse {
    /// For `https` the first of `HTTPS_PROXY`, `ALL_PROXY` and `HTTP_PROXY` that is set, for `http`
    /// the first of `HTTP_PROXY` and `ALL_PROXY`, each in capitals or not, with the exceptions of
    /// `NO_PROXY`. A proxy is `http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or
    /// `socks5h://`; anything else is refused.
    #[default]
    Environment,
    /// None.
    Direct,
}

/// Why [`HttpOptions`] cannot be used. Contains neither the key nor the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpConfigError {
    /// Not an absolute `https` or `http` address.
    #[error("api_url (--url) is not a web address; give the project's, such as https://abcd.supabase.co")]
    NotAnAddress,
    /// `http` to another machine.
    #[error(
        "api_url (--url) is plain http to another machine, where anybody on the network could read the user's token; use https"
    )]
    PlainHttp,
    /// A user name or password before the host.
    #[error("api_url (--url) holds a user name or password; leave it out")]
    Credentials,
    /// A query after the path.
    #[error("api_url (--url) holds a query; leave out everything from the question mark on")]
    Query,
    /// A fragment after the path.
    #[error("api_url (--url) holds a fragment; leave out everything from the # on")]
    Fragment,
    /// `https://https://...`.
    #[error("api_url (--url) begins with https:// twice; give it once")]
    TwoSchemes,
    /// No host, or one that cannot be a name or an IP address.
    #[error(
        "api_url (--url) names no host, or one that cannot exist; give the project's, such as https://abcd.supabase.co"
    )]
    Host,
    /// A port that is not a number from 1 to 65535.
    #[error(
        "api_url (--url) holds a port that is not a number from 1 to 65535; leave it out, or give the right one"
    )]
    Port,
    /// The address of one API instead of the project's.
    #[error("api_url (--url) is the address of one API; leave out /rest/v1 and /auth/v1")]
    ApiPath,
    /// Empty, or with characters that keys do not have.
    #[error(
        "the publishable key is empty or holds characters that keys do not have; copy it from the project's API settings"
    )]
    BadKey,
    /// A key that bypasses row level security.
    #[error(
        "this is a secret key, which must never be on a user's device; use the publishable key (sb_publishable_...)"
    )]
    SecretKey,
    /// The environment names a proxy that cannot be used.
    #[error(
        "{variable} is not a proxy's address; give one such as http://proxy:3128 or socks5://proxy:1080, or unset it"
    )]
    Proxy {
        /// The variable's name.
        variable: &'static str,
    },
    /// `more_roots` holds no certificate, or a malformed one.
    #[error(
        "more_roots (--ca-file) holds no certificate in PEM, or a malformed one; give the authority's own certificate"
    )]
    BadRoots,
    /// The operating system has no certificates, so no server could be trusted.
    #[error(
        "this system has no certificates to trust a server by; install them (such as the package ca-certificates), or give more_roots (--ca-file)"
    )]
    NoRoots,
    /// A limit under which every request would fail.
    #[error("{setting} is zero, so that no request could succeed; leave it at its default, or give more")]
    Zero {
        /// The setting's name.
        setting: &'static str,
    },
    /// A header's name or value cannot be sent.
    #[error(
        "a header of headers (--header) has a name or a value that cannot be sent; write it as Name: value"
    )]
    BadHeader,
    /// A header that Levi or the protocol sets.
    #[error("{name} cannot be among headers (--header), because Levi sets it itself")]
    ReservedHeader {
        /// The header's name.
        name: &'static str,
    },
}
