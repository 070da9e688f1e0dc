use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;
use ureq::http::uri::Scheme;

use super::options::{HttpConfigError, PlainHttp};

/// A checked project address.
pub(super) struct Address {
    /// Without a slash at the end.
    pub(super) base: String,
    /// Whether it is an address of this machine.
    pub(super) loopback: bool,
}

impl Address {
    pub(super) fn parse(api_url: &str, plain_http: PlainHttp) -> Result<Self, HttpConfigError> {
        let uri: Uri = api_url.trim().parse().map_err(|_| HttpConfigError::NotAnAddress)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(HttpConfigError::NotAnAddress);
        };
        if authority.as_str().contains('@') {
            return Err(HttpConfigError::Credentials);
        }
        if uri.query().is_some() {
            return Err(HttpConfigError::Query);
        }
        let path = uri.path().trim_end_matches('/');
        if path.ends_with("/rest/v1") || path.ends_with("/auth/v1") {
            return Err(HttpConfigError::ApiPath);
        }
        let loopback = is_loopback(authority.host());
        let encrypted = *scheme == Scheme::HTTPS;
        if !encrypted && *scheme != Scheme::HTTP {
            return Err(HttpConfigError::NotAnAddress);
        }
        if !encrypted && !loopback && plain_http == PlainHttp::LoopbackOnly {
            return Err(HttpConfigError::PlainHttp);
        }
        Ok(Self { base: format!("{scheme}://{authority}{path}"), loopback })
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
