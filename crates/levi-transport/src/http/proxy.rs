//! The proxy that the environment names. A variable that is set is used, or refused with its name.

use ureq::Proxy;
use ureq::http::Uri;

use super::address::{self, Address};
use super::options::HttpConfigError;

/// In the order in which they apply to an address, each in both spellings.
const FOR_HTTPS: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
const FOR_HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The proxy for `address`, if the environment names one and `NO_PROXY` does not exclude the
/// address.
pub(super) fn from_environment(address: &Address) -> Result<Option<Proxy>, HttpConfigError> {
    let names = if address.is_encrypted() { &FOR_HTTPS[..] } else { &FOR_HTTP[..] };
    let set = names.iter().find_map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some((*name, value))
    });
    let Some((variable, value)) = set else { return Ok(None) };
    let proxy = value.to_str().and_then(parse).ok_or(HttpConfigError::Proxy { variable })?;
    // ureq reads NO_PROXY only together with a proxy of the environment.
    let excluded = Proxy::try_from_env().is_some_and(|proxy| proxy.is_no_proxy(address.uri()));
    Ok(Some(proxy).filter(|_| !excluded))
}

/// ureq takes a port that is none for the default one.
fn parse(value: &str) -> Option<Proxy> {
    let value = value.trim();
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let uri: Uri = with_scheme.parse().ok()?;
    address::check_authority(uri.authority()?).ok()?;
    Proxy::new(&with_scheme).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_proxy_is_refused() {
        for proxy in
            ["http://proxy:3128", "proxy:3128", "socks5://user:word@10.0.0.1", "https://p", "socks5h://p:9"]
        {
            assert!(parse(proxy).is_some(), "{proxy}");
        }
        for proxy in
            ["http://", "ftp://proxy", "http://proxy:99999", "http://:3128", "http://a b", "proxy:port"]
        {
            assert!(parse(proxy).is_none(), "{proxy}");
        }
    }
}
