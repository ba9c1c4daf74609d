//! The push connection: wakes, on a RESP3 connection of tidegate's own. Opened by the first watch, never before.
//!
//! A loss is told at once ([`Notice::PushLost`]), then the task connects again and watches anew. In a batch read from
//! the socket, the wakes are told last: invalidations (a later issue) belong before them, since the server sends a
//! script's wake ahead of its invalidation.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp3::types::BytesFrame as Frame;
use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::endpoint::Place;
use super::errors::refused;
use super::reply::error_text;
use super::watchdog::INTERVAL;
use super::{Shared, backoff, resp};
use crate::ports::{Notice, StoreError, StoreErrorKind};
use crate::protocol::key::Key;

/// Heartbeats in a row without a sign of life.
const MISSES_MAX: u32 = 3;
/// A watch that nobody needs any more is kept for so long: keys that wait tend to wait again.
const LINGER: Duration = Duration::from_secs(1);
/// The same for a subscription that the server has not confirmed.
const LINGER_UNCONFIRMED: Duration = Duration::from_secs(10);
/// A session of this length was a good one.
const STEADY: Duration = Duration::from_secs(2);

/// What the handle tells.
pub(super) enum Watch {
    Begin(Key),
    End(Key),
    Close,
}

pub(super) struct Push {
    shared: Arc<Shared>,
    watches: UnboundedReceiver<Watch>,
    watched: FxHashMap<Bytes, Watched>,
    /// The reason of the last fault told, so that each is told once.
    last_fault: Option<StoreError>,
}

/// One key's watch.
struct Watched {
    key: Key,
    count: usize,
    /// The server has confirmed the subscription on the present connection.
    is_confirmed: bool,
    /// When the last of its watchers left.
    idle_since: Option<Instant>,
}

/// Why a connection's life ended.
enum End {
    Lost,
    Closed,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// An open connection and its buffers.
struct Session {
    wire: Box<dyn Wire>,
    unread: BytesMut,
    unsent: BytesMut,
}

impl Push {
    pub(super) fn new(shared: Arc<Shared>, watches: UnboundedReceiver<Watch>) -> Self {
        Self { shared, watches, watched: FxHashMap::default(), last_fault: None }
    }

