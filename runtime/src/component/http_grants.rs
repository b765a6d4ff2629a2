//! Which HTTP requests an operator lets a component make.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::{Method, Uri};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;

/// What a component may ask for over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGrants {
    /// Where requests may go; one that none of them lets pass is refused.
    pub rules: Vec<HttpRule>,
    /// Ranges of addresses that a granted name may lead to although they are not of the public network.
    pub addresses: Vec<IpNet>,
}

impl HttpGrants {
    /// Whether a request may be made. Where its host's name leads to is another question.
    pub(super) fn allow(&self, method: &Method, uri: &Uri) -> bool {
        self.rules.iter().any(|rule| rule.allows(method, uri))
    }

    /// Whether an address is one that the operator named.
    pub(super) fn name(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|range| range.contains(&address))
    }
}

/// Requests that may be made: scheme, host and port are those of the rule, and methods and path if it has any.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRule {
    text: String,
    methods: Vec<Method>,
    is_https: bool,
    host: String,
    port: u16,
    path: PathRule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathRule {
    Any,
    Exactly(String),
    Below(String),
}

/// As `https://api.example.com:443/path/*`, with methods before it if not every one is granted: `GET|HEAD https://…`. The path ends in `*` or
/// is meant as it stands; without one, every path is.
impl FromStr for HttpRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (methods, url) = match text.split_once(' ') {
            Some((methods, url)) => (self::methods(methods)?, url.trim()),
            None => (Vec::new(), text),
        };
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("expected https:// or http:// and a host, not {url:?}")),
        };
        let host = uri.host().filter(|_| is_bare(&uri)).ok_or_else(|| format!("{url:?} is no URL of a host"))?;
        if uri.query().is_some() {
            return Err(format!("{url:?} has a query; a path is granted with whatever query"));
        }
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let path = url.split_once(authority).map(|(_, path)| path).unwrap_or_default();
        let (host, port) = (host.to_ascii_lowercase(), port_of(&uri));
        Ok(Self { text: text.to_owned(), methods, is_https, host, port, path: path_rule(path)? })
    }
}

impl HttpRule {
    fn allows(&self, method: &Method, uri: &Uri) -> bool {
        let scheme = if self.is_https { "https" } else { "http" };
        (self.methods.is_empty() || self.methods.contains(method))
            && uri.scheme_str() == Some(scheme)
            && is_bare(uri)
            && uri.host().is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
            && port_of(uri) == self.port
            && self.path.allows(uri.path())
    }
}

impl PathRule {
    fn allows(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exactly) => path == exactly,
            Self::Below(above) => path.starts_with(above) && stays_below(path),
        }
    }
}

fn methods(text: &str) -> Result<Vec<Method>, String> {
    let method = |name: &str| match Method::from_str(name) {
        Ok(method) if name.bytes().all(|byte| byte.is_ascii_uppercase()) => Ok(method),
        _ => Err(format!("{name:?} is no method; expected such as GET|POST before the URL")),
    };
    text.split('|').map(method).collect()
}

fn path_rule(path: &str) -> Result<PathRule, String> {
    let rule = match path.strip_suffix('*') {
        _ if path.is_empty() => return Ok(PathRule::Any),
        Some("/") => return Ok(PathRule::Any),
        Some(above) => PathRule::Below(above.to_owned()),
        None => PathRule::Exactly(path.to_owned()),
    };
    let (PathRule::Below(fixed) | PathRule::Exactly(fixed)) = &rule else { return Ok(rule) };
    match fixed.contains('*') || !stays_below(fixed) {
        true => Err(format!("a path has a * at its end at most, and no dots for segments; {path:?} has")),
        false => Ok(rule),
    }
}

/// Whether no segment of the path leads up again, for servers that take `..` for that however it is written.
fn stays_below(path: &str) -> bool {
    path.split('/').all(|segment| {
        let segment = percent_decode_str(segment).decode_utf8_lossy();
        !matches!(&*segment, "." | "..") && !segment.contains(['/', '\\'])
    })
}

/// Whether a URL has no name or password before its host.
fn is_bare(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
}

/// The port that a URL leads to.
pub(super) fn port_of(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    uri.port_u16().unwrap_or(default)
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, method: &str, uri: &str) -> bool {
        let rule: HttpRule = rule.parse().unwrap();
        rule.allows(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn scheme_host_port_path_and_method_must_all_be_those_granted() {
        let rule = "GET|POST https://api.example.com:443/v1/*";
        assert!(allows(rule, "GET", "https://api.example.com/v1/a?b=c"));
        assert!(allows(rule, "POST", "https://API.example.com:443/v1/"));
        for (method, uri) in [
            ("PUT", "https://api.example.com/v1/a"),
            ("GET", "http://api.example.com:443/v1/a"),
            ("GET", "https://api.example.com:444/v1/a"),
            ("GET", "https://api.example.com.evil.org/v1/a"),
            ("GET", "https://evil.org/api.example.com/v1/a"),
            ("GET", "https://api.example.com@evil.org/v1/a"),
            ("GET", "https://user@api.example.com/v1/a"),
            ("GET", "https://api.example.com/v2/a"),
            ("GET", "https://api.example.com/v1"),
            ("GET", "https://api.example.com/v1/../v2"),
            ("GET", "https://api.example.com/v1/%2e%2E/v2"),
            ("GET", "https://api.example.com/v1/..%2fv2"),
            ("GET", "https://api.example.com/v1/..%5Cv2"),
        ] {
            assert!(!allows(rule, method, uri), "{method} {uri}");
        }
    }

    #[test]
    fn a_path_without_a_star_is_meant_as_it_stands_and_none_is_any() {
        assert!(allows("http://a/x", "GET", "http://a/x?y"));
        assert!(!allows("http://a/x", "GET", "http://a/x/y"));
        assert!(!allows("http://a/", "GET", "http://a/x"));
        for any in ["http://a", "http://a:80", "http://a/*"] {
            assert!(allows(any, "DELETE", "http://a/x/../y"), "{any}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "",
            "api.example.com",
            "ftp://a/",
            "https://",
            "https://u:p@a/",
            "https://a/*/b",
            "https://a/../b*",
            "https://a/b?c",
            "get https://a/",
            "GET, https://a/",
        ] {
            assert!(wrong.parse::<HttpRule>().is_err(), "{wrong}");
        }
    }
}
