use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::ServerName;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};

use super::options::{HttpConfigError, PlainHttp};

/// A checked project address.
#[derive(Debug)]
pub(super) struct Address {
    /// Without a slash at the end.
    pub(super) base: String,
    /// Whether it is an address of this machine.
    pub(super) loopback: bool,
    uri: Uri,
    scheme: Scheme,
}

impl Address {
    pub(super) fn parse(api_url: &str, plain_http: PlainHttp) -> Result<Self, HttpConfigError> {
        let text = api_url.trim();
        // The parser drops a fragment.
        if text.contains('#') {
            return Err(HttpConfigError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| unparsed(text))?;
        let (Some(scheme), Some(authority)) = (uri.scheme().cloned(), uri.authority()) else {
            return Err(HttpConfigError::NotAnAddress);
        };
        if ![Scheme::HTTPS, Scheme::HTTP].contains(&scheme) {
            return Err(HttpConfigError::NotAnAddress);
        }
        if is_scheme(authority.host()) && uri.path().starts_with("//") {
            return Err(HttpConfigError::TwoSchemes);
        }
        if authority.as_str().contains('@') {
            return Err(HttpConfigError::Credentials);
        }
        if uri.query().is_some() {
            return Err(HttpConfigError::Query);
        }
        check_authority(authority)?;
        let path = uri.path().trim_end_matches('/');
        if path.ends_with("/rest/v1") || path.ends_with("/auth/v1") {
            return Err(HttpConfigError::ApiPath);
        }
        let loopback = is_loopback(authority.host());
        if scheme == Scheme::HTTP && !loopback && plain_http == PlainHttp::LoopbackOnly {
            return Err(HttpConfigError::PlainHttp);
        }
        Ok(Self { base: format!("{scheme}://{authority}{path}"), loopback, uri, scheme })
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

/// Checks the host, and the port if there is one. The parser of the `http` crate takes any text for
/// a port.
pub(super) fn check_authority(authority: &Authority) -> Result<(), HttpConfigError> {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => ServerName::try_from(host).is_ok(),
    };
    if !is_host {
        return Err(HttpConfigError::Host);
    }
    let after_user = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, rest)| rest);
    match after_user.strip_prefix(host) {
        Some("") => Ok(()),
        Some(port) => is_port(port).then_some(()).ok_or(HttpConfigError::Port),
        None => Err(HttpConfigError::Host),
    }
}

fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port > 0)
}

fn is_scheme(host: &str) -> bool {
    host.eq_ignore_ascii_case("https") || host.eq_ignore_ascii_case("http")
}

/// What is wrong with text that the parser refuses, as far as the text shows it.
fn unparsed(text: &str) -> HttpConfigError {
    let Some((scheme, rest)) = text.split_once("://") else { return HttpConfigError::NotAnAddress };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if !is_scheme(scheme) || authority.is_empty() {
        return HttpConfigError::NotAnAddress;
    }
    match authority.rsplit_once(':') {
        Some(("", _)) => HttpConfigError::Host,
        Some((host, _)) if !host.ends_with(']') && !host.contains(':') => HttpConfigError::Port,
        _ => HttpConfigError::NotAnAddress,
    }
}

fn is_loopback(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback());
    }
    match host.parse::<Ipv4Addr>() {
        Ok(ip) => IpAddr::V4(ip).is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        use HttpConfigError::*;
        let table = [
            ("https://abcd.supabase.co", Ok("https://abcd.supabase.co")),
            (" https://abcd.supabase.co/ ", Ok("https://abcd.supabase.co")),
            ("https://example.com:8443/supabase/", Ok("https://example.com:8443/supabase")),
            ("https://https/x", Ok("https://https/x")),
            ("http://localhost:54321", Ok("http://localhost:54321")),
            ("http://127.0.0.1:1", Ok("http://127.0.0.1:1")),
            ("http://127.9.9.9:1", Ok("http://127.9.9.9:1")),
            ("http://[::1]:54321", Ok("http://[::1]:54321")),
            ("http://abcd.supabase.co", Err(PlainHttp)),
            ("http://localhost.example.com", Err(PlainHttp)),
            ("http://127.0.0.1.example.com", Err(PlainHttp)),
            ("http://[::2]", Err(PlainHttp)),
            ("http://localhost@example.com", Err(Credentials)),
            ("https://user:password@example.com", Err(Credentials)),
            ("https://abcd.supabase.co/rest/v1/", Err(ApiPath)),
            ("https://abcd.supabase.co?apikey=k", Err(Query)),
            ("https://abcd.supabase.co/?", Err(Query)),
            ("https://abcd.supabase.co/#settings", Err(Fragment)),
            ("https://https://abcd.supabase.co", Err(TwoSchemes)),
            ("http://https://abcd.supabase.co", Err(TwoSchemes)),
            ("https://:443", Err(Host)),
            ("https://..", Err(Host)),
            ("https://a..b", Err(Host)),
            ("https://abcd.supabase.co:99999", Err(Port)),
            ("https://abcd.supabase.co:0", Err(Port)),
            ("https://abcd.supabase.co:", Err(Port)),
            ("https://abcd.supabase.co:https", Err(Port)),
            ("https://[::1]:99999", Err(Port)),
            ("abcd.supabase.co", Err(NotAnAddress)),
            ("ftp://abcd.supabase.co", Err(NotAnAddress)),
            ("https://", Err(NotAnAddress)),
            ("https://a b", Err(NotAnAddress)),
            ("/rest/v1", Err(NotAnAddress)),
            ("", Err(NotAnAddress)),
        ];
        for (url, expected) in table {
            let found = Address::parse(url, super::PlainHttp::LoopbackOnly).map(|address| address.base);
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{url}");
        }
        let anywhere = Address::parse("http://10.0.0.1", super::PlainHttp::Anywhere).unwrap();
        assert!(!anywhere.loopback);
    }
}