    /// Runs until the store is closed or dropped.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        while self.wait_for_a_watch().await {
            let started = Instant::now();
            let is_lost = match self.connect().await {
                Ok(session) => {
                    self.last_fault = None;
                    match self.serve(session).await {
                        End::Closed => return,
                        End::Lost => {
                            // A server that takes connections only to drop them is not dialled at full speed.
                            if started.elapsed() > STEADY {
                                failures = 0;
                            }
                            true
                        }
                    }
                }
                Err(error) => {
                    self.fault(error);
                    false
                }
            };
            if is_lost {
                self.watched.retain(|_, watched| watched.count > 0);
                self.watched.values_mut().for_each(|watched| watched.is_confirmed = false);
                self.shared.notice(Notice::PushLost);
            }
            failures += 1;
            if !self.pause(started + backoff::delay(failures, fastrand::f64())).await {
                return;
            }
        }
    }

    /// False when the store is closed.
    async fn wait_for_a_watch(&mut self) -> bool {
        while self.watched.values().all(|watched| watched.count == 0) {
            self.watched.clear();
            match self.watches.recv().await {
                Some(watch) if self.note(&watch, None) => {}
                _ => return false,
            }
        }
        true
    }

    /// Waits, with an open ear. False when the store is closed.
    async fn pause(&mut self, until: Instant) -> bool {
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                watch = self.watches.recv() => match watch {
                    Some(watch) if self.note(&watch, None) => {}
                    _ => return false,
                },
            }
        }
    }

    /// Takes one message of the handle's, and writes what the server should know. False when the store is closed.
    fn note(&mut self, watch: &Watch, unsent: Option<&mut BytesMut>) -> bool {
        match watch {
            Watch::Begin(key) => {
                let channel = Bytes::from(key.wake());
                let known = self.watched.get_mut(&channel).map(|watched| {
                    watched.count += 1;
                    watched.idle_since = None;
                    watched.is_confirmed
                });
                match known {
                    Some(true) => self.shared.notice(Notice::Watching(key.clone())),
                    Some(false) => {}
                    None => {
                        if let Some(unsent) = unsent {
                            resp::write(unsent, &[b"SUBSCRIBE", &channel]);
                        }
                        let watched = Watched { key: key.clone(), count: 1, is_confirmed: false, idle_since: None };
                        self.watched.insert(channel, watched);
                    }
                }
            }
            Watch::End(key) => {
                if let Some(watched) = self.watched.get_mut(key.wake().as_bytes()) {
                    watched.count = watched.count.saturating_sub(1);
                    if watched.count == 0 {
                        watched.idle_since = Some(Instant::now());
                    }
                }
            }
            Watch::Close => return false,
        }
        true
    }

    async fn connect(&self) -> Result<Session, StoreError> {
        let limit = self.shared.connect_timeout;
        timeout(limit, self.open()).await.unwrap_or_else(|_| {
            let message =
                format!("the push connection to {} took longer than {} ms", self.shared.endpoint, limit.as_millis());
            Err(StoreError::new(StoreErrorKind::Timeout, message))
        })
    }

    /// Opens the socket and says HELLO.
    async fn open(&self) -> Result<Session, StoreError> {
        let mut session = Session { wire: self.wire().await?, unread: BytesMut::new(), unsent: BytesMut::new() };
        let endpoint = &self.shared.endpoint;
        let name = format!("{}:push", self.shared.client_name);
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &endpoint.password {
            let user = endpoint.username.as_deref().unwrap_or("default");
            hello.extend([b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        hello.extend([&b"SETNAME"[..], name.as_bytes()]);
        resp::write(&mut session.unsent, &hello);
        session.flush().await?;
        loop {
            if let Some(frame) = resp::read(&mut session.unread).map_err(protocol)? {
                return match error_text(&frame) {
                    Some(error) => Err(refused(error)),
                    None => Ok(session),
                };
            }
            session.fill().await?;
        }
    }

    async fn wire(&self) -> Result<Box<dyn Wire>, StoreError> {
        match &self.shared.endpoint.place {
            Place::Tcp { tls: true, .. } => Err(StoreError::new(
                StoreErrorKind::Refused,
                "the push connection does not speak TLS yet: waits are ended by polling",
            )),
            Place::Tcp { host, port, tls: false } => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let stream = tokio::net::TcpStream::connect((host, *port)).await.map_err(lost)?;
                stream.set_nodelay(true).map_err(lost)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Place::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await.map_err(lost)?)),
            #[cfg(not(unix))]
            Place::Unix(_) => Err(StoreError::new(StoreErrorKind::Refused, "this system has no unix sockets")),
        }
    }

    async fn serve(&mut self, mut session: Session) -> End {
        for channel in self.watched.keys() {
            resp::write(&mut session.unsent, &[b"SUBSCRIBE", channel]);
        }
        let mut heartbeat = interval_at(Instant::now() + INTERVAL, INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut misses = 0;
        loop {
            if session.flush().await.is_err() {
                return End::Lost;
            }
            tokio::select! {
                read = session.fill() => {
                    misses = 0;
                    if read.and_then(|()| self.take_frames(&mut session)).is_err() {
                        return End::Lost;
                    }
                }
                watch = self.watches.recv() => {
                    let mut next = watch;
                    loop {
                        match next {
                            Some(watch) if self.note(&watch, Some(&mut session.unsent)) => {}
                            _ => return End::Closed,
                        }
                        match self.watches.try_recv() {
                            Ok(watch) => next = Some(watch),
                            Err(_) => break,
                        }
                    }
                }
                _ = heartbeat.tick() => {
                    if misses >= MISSES_MAX {
                        return End::Lost;
                    }
                    misses += 1;
                    resp::write(&mut session.unsent, &[b"PING"]);
                    self.let_go(&mut session.unsent);
                }
            }
        }
    }

    /// Reads all frames that have arrived, then tells what they mean: wakes last.
    fn take_frames(&mut self, session: &mut Session) -> Result<(), StoreError> {
        let mut wakes = Vec::new();
        while let Some(frame) = resp::read(&mut session.unread).map_err(protocol)? {
            if let Some(error) = error_text(&frame) {
                let error = refused(error);
                self.fault(error);
            } else if let Frame::Push { data, .. } = frame {
                self.take_push(data, &mut wakes);
            }
        }
        // The place of the invalidations of this batch.
        for key in wakes {
            self.shared.notice(Notice::Woken(key));
        }
        Ok(())
    }

    fn take_push(&mut self, parts: Vec<Frame>, wakes: &mut Vec<Key>) {
        let mut parts = parts.into_iter().map(resp::string);
        let (Some(Some(kind)), Some(Some(channel))) = (parts.next(), parts.next()) else { return };
        let Some(watched) = self.watched.get_mut(&channel) else { return };
        match &kind[..] {
            b"subscribe" => {
                watched.is_confirmed = true;
                if watched.count > 0 {
                    self.shared.notice(Notice::Watching(watched.key.clone()));
                }
            }
            b"message" if watched.count > 0 => wakes.push(watched.key.clone()),
            _ => {}
        }
    }

    /// Unsubscribes from what nobody has watched for a while. What is not confirmed stays longer, lest its confirmation
    /// be taken for that of a later watch; but not for ever, since a user without the right to it is never confirmed.
    fn let_go(&mut self, unsent: &mut BytesMut) {
        self.watched.retain(|channel, watched| {
            let linger = if watched.is_confirmed { LINGER } else { LINGER_UNCONFIRMED };
            let is_kept = watched.idle_since.is_none_or(|since| since.elapsed() < linger);
            if !is_kept {
                resp::write(unsent, &[b"UNSUBSCRIBE", channel]);
            }
            is_kept
        });
    }

    fn fault(&mut self, error: StoreError) {
        if self.last_fault.as_ref() != Some(&error) {
            self.shared.notice(Notice::Fault(error.clone()));
            self.last_fault = Some(error);
        }
    }
}

impl Session {
    /// Sends what is unsent. A peer that takes nothing for a second is lost.
    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let out = self.unsent.split();
        match timeout(INTERVAL, self.wire.write_all(&out)).await {
            Ok(done) => done.map_err(lost),
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout, "the server takes no more bytes")),
        }
    }

    /// Reads once. Nothing is lost when this is dropped before its end.
    async fn fill(&mut self) -> Result<(), StoreError> {
        self.unread.reserve(4_096);
        match self.wire.read_buf(&mut self.unread).await {
            Ok(0) => Err(StoreError::new(StoreErrorKind::Disconnected, "the server closed the push connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn lost(error: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Disconnected, format!("push connection: {error}"))
}

fn protocol(what: String) -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, what)
}
