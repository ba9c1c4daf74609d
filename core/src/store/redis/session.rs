//! One open connection of tidegate's own: its socket and buffers, how it is opened, named and made to track. For pushes,
//! and for what Sentinels and a Cluster's nodes are asked.

use std::sync::Arc;

use bytes::BytesMut;
use redis_protocol::resp3::types::BytesFrame as Frame;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::endpoint::Credentials;
use super::errors::refused;
use super::reply::error_text;
use super::resp;
use super::shared::{Shared, Target};
use super::watchdog::INTERVAL;
use crate::ports::{StoreError, StoreErrorKind};

/// Bytes taken from the socket before they are looked at: what the server wrote at once should be told at once.
const BATCH_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 16_384;
/// What is said of an end without a reason.
pub(super) const CLOSED: &str = "the server closed the connection";

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Dropping it closes the socket.
pub(super) struct Session {
    wire: Box<dyn Wire>,
    pub(super) unread: BytesMut,
    pub(super) unsent: BytesMut,
    target: Target,
    /// The server has confirmed that it tells of changes.
    pub(super) is_tracking: bool,
}

impl Session {
    /// Opens the socket and says HELLO, within `connect_timeout`.
    pub(super) async fn connect(
        shared: &Shared,
        target: &Target,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, StoreError> {
        within_connect_timeout(shared, target, Self::open(shared, target, credentials, name)).await
    }

    async fn open(shared: &Shared, target: &Target, credentials: &Credentials, name: &str) -> Result<Self, StoreError> {
        let (unread, unsent) = (BytesMut::new(), BytesMut::new());
        let mut session =
            Self { wire: wire(shared, target).await?, unread, unsent, target: target.clone(), is_tracking: false };
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &credentials.password {
            let user = credentials.username.as_deref().unwrap_or("default");
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
        let target = self.target.clone();
        within_connect_timeout(shared, &target, self.ask(&command)).await?;
        self.is_tracking = true;
        Ok(())
    }

    /// The answer to one command, where nothing else can have arrived but pushes, which are passed by.
    pub(super) async fn ask(&mut self, command: &[&[u8]]) -> Result<Frame, StoreError> {
        resp::write(&mut self.unsent, command);
        self.flush().await?;
        loop {
            if let Some(frame) = resp::read(&mut self.unread).map_err(protocol)? {
                match error_text(&frame) {
                    Some(error) => return Err(refused(error)),
                    None if matches!(frame, Frame::Push { .. }) => continue,
                    None => return Ok(frame),
                }
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
            Ok(0) => Err(StoreError::new(StoreErrorKind::Disconnected, CLOSED)),
            Ok(_) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

async fn within_connect_timeout<T>(
    shared: &Shared,
    target: &Target,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let limit = shared.connect_timeout;
    timeout(limit, step).await.unwrap_or_else(|_| {
        let message = format!("a connection to {target} took longer than {} ms", limit.as_millis());
        Err(StoreError::new(StoreErrorKind::Timeout, message))
    })
}

async fn wire(shared: &Shared, target: &Target) -> Result<Box<dyn Wire>, StoreError> {
    match target {
        Target::Tcp(address) => {
            let stream = tokio::net::TcpStream::connect((address.bare_host(), address.port)).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            let Some(tls) = &shared.tls else { return Ok(Box::new(stream)) };
            let name = ServerName::try_from(tls.name_of(address)).map_err(|_| {
                StoreError::new(
                    StoreErrorKind::Refused,
                    format!("{address} has no name that a certificate could be for"),
                )
            })?;
            let handshake = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream);
            // Within the time that the whole has: what hangs here is told apart.
            match timeout(shared.connect_timeout.mul_f64(0.8), handshake).await {
                Ok(stream) => Ok(Box::new(stream.map_err(lost)?)),
                Err(_) => Err(StoreError::new(
                    StoreErrorKind::Disconnected,
                    format!(
                        "TLS: {address} does not answer the handshake; for a server without TLS the URL is redis…://"
                    ),
                )),
            }
        }
        #[cfg(unix)]
        Target::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await.map_err(lost)?)),
        #[cfg(not(unix))]
        Target::Unix(_) => Err(StoreError::new(StoreErrorKind::Refused, "this system has no unix sockets")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn lost(error: std::io::Error) -> StoreError {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let message = match of_tls {
        // The other side's word on the certificate that it was shown, or was not.
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("TLS: the server refused the connection, or the client's certificate: {alert:?}")
        }
        Some(_) => format!("TLS: {error}"),
        None => error.to_string(),
    };
    StoreError::new(StoreErrorKind::Disconnected, message)
}

pub(super) fn protocol(what: String) -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, what)
}
