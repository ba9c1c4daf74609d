//! The master of a name, by the word of the Sentinels: asked before each connection, and listened to while one stands
//! (`+switch-master`), since a master that was replaced goes on answering whoever is still connected to it.
//!
//! The protocol for clients: redis.io/docs/latest/develop/reference/sentinel-clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::time::{sleep, timeout};

use super::endpoint::{Place, ServerAddress};
use super::resp;
use super::session::Session;
use super::shared::{Node, Shared, Target, lock};
use crate::ports::{StoreError, StoreErrorKind};

/// Sentinels that are asked at once.
const ASKED_MAX: usize = 5;
/// A Sentinel that is listened to is asked so often whether it has missed something.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// And this long after a Sentinel was lost the next one is tried.
const PAUSE: Duration = Duration::from_millis(500);

/// The address of the master, as the first Sentinel that knows it says.
///
/// # Errors
/// `Refused` where Sentinels answer, but know no such master; else why none answers.
pub(super) async fn master(node: &Node) -> Result<ServerAddress, StoreError> {
    let mut sentinels = lock(&node.sentinels).clone();
    fastrand::shuffle(&mut sentinels);
    let mut asked: FuturesUnordered<_> =
        sentinels.into_iter().take(ASKED_MAX).map(|sentinel| ask_master(node, sentinel)).collect();
    let mut failure = StoreError::new(StoreErrorKind::Disconnected, "the URL lists no Sentinel");
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(address) => return Ok(address),
            // A Sentinel's own word says more than that another one is away.
            Err(error) if failure.kind != StoreErrorKind::Refused => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

async fn ask_master(node: &Node, sentinel: ServerAddress) -> Result<ServerAddress, StoreError> {
    let mut session = connect(&node.shared, &sentinel).await?;
    let address = master_of(&node.shared, &mut session, &sentinel).await?;
    learn_others(node, &mut session).await;
    Ok(address)
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

/// The URL need not list all Sentinels. One that may not say who the others are does no harm.
async fn learn_others(node: &Node, session: &mut Session) {
    let Ok(Frame::Array { data, .. }) =
        session.ask(&[b"SENTINEL", b"SENTINELS", master_name(&node.shared).as_bytes()]).await
    else {
        return;
    };
    let others = data.iter().filter_map(|about| {
        let host = resp::field(about, "ip")?;
        let port = resp::field(about, "port")?.parse().ok()?;
        Some(ServerAddress::told(&host, port))
    });
    let mut known = lock(&node.sentinels);
    for other in others {
        if !known.contains(&other) && known.len() < 100 {
            known.push(other);
        }
    }
}

/// Ends when the Sentinels name another master than the one at `target`; never where there are none.
pub(super) fn moved(node: &Arc<Node>, target: &Target) -> Pin<Box<dyn Future<Output = StoreError> + Send>> {
    match (&node.shared.endpoint.place, target) {
        (Place::Sentinel { .. }, Target::Tcp(present)) => {
            let (node, present) = (Arc::clone(node), present.clone());
            Box::pin(async move { until_moved(&node, &present).await })
        }
        _ => Box::pin(std::future::pending()),
    }
}

async fn until_moved(node: &Node, present: &ServerAddress) -> StoreError {
    loop {
        let sentinels = lock(&node.sentinels).clone();
        if let Some(sentinel) = fastrand::choice(&sentinels)
            && let Ok(moved_to) = listen(&node.shared, sentinel, present).await
        {
            let message = format!("Sentinel {sentinel} names another master: {moved_to} instead of {present}");
            return StoreError::new(StoreErrorKind::Disconnected, message);
        }
        sleep(PAUSE).await;
    }
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
