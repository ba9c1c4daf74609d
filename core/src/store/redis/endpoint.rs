//! Where the servers are, as the URL says: parsed and checked at once, and shown without its secrets ever after.

use std::fmt;
use std::path::PathBuf;

use url::{ParseError, Url};

use crate::error::Error;

const DEFAULT_PORT: u16 = 6_379;
const DEFAULT_SENTINEL_PORT: u16 = 26_379;
const ACCEPTED: &str = "accepted are redis://[user:password@]host[:port][/db], \
                        redis+unix://[user:password@]/path/to/socket[?db=N], \
                        redis-sentinel://[user:password@]host[:port],…/master[?db=N] and \
                        redis-cluster://[user:password@]host[:port],…, each but the socket with TLS as rediss…; a right \
                        example: \"redis://localhost:6379/0\"";
/// Servers that a URL may list.
const SEEDS_MAX: usize = 100;

/// A checked URL.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) place: Place,
    pub(super) tls: bool,
    pub(super) credentials: Credentials,
    pub(super) database: u8,
    /// The URL as people may see it.
    shown: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(ServerAddress),
    Unix(PathBuf),
    /// The master of this name, by the word of the Sentinels.
    Sentinel {
        seeds: Vec<ServerAddress>,
        master: String,
        credentials: Credentials,
    },
    /// The primaries of a Cluster, some of whose nodes these are.
    Cluster {
        seeds: Vec<ServerAddress>,
    },
}

/// Host and port of a server. An IPv6 host stands in brackets, as in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerAddress {
    pub(super) host: String,
    pub(super) port: u16,
}

impl ServerAddress {
    /// As a server names another one: an IPv6 address without brackets.
    pub(super) fn told(host: &str, port: u16) -> Self {
        // Shown to people; and no host has one.
        let host: String = host.chars().filter(|letter| !letter.is_control()).collect();
        let is_bare_v6 = host.contains(':') && !host.starts_with('[');
        Self { host: if is_bare_v6 { format!("[{host}]") } else { host }, port }
    }

    /// The host without brackets, as the system's resolver takes it.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
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
            Some("redis-sentinel") => Self::parse_sentinel(url, false),
            Some("rediss-sentinel") => Self::parse_sentinel(url, true),
            Some("redis-cluster") => Self::parse_cluster(url, false),
            Some("rediss-cluster") => Self::parse_cluster(url, true),
            Some(_) => Err("has another scheme"),
            None => Err("is no URL"),
        }
        .map_err(fault)
    }

    fn parse_tcp(url: &str, tls: bool) -> Result<Self, &'static str> {
        let parsed = Url::parse(url).map_err(|error| match error {
            // A password ends at its first slash, and what stands before that is taken for a port.
            ParseError::InvalidPort => "has a port that is no number, or a password whose : / ? # @ is not %-encoded",
            _ => "does not parse (a password's : / ? # @ must be %-encoded)",
        })?;
        let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?.to_owned();
        let port = parsed.port().unwrap_or(DEFAULT_PORT);
        let path = parsed.path().trim_start_matches('/');
        let from_path = if path.is_empty() { None } else { Some(database(path)?) };
        let from_query = database_of_query(parsed.query(), parsed.fragment())?;
        Ok(Self {
            place: Place::Tcp(ServerAddress { host, port }),
            tls,
            credentials: Credentials {
                username: text(parsed.username())?,
                password: text(parsed.password().unwrap_or_default())?,
            },
            database: from_path.or(from_query).unwrap_or(0),
            shown: redact(url),
        })
    }

    /// By hand: the `url` crate takes no credentials where there is no host.
    fn parse_unix(url: &str) -> Result<Self, &'static str> {
        let Parts { credentials, rest: path, query, fragment } = Parts::of(url)?;
        if !path.starts_with('/') || path.len() < 2 {
            return Err("names no absolute path");
        }
        if cfg!(not(unix)) {
            return Err("names a unix socket, and this system has none");
        }
        Ok(Self {
            place: Place::Unix(decode(path)?.into()),
            tls: false,
            credentials,
            database: database_of_query(query, fragment)?.unwrap_or(0),
            shown: redact(url),
        })
    }

    /// By hand, as the next: the `url` crate takes no list of hosts.
    fn parse_sentinel(url: &str, tls: bool) -> Result<Self, &'static str> {
        let Parts { credentials, rest, query, fragment } = Parts::of(url)?;
        let (hosts, path) = rest.split_once('/').ok_or("names no master (redis-sentinel://host:26379/MASTER)")?;
        let (master, in_path) = split(path, '/');
        let master = decode(master)?;
        if master.is_empty() || !master.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("names no master (redis-sentinel://host:26379/MASTER)");
        }
        if fragment.is_some() {
            return Err(FRAGMENT);
        }
        let mut from_query = None;
        let mut own = Credentials::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("db", digits)) => from_query = Some(database(digits)?),
                Some(("sentinel_user", name)) => own.username = text(name)?,
                Some(("sentinel_password", password)) => own.password = text(password)?,
                _ => return Err("has a query other than db=N, sentinel_user=… and sentinel_password=…"),
            }
        }
        let from_path = in_path.filter(|digits| !digits.is_empty()).map(database).transpose()?;
        Ok(Self {
            place: Place::Sentinel { seeds: seeds(hosts, DEFAULT_SENTINEL_PORT)?, master, credentials: own },
            tls,
            credentials,
            database: from_path.or(from_query).unwrap_or(0),
            shown: redact(url),
        })
    }

    fn parse_cluster(url: &str, tls: bool) -> Result<Self, &'static str> {
        let Parts { credentials, rest, query, fragment } = Parts::of(url)?;
        let (hosts, path) = split(rest, '/');
        let databases =
            [path.filter(|digits| !digits.is_empty()).map(database).transpose()?, database_of_query(query, fragment)?];
        if databases.into_iter().flatten().any(|database| database != 0) {
            return Err("names a database: a Cluster has number 0 alone");
        }
        Ok(Self {
            place: Place::Cluster { seeds: seeds(hosts, DEFAULT_PORT)? },
            tls,
            credentials,
            database: 0,
            shown: redact(url),
        })
    }
}

