//! One open push connection: its socket and buffers, how it is opened, named and made to track.

use bytes::BytesMut;
use redis_protocol::resp3::types::BytesFrame as Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::endpoint::Place;
use super::errors::refused;
use super::reply::error_text;
use super::watchdog::INTERVAL;
use super::{Shared, resp};
use crate::ports::{StoreError, StoreErrorKind};

/// Bytes taken from the socket before they are looked at: what the server wrote at once should be told at once.
const BATCH_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 16_384;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Dropping it closes the socket.
pub(super) struct Session {
    wire: Box<dyn Wire>,
    pub(super) unread: BytesMut,
    pub(super) unsent: BytesMut,
    /// The server has confirmed that it tells of changes.
    pub(super) is_tracking: bool,
}

impl Session {
    /// Opens the socket and says HELLO, within `connect_timeout`.
    pub(super) async fn connect(shared: &Shared) -> Result<Self, StoreError> {
        within_connect_timeout(shared, Self::open(shared)).await
    }

    async fn open(shared: &Shared) -> Result<Self, StoreError> {
        let (unread, unsent) = (BytesMut::new(), BytesMut::new());
        let mut session = Self { wire: wire(shared).await?, unread, unsent, is_tracking: false };
        let name = format!("{}:push", shared.client_name);
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &shared.endpoint.password {
            let user = shared.endpoint.username.as_deref().unwrap_or("default");
            hello.extend([b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        hello.extend([&b"SETNAME"[..], name.as_bytes()]);
        session.ask(&hello).await?;
        Ok(session)
    }

    /// Has the server tell of each change to a key with one of these prefixes. Nothing may have been subscribed to yet.
    ///
    /// # Errors
    /// `Refused` leaves the session as good as it was.
    pub(super) async fn track(&mut self, shared: &Shared, prefixes: &[String]) -> Result<(), StoreError> {
        let mut command: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON", b"BCAST"];
        command.extend(prefixes.iter().flat_map(|prefix| [&b"PREFIX"[..], prefix.as_bytes()]));
        within_connect_timeout(shared, self.ask(&command)).await?;
        self.is_tracking = true;
        Ok(())
    }

    /// The answer to one command, where nothing else can have arrived.
    async fn ask(&mut self, command: &[&[u8]]) -> Result<Frame, StoreError> {
        resp::write(&mut self.unsent, command);
        self.flush().await?;
        loop {
            if let Some(frame) = resp::read(&mut self.unread).map_err(protocol)? {
                return match error_text(&frame) {
                    Some(error) => Err(refused(error)),
                    None => Ok(frame),
                };
            }
            self.fill().await?;
        }
    }

    /// Sends what is unsent. A peer that takes nothing for a second is lost.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let out = self.unsent.split();
        match timeout(INTERVAL, self.wire.write_all(&out)).await {
            Ok(done) => done.map_err(lost),
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout, "the server takes no more bytes")),
        }
    }

    /// Reads what has arrived. Nothing is lost when this is dropped before its end.
    pub(super) async fn fill(&mut self) -> Result<(), StoreError> {
        let had = self.unread.len();
        self.read().await?;
        while self.unread.len() == self.unread.capacity() && self.unread.len() - had < BATCH_BYTES_MAX {
            // There may be more, and what belongs together is better told together.
            match futures_util::FutureExt::now_or_never(self.read()) {
                Some(read) => read?,
                None => break,
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        self.unread.reserve(READ_BYTES);
        match self.wire.read_buf(&mut self.unread).await {
            Ok(0) => Err(StoreError::new(StoreErrorKind::Disconnected, "the server closed the push connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

async fn within_connect_timeout<T>(
    shared: &Shared,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let limit = shared.connect_timeout;
    timeout(limit, step).await.unwrap_or_else(|_| {
        let message = format!("the push connection to {} took longer than {} ms", shared.endpoint, limit.as_millis());
        Err(StoreError::new(StoreErrorKind::Timeout, message))
    })
}

async fn wire(shared: &Shared) -> Result<Box<dyn Wire>, StoreError> {
    match &shared.endpoint.place {
        Place::Tcp { tls: true, .. } => Err(StoreError::new(
            StoreErrorKind::Refused,
            "the push connection does not speak TLS yet: waits are ended by polling, and nothing is tracked",
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

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn lost(error: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Disconnected, format!("push connection: {error}"))
}

pub(super) fn protocol(what: String) -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, what)
}
