//! Where the server is, as its URL says: parsed and checked at once, and shown without its password ever after.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::error::Error;

const DEFAULT_PORT: u16 = 6_379;
const ACCEPTED: &str = "accepted are redis://[user:password@]host[:port][/db], the same with rediss:// for TLS, and \
                        redis+unix://[user:password@]/path/to/socket[?db=N]; a right example: \"redis://localhost:6379/0\"";

/// A checked URL.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) place: Place,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u8,
    /// The URL as people may see it.
    shown: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl Endpoint {
    /// # Errors
    /// `ConfigError` without the password.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let fault = |what: &str| Error::config(format!("url={:?} {what}; {ACCEPTED}", redact(url)));
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis") => Self::parse_tcp(url, false),
            Some("rediss") => Self::parse_tcp(url, true),
            Some("redis+unix") => Self::parse_unix(url),
            Some(_) => Err("has another scheme"),
            None => Err("is no URL"),
        }
        .map_err(fault)
    }

    fn parse_tcp(url: &str, tls: bool) -> Result<Self, &'static str> {
        let parsed = Url::parse(url).map_err(|_| "does not parse (a password's : / ? # @ must be %-encoded)")?;
        let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?.to_owned();
        let port = parsed.port().unwrap_or(DEFAULT_PORT);
        let path = parsed.path().trim_start_matches('/');
        let from_path = if path.is_empty() { None } else { Some(database(path)?) };
        let from_query = database_of_query(parsed.query(), parsed.fragment())?;
        Ok(Self {
            place: Place::Tcp { host, port, tls },
            username: text(parsed.username())?,
            password: text(parsed.password().unwrap_or_default())?,
            database: from_path.or(from_query).unwrap_or(0),
            shown: redact(url),
        })
    }

    /// By hand: the `url` crate takes no credentials where there is no host.
    fn parse_unix(url: &str) -> Result<Self, &'static str> {
        let rest = &url["redis+unix://".len()..];
        let (rest, fragment) = split(rest, '#');
        let (rest, query) = split(rest, '?');
        let (credentials, path) = match rest.rsplit_once('@') {
            Some((credentials, path)) => (credentials, path),
            None => ("", rest),
        };
        if !path.starts_with('/') || path.len() < 2 {
            return Err("names no absolute path");
        }
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        Ok(Self {
            place: Place::Unix(decode(path)?.into()),
            username: text(username)?,
            password: text(password)?,
            database: database_of_query(query, fragment)?.unwrap_or(0),
            shown: redact(url),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.shown)
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn database(digits: &str) -> Result<u8, &'static str> {
    digits.parse().map_err(|_| "has a database that is no number from 0 to 255")
}

fn database_of_query(query: Option<&str>, fragment: Option<&str>) -> Result<Option<u8>, &'static str> {
    if fragment.is_some() {
        return Err("has a # part (a password's # must be %23)");
    }
    match query.filter(|query| !query.is_empty()) {
        None => Ok(None),
        Some(query) => match query.strip_prefix("db=") {
            Some(digits) => database(digits).map(Some),
            None => Err("has a query other than ?db=N"),
        },
    }
}

/// A part of the URL as text; none when empty.
fn text(part: &str) -> Result<Option<String>, &'static str> {
    Ok(if part.is_empty() { None } else { Some(decode(part)?) })
}

/// Takes the %-encoding away.
fn decode(part: &str) -> Result<String, &'static str> {
    const FAULT: &str = "has a % that is no escape (%XX)";
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or(FAULT)?;
            let digits = std::str::from_utf8(digits).map_err(|_| FAULT)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| FAULT)?);
            rest = &rest[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 once its %XX are decoded")
}

/// The URL as people may see it: without user, password and query, and where that cannot be told apart, without more.
///
/// ```
/// use tidegate::store::redis::redact;
/// assert_eq!(redact("redis://app:s3cret@cache:6379/0"), "redis://***@cache:6379/0");
/// assert_eq!(redact("redis://:s3cret"), "redis://***");
/// ```
pub fn redact(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest))
            if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'-') =>
        {
            (scheme, rest)
        }
        _ => return "***".into(),
    };
    // A password may hold a raw @ or /: whatever stands before the last @ is hidden.
    let (hidden, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (place, query) = split(rest, '?');
    let authority = place.split(['/', '#']).next().unwrap_or_default();
    let is_plain = if scheme == "redis+unix" {
        place.starts_with('/')
    } else {
        Url::parse(&format!("redis://{authority}")).is_ok_and(|parsed| parsed.host_str().is_some())
    };
    if place.contains('#') || !is_plain {
        return format!("{scheme}://***");
    }
    let query = match query {
        Some(query) if database_of_query(Some(query), None).is_ok() => format!("?{query}"),
        Some(_) => "?***".into(),
        None => String::new(),
    };
    format!("{scheme}://{hidden}{place}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let parsed = Endpoint::parse("rediss://app:p%40ss@cache.example:7000/3").expect("right");
        assert_eq!(parsed.place, Place::Tcp { host: "cache.example".into(), port: 7000, tls: true });
        assert_eq!((parsed.username.as_deref(), parsed.password.as_deref()), (Some("app"), Some("p@ss")));
        assert_eq!(parsed.database, 3);
        let parsed = Endpoint::parse("redis+unix://:pw@/run/redis.sock?db=2").expect("right");
        assert_eq!(parsed.place, Place::Unix("/run/redis.sock".into()));
        assert_eq!((parsed.username, parsed.password.as_deref(), parsed.database), (None, Some("pw"), 2));
        let parsed = Endpoint::parse("redis://[::1]").expect("right");
        assert_eq!(parsed.place, Place::Tcp { host: "[::1]".into(), port: DEFAULT_PORT, tls: false });
    }

    #[test]
    fn a_wrong_url_is_named_with_an_example_and_without_its_password() {
        for url in [
            "redis:/s3cret",
            "s3cret@host",
            "http://u:s3cret@host",
            "redis://u:s3cret@host:port",
            "redis://:s3cret",
            "redis://u:s3/cret@host",
            "redis://u:s3#cret@host",
            "redis://host/zero?password=s3cret",
            "redis://host/300",
            "redis://host#s3cret",
            "redis://",
            "redis://u:s3cret@host/%zz",
            "redis+unix://s3cret",
            "redis+unix://u:s3cret@relative",
            "redis+unix:///path?db=s3cret",
            "redis-cluster://u:s3cret@host",
            "",
        ] {
            let error = Endpoint::parse(url).expect_err(url);
            assert_eq!(error.code(), "ERR_TIDEGATE_CONFIG");
            assert!(error.message().starts_with("url=") && error.message().contains("a right example"), "{error}");
            assert!(!error.message().contains("s3cret") && !error.message().contains("cret@"), "{error}");
        }
        let right = Endpoint::parse("redis://u:s3cret@host").expect("right");
        assert!(!format!("{right:?} {right}").contains("s3cret"));
    }
}
