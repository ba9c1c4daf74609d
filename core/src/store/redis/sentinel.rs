//! The master of a name, by the word of the Sentinels: asked before each connection, and listened to while one stands
//! (`+switch-master`), since a master that was replaced goes on answering whoever is still connected to it.
//!
//! The protocol for clients: redis.io/docs/latest/develop/reference/sentinel-clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::time::{sleep, timeout};

use super::endpoint::{Place, ServerAddress};
use super::resp;
use super::session::Session;
use super::shared::{Shared, Target, lock};
use crate::ports::{StoreError, StoreErrorKind};

/// Sentinels that are asked at once; twice as many, each time so much has passed without an answer.
const ASKED_AT_ONCE: usize = 5;
const PATIENCE: Duration = Duration::from_millis(200);
/// And remembered.
const KNOWN_MAX: usize = 100;
/// A Sentinel that is listened to is asked so often whether it has missed something.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// And this long after a Sentinel was lost the next one is tried.
const PAUSE: Duration = Duration::from_millis(500);

/// The Sentinels that are known: those of the URL, and those that they know.
#[derive(Default)]
pub(super) struct Sentinels(Mutex<Vec<Known>>);

struct Known {
    at: ServerAddress,
    is_of_url: bool,
    /// How often in a row it was asked and did not answer. Where addresses change with each restart most of those that were
    /// learned are gone sooner or later.
    silences: u32,
}

impl Sentinels {
    /// None where the URL names none.
    pub(super) fn of(place: &Place) -> Self {
        let seeds = if let Place::Sentinel { seeds, .. } = place { &seeds[..] } else { &[] };
        let known = seeds.iter().map(|seed| Known { at: seed.clone(), is_of_url: true, silences: 0 });
        Self(Mutex::new(known.collect()))
    }

    /// In an order of chance, those that answered last before those that did not.
    fn known(&self) -> Vec<ServerAddress> {
        let known = lock(&self.0);
        let mut known: Vec<_> = known.iter().map(|one| (one.silences, one.at.clone())).collect();
        fastrand::shuffle(&mut known);
        known.sort_by_key(|(silences, _)| *silences);
        known.into_iter().map(|(_, at)| at).collect()
    }

    fn learn(&self, at: ServerAddress) {
        let mut known = lock(&self.0);
        if known.iter().any(|one| one.at == at) {
            return;
        }
        // Those that have answered come first.
        let new = Known { at, is_of_url: false, silences: 1 };
        if known.len() < KNOWN_MAX {
            known.push(new);
        } else if let Some(gone) = known.iter_mut().filter(|one| !one.is_of_url).max_by_key(|one| one.silences)
            && gone.silences > 0
        {
            *gone = new;
        }
    }

    fn note(&self, at: &ServerAddress, silences: impl Fn(u32) -> u32) {
        lock(&self.0).iter_mut().filter(|one| one.at == *at).for_each(|one| one.silences = silences(one.silences));
    }

    /// The address of the master, as the first Sentinel that knows it says.
    ///
    /// # Errors
    /// `Refused` where Sentinels answer, but know no such master; else why none answers.
    pub(super) async fn master(&self, shared: &Shared) -> Result<ServerAddress, StoreError> {
        let (mut waiting, mut asked, mut silent) = (self.known().into_iter(), FuturesUnordered::new(), Vec::new());
        let mut failure = StoreError::new(StoreErrorKind::Disconnected, "the URL lists no Sentinel");
        let mut at_once = ASKED_AT_ONCE;
        loop {
            while asked.len() < at_once
                && let Some(sentinel) = waiting.next()
            {
                silent.push(sentinel.clone());
                asked.push(self.ask_master(shared, sentinel));
            }
            let Ok(answered) = timeout(PATIENCE, asked.next()).await else {
                at_once = (2 * at_once).min(KNOWN_MAX);
                continue;
            };
            let Some((sentinel, answer)) = answered else { return Err(failure) };
            silent.retain(|one| *one != sentinel);
            match answer {
                Ok(address) => {
                    // These were not waited for.
                    silent.iter().for_each(|one| self.note(one, |silences| silences.saturating_sub(1)));
                    return Ok(address);
                }
                // A Sentinel's own word says more than that another one is away.
                Err(error) if failure.kind != StoreErrorKind::Refused => failure = error,
                Err(_) => {}
            }
        }
    }