/// What stands behind the scheme of a URL that is parsed by hand.
struct Parts<'a> {
    credentials: Credentials,
    /// Hosts and path.
    rest: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self, &'static str> {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (rest, fragment) = split(rest, '#');
        let (rest, query) = split(rest, '?');
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let credentials = Credentials { username: text(username)?, password: text(password)? };
        Ok(Self { credentials, rest, query, fragment })
    }
}

/// `host[:port],host[:port]`.
fn seeds(hosts: &str, default_port: u16) -> Result<Vec<ServerAddress>, &'static str> {
    let seeds = hosts.split(',').map(|host| {
        let parsed = Url::parse(&format!("redis://{host}")).map_err(|_| "has a host that is no host[:port]")?;
        let is_plain = parsed.username().is_empty() && parsed.password().is_none() && matches!(parsed.path(), "" | "/");
        let name = parsed.host_str().filter(|name| is_plain && !name.is_empty()).ok_or("names no host")?;
        Ok(ServerAddress { host: name.to_owned(), port: parsed.port().unwrap_or(default_port) })
    });
    let seeds = seeds.collect::<Result<Vec<_>, &'static str>>()?;
    if seeds.len() > SEEDS_MAX { Err("lists more than 100 hosts") } else { Ok(seeds) }
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

const FRAGMENT: &str = "has a # part (a password's # must be %23)";

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn database(digits: &str) -> Result<u8, &'static str> {
    digits.parse().map_err(|_| "has a database that is no number from 0 to 255")
}

fn database_of_query(query: Option<&str>, fragment: Option<&str>) -> Result<Option<u8>, &'static str> {
    if fragment.is_some() {
        return Err(FRAGMENT);
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
    let is_plain = if scheme == "redis+unix" { place.starts_with('/') } else { seeds(authority, DEFAULT_PORT).is_ok() };
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

    fn at(host: &str, port: u16) -> ServerAddress {
        ServerAddress { host: host.into(), port }
    }

    fn who(username: &str, password: &str) -> Credentials {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Credentials { username: some(username), password: some(password) }
    }

    #[test]
    fn sentinels_and_clusters_are_lists_of_hosts() {
        let url =
            "rediss-sentinel://app:s3cret@s1,[::1]:7001/main?db=3&sentinel_user=watch&sentinel_password=s%263cret";
        let parsed = Endpoint::parse(url).expect("right");
        let seeds = vec![at("s1", DEFAULT_SENTINEL_PORT), at("[::1]", 7001)];
        let credentials = who("watch", "s&3cret");
        assert_eq!(parsed.place, Place::Sentinel { seeds, master: "main".into(), credentials });
        assert_eq!((parsed.tls, parsed.database, parsed.credentials.clone()), (true, 3, who("app", "s3cret")));
        assert_eq!(parsed.to_string(), "rediss-sentinel://***@s1,[::1]:7001/main?***");
        let parsed = Endpoint::parse("redis-cluster://n1:7000,n2").expect("right");
        assert_eq!(parsed.place, Place::Cluster { seeds: vec![at("n1", 7000), at("n2", DEFAULT_PORT)] });
        assert_eq!((parsed.tls, parsed.to_string().as_str()), (false, "redis-cluster://n1:7000,n2"));
        assert_eq!(ServerAddress::told("::1", 5), at("[::1]", 5));
    }

    #[test]
    fn a_url_says_where_and_who() {
        let parsed = Endpoint::parse("rediss://app:p%40ss@cache.example:7000/3").expect("right");
        assert_eq!(parsed.place, Place::Tcp(at("cache.example", 7000)));
        assert!(parsed.tls);
        assert_eq!(parsed.credentials, who("app", "p@ss"));
        assert_eq!(parsed.database, 3);
        let parsed = Endpoint::parse("redis+unix://:pw@/run/redis.sock?db=2").expect("right");
        assert_eq!(parsed.place, Place::Unix("/run/redis.sock".into()));
        assert_eq!((parsed.credentials, parsed.database), (who("", "pw"), 2));
        let parsed = Endpoint::parse("redis://[::1]").expect("right");
        assert_eq!(parsed.place, Place::Tcp(at("[::1]", DEFAULT_PORT)));
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
            "redis-cluster://u:s3cret@host/3",
            "redis-cluster://u:s3cret@host:port,other",
            "redis-cluster://u:s3cret@",
            "redis-cluster://u:s3cret@host,,other",
            "redis-sentinel://u:s3cret@host",
            "redis-sentinel://u:s3cret@host/",
            "redis-sentinel://host/main?sentinel_pass=s3cret",
            "redis-sentinel://host/main#s3cret",
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
