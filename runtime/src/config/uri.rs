//! The URIs that name event sources and sinks.

use percent_encoding::percent_decode_str;

/// A URI taken apart: scheme, path and parameters, percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) scheme: String,
    pub(super) path: String,
    pub(super) parameters: Vec<(String, String)>,
}

/// A text that is no URI of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// There is no scheme.
    #[error("{uri:?} has no scheme; expected one of {known}")]
    NoScheme {
        /// The text.
        uri: String,
        /// The schemes there are.
        known: &'static str,
    },
    /// The scheme is not known here.
    #[error("unknown scheme {scheme:?} in {uri:?}; expected one of {known}")]
    UnknownScheme {
        /// The text.
        uri: String,
        /// Its scheme.
        scheme: String,
        /// The schemes there are.
        known: &'static str,
    },
    /// A parameter is not `NAME=VALUE`.
    #[error("parameter {parameter:?} in {uri:?} is not NAME=VALUE")]
    Parameter {
        /// The text.
        uri: String,
        /// The parameter.
        parameter: String,
    },
    /// What a percent sequence stands for is not UTF-8.
    #[error("{uri:?} does not decode to UTF-8")]
    Utf8 {
        /// The text.
        uri: String,
    },
    /// A path is missing, or there is one where none belongs.
    #[error("{uri:?}: {problem}")]
    Path {
        /// The text.
        uri: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Uri {
    /// Takes `SCHEME:PATH?NAME=VALUE&…` apart. ADR 29 writes `file://state` for a relative path, so two slashes behind the colon are
    /// passed over: `file:state`, `file://state` and `file://./state` are the same, `file:///state` is absolute.
    pub(super) fn parse(text: &str, known: &'static str) -> Result<Self, UriError> {
        let uri = || text.to_owned();
        let (scheme, rest) = text.split_once(':').ok_or_else(|| UriError::NoScheme { uri: uri(), known })?;
        if !known.split(", ").any(|name| name.strip_suffix(':') == Some(scheme)) {
            return Err(UriError::UnknownScheme { uri: uri(), scheme: scheme.to_owned(), known });
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let decode = |part: &str| match percent_decode_str(part).decode_utf8() {
            Ok(decoded) => Ok(decoded.into_owned()),
            Err(_) => Err(UriError::Utf8 { uri: uri() }),
        };
        let mut parameters = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let wrong = || UriError::Parameter { uri: uri(), parameter: parameter.to_owned() };
            let (name, value) = parameter.split_once('=').ok_or_else(wrong)?;
            parameters.push((decode(name)?, decode(value)?));
        }
        let path = decode(path.strip_prefix("//").unwrap_or(path))?;
        Ok(Self { scheme: scheme.to_owned(), path, parameters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        Uri::parse(text, "file:, wasm:").unwrap().path
    }

    #[test]
    fn two_slashes_do_not_make_a_path_absolute() {
        assert_eq!(path("file://state"), "state");
        assert_eq!(path("file:state"), "state");
        assert_eq!(path("file:///var/lib/hydra/state"), "/var/lib/hydra/state");
        assert_eq!(path("file:/var/state"), "/var/state");
        assert_eq!(path("wasm:path/to.wasm"), "path/to.wasm");
        assert_eq!(path("file://a%20b%3Fc"), "a b?c");
    }

    #[test]
    fn parameters_are_decoded_and_keep_their_order() {
        let uri = Uri::parse("wasm:x?name=a%26b&config.x=1=2&empty=", "wasm:").unwrap();
        let expected = [("name", "a&b"), ("config.x", "1=2"), ("empty", "")];
        assert_eq!(uri.parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn errors_name_what_is_wrong_and_what_is_known() {
        let error = |text| Uri::parse(text, "file:, wasm:").unwrap_err().to_string();
        assert!(error("state").contains("file:, wasm:"));
        assert!(error("http://x").contains("unknown scheme \"http\"") && error("http://x").contains("file:, wasm:"));
        assert!(error("file:x?once").contains("\"once\""));
        assert!(error("file:%ff").contains("UTF-8"));
    }
}