    async fn ask_master(
        &self,
        shared: &Shared,
        sentinel: ServerAddress,
    ) -> (ServerAddress, Result<ServerAddress, StoreError>) {
        // Before it is known: nobody may wait for the end of this.
        self.note(&sentinel, |silences| silences.saturating_add(1));
        let answer = async {
            let mut session = connect(shared, &sentinel).await?;
            let address = master_of(shared, &mut session, &sentinel).await?;
            self.learn_others(shared, &mut session).await;
            Ok(address)
        };
        let answer = answer.await;
        if answer.is_ok() {
            self.note(&sentinel, |_| 0);
        }
        (sentinel, answer)
    }

    /// The URL need not list all Sentinels. One that may not say who the others are does no harm.
    async fn learn_others(&self, shared: &Shared, session: &mut Session) {
        let Ok(Frame::Array { data, .. }) =
            session.ask(&[b"SENTINEL", b"SENTINELS", master_name(shared).as_bytes()]).await
        else {
            return;
        };
        let others = data.iter().filter_map(|about| {
            let flags = resp::field(about, "flags").unwrap_or_default();
            // `master_down` is what it says of the master.
            if flags.split(',').any(|flag| matches!(flag, "s_down" | "o_down" | "disconnected")) {
                return None;
            }
            let host = resp::field(about, "ip")?;
            let port = resp::field(about, "port")?.parse().ok()?;
            Some(ServerAddress::told(&host, port))
        });
        others.for_each(|other| self.learn(other));
    }

    /// Ends when they name another master than `present`.
    async fn until_moved(&self, shared: &Shared, present: &ServerAddress) -> StoreError {
        loop {
            if let Some(sentinel) = self.known().first() {
                if let Ok(moved_to) = listen(shared, sentinel, present).await {
                    let message = format!("Sentinel {sentinel} names another master: {moved_to} instead of {present}");
                    return StoreError::new(StoreErrorKind::Disconnected, message);
                }
                self.note(sentinel, |silences| silences.saturating_add(1));
            }
            sleep(PAUSE).await;
        }
    }
}

/// Ends when the Sentinels name another master than the one at `target`; never where there are none.
pub(super) fn moved(
    sentinels: &Arc<Sentinels>,
    shared: &Arc<Shared>,
    target: &Target,
) -> Pin<Box<dyn Future<Output = StoreError> + Send>> {
    match (&shared.endpoint.place, target) {
        (Place::Sentinel { .. }, Target::Tcp(present)) => {
            let (sentinels, shared, present) = (Arc::clone(sentinels), Arc::clone(shared), present.clone());
            Box::pin(async move { sentinels.until_moved(&shared, &present).await })
        }
        _ => Box::pin(std::future::pending()),
    }
}

async fn connect(shared: &Shared, sentinel: &ServerAddress) -> Result<Session, StoreError> {
    let Place::Sentinel { credentials, .. } = &shared.endpoint.place else {
        unreachable!("only asked where the URL says Sentinel");
    };
    let told = |error: StoreError| StoreError { message: format!("Sentinel {sentinel}: {}", error.message), ..error };
    let name = format!("{}:sentinel", shared.client_name);
    Session::connect(shared, &Target::Tcp(sentinel.clone()), credentials, &name).await.map_err(told)
}

fn master_name(shared: &Shared) -> &str {
    if let Place::Sentinel { master, .. } = &shared.endpoint.place { master } else { "" }
}

async fn master_of(
    shared: &Shared,
    session: &mut Session,
    sentinel: &ServerAddress,
) -> Result<ServerAddress, StoreError> {
    let name = master_name(shared);
    let answer = session.ask(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name.as_bytes()]).await?;
    if let Frame::Array { data, .. } = answer
        && let [host, port] = &data[..]
        && let (Some(host), Some(Ok(port))) = (resp::text(host), resp::text(port).map(|port| port.parse()))
    {
        return Ok(ServerAddress::told(&host, port));
    }
    Err(StoreError::new(StoreErrorKind::Refused, format!("Sentinel {sentinel} knows no master named {name:?}")))
}

/// Listens to one Sentinel for as long as it answers.
async fn listen(
    shared: &Shared,
    sentinel: &ServerAddress,
    present: &ServerAddress,
) -> Result<ServerAddress, StoreError> {
    let mut session = connect(shared, sentinel).await?;
    // It is read as a push, before or behind the answers that follow.
    resp::write(&mut session.unsent, &[b"SUBSCRIBE", b"+switch-master"]);
    loop {
        let asked = timeout(shared.connect_timeout, master_of(shared, &mut session, sentinel)).await;
        let named =
            asked.map_err(|_| StoreError::new(StoreErrorKind::Timeout, "the Sentinel has stopped answering"))??;
        if named != *present {
            return Ok(named);
        }
        // Whatever it tells of is a reason to ask; so is a while of silence.
        if let Ok(heard) = timeout(ASK_AGAIN, session.fill()).await {
            heard?;
        }
    }
}
