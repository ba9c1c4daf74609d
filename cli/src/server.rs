//! From the options to a server, a key space and a manager.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tidegate::Manager;
use tidegate::config::{OptionValue, TlsConfig};
use tidegate::key::{Key, KeySpace, Part};
use tidegate::store::redis::console::{Answer, Console};

use crate::args::{ServerArgs, SpaceArgs};
use crate::fault::Fault;

impl ServerArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }

    fn tls(&self) -> Result<Option<TlsConfig>, Fault> {
        let path = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| Fault::usage(format!("{} is no UTF-8", path.display())))
        };
        let [ca, cert, key] = [&self.ca, &self.cert, &self.key].map(|given| given.as_deref().map(path).transpose());
        let (ca, cert, key) = (ca?, cert?, key?);
        let is_given = ca.is_some() || cert.is_some();
        Ok(is_given.then(|| TlsConfig { ca, cert, key, ..TlsConfig::default() }))
    }

    /// All servers that the URL leads to.
    pub(crate) fn console(&self) -> Result<Console, Fault> {
        if self.url.starts_with("memory:") {
            return Err(Fault::usage("memory:// is the memory of one process, which no other can look into")
                .hint("a right example: --url redis://localhost:6379/0"));
        }
        let mut console = Console::new(&self.url, self.tls()?.as_ref(), self.timeout())?;
        console.connect().map_err(|error| {
            let fault = Fault::from(error);
            Fault { message: format!("{}: {}", console.shown_url(), fault.message), ..fault }
        })?;
        Ok(console)
    }

    /// A manager of the service, in the given version of its key space. Needs a runtime, as of [`block_on`].
    pub(crate) async fn manager(&self, space: &SpaceArgs, version: u32) -> Result<Manager, Fault> {
        self.manager_with(space, version, Vec::new()).await
    }

    /// The same with more options.
    pub(crate) async fn manager_with(
        &self,
        space: &SpaceArgs,
        version: u32,
        options: Vec<(String, OptionValue)>,
    ) -> Result<Manager, Fault> {
        let ms = |of: f64| OptionValue::Millis(of * 1_000.0);
        let mut builder = Manager::builder(&self.url)
            .service(&space.service)
            .version(version)
            .option("role", OptionValue::Text("command".into()))
            // It is no process of the fleet.
            .option("fleet_report", OptionValue::Null)
            .option("command_timeout", ms(self.timeout))
            .option("connect_timeout", ms(self.timeout));
        if let Some(tls) = self.tls()? {
            let given = [("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)];
            let given =
                given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), OptionValue::Text(value?))));
            builder = builder.option("tls", OptionValue::Nested(given.collect()));
        }
        for (name, value) in options {
            builder = builder.option(&name, value);
        }
        let manager = builder.build().await?;
        Ok(match &space.tenant {
            Some(tenant) => manager.tenant(tenant)?,
            None => manager,
        })
    }
}

/// A version of the service that may have entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) version: u32,
    pub(crate) until_ms: u64,
    /// Entries from before do not count.
    pub(crate) since_ms: u64,
}

impl SpaceArgs {
    pub(crate) fn space(&self, version: u32) -> Result<KeySpace, Fault> {
        let space = KeySpace::new(&self.service, version)?;
        Ok(match &self.tenant {
            Some(tenant) => space.tenant(&Part::Text(tenant))?,
            None => space,
        })
    }

    /// The versions that the service has listed, the oldest first.
    pub(crate) fn live(&self, console: &Console) -> Result<Vec<Live>, Fault> {
        let list = self.space(1)?.versions_key();
        let rows = console.ask_of(list.full().as_bytes(), &[b"HGETALL", list.full().as_bytes()])?;
        let live = |(version, times): (&Answer, &Answer)| {
            let times = times.text()?;
            let (until_ms, since_ms) = times.split_once(' ')?;
            let version = version.text()?.parse().ok()?;
            Some(Live { version, until_ms: until_ms.parse().ok()?, since_ms: since_ms.parse().ok()? })
        };
        let mut live: Vec<_> = rows.pairs().into_iter().filter_map(live).collect();
        live.sort_by_key(|one| one.version);
        Ok(live)
    }

    /// The version that is meant: the one that was given, else the newest that is listed.
    pub(crate) fn version(&self, live: &[Live]) -> u32 {
        self.key_version.or_else(|| live.last().map(|one| one.version)).unwrap_or(1)
    }

    /// A key as its user writes it, or whole as it stands in the store.
    pub(crate) fn key(&self, given: &str, version: u32) -> Result<Key, Fault> {
        let space = self.space(version)?;
        let relative = given.strip_prefix(space.prefix()).unwrap_or(given);
        Ok(space.key(relative)?)
    }
}

/// The server's time in ms.
pub(crate) fn now_ms(console: &Console, server: usize) -> Result<u64, Fault> {
    let time = console.ask(server, &[b"TIME"])?;
    let part = |at: usize| time.items().get(at).and_then(Answer::int).and_then(|number| u64::try_from(number).ok());
    match (part(0), part(1)) {
        (Some(seconds), Some(micros)) => Ok(seconds * 1_000 + micros / 1_000),
        _ => Err(Fault::away("the server does not tell the time")),
    }
}

/// Runs a future of a manager's.
pub(crate) fn block_on<T>(task: impl Future<Output = T>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    Ok(runtime.map_err(|error| Fault::away(format!("no runtime could be started: {error}")))?.block_on(task))
}

/// What the server of this number says of itself by INFO.
pub(crate) fn info_of(console: &Console, number: usize) -> Option<BTreeMap<String, String>> {
    let info = console.ask(number, &[b"INFO"]).ok()?.text()?;
    let pair = |line: &str| line.trim().split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(info.lines().filter_map(pair).collect())
}
