//! One open connection: its socket and buffers, how it is opened, named and made to track. For commands ([`super::lane`]), for
//! pushes, and for what Sentinels and a Cluster's nodes are asked.

#[cfg(unix)]
use std::io::Write;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use redis_protocol::resp3::types::BytesFrame as Frame;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Credentials;
use super::errors::refused;
use super::reply::error_text;
use super::shared::{Shared, Target};
use super::watchdog::INTERVAL;
use super::{reach, resp};
use crate::ports::{StoreError, StoreErrorKind};

/// Bytes taken from the socket before they are looked at: what the server wrote at once should be told at once.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Room that is made for what arrives, once there is less than the least.
const READ_BYTES: usize = 65_536;
const READ_BYTES_LEAST: usize = 4_096;
/// What is said of an end without a reason.
pub(super) const CLOSED: &str = "the server closed the connection";
/// And of a server that talks too much.
pub(super) const UNASKED: &str = "an answer to nothing that was asked";
/// A server that has been asked for an echo may leave it out.
pub(super) const PONG: &[u8] = b"PONG";

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket itself, where what is written to it goes out as it is.
    fn bare(&self) -> Option<BareSocket> {
        None
    }
}

impl Wire for TcpStream {
    #[cfg(unix)]
    fn bare(&self) -> Option<BareSocket> {
        Some(BareSocket::Tcp(self.as_fd().try_clone_to_owned().ok()?.into()))
    }
}

#[cfg(unix)]
impl Wire for UnixStream {
    fn bare(&self) -> Option<BareSocket> {
        Some(BareSocket::Unix(self.as_fd().try_clone_to_owned().ok()?.into()))
    }
}

impl Wire for TlsStream<TcpStream> {}

/// Another handle of a session's socket, that any thread may write to. Whoever does must know that nobody else does.
pub(super) enum BareSocket {
    #[cfg(unix)]
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl BareSocket {
    /// Without waiting.
    #[cfg(unix)]
    pub(super) fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).write(bytes),
            Self::Unix(socket) => (&mut &*socket).write(bytes),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn write(&self, _: &[u8]) -> std::io::Result<usize> {
        match *self {}
    }
}

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
        within_connect_timeout(shared, target, Self::open(shared, target, credentials, Some(name)))
            .await
            .map(|opened| opened.0)
    }

    /// The same within the caller's own time; with what the server says of itself.
    pub(super) async fn open(
        shared: &Shared,
        target: &Target,
        credentials: &Credentials,
        name: Option<&str>,
    ) -> Result<(Self, Frame), StoreError> {
        let (unread, unsent) = (BytesMut::new(), BytesMut::new());
        let mut session =
            Self { wire: wire(shared, target).await?, unread, unsent, target: target.clone(), is_tracking: false };
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &credentials.password {
            let user = credentials.username.as_deref().unwrap_or("default");
            hello.extend([b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        if let Some(name) = name {
            hello.extend([&b"SETNAME"[..], name.as_bytes()]);
        }
        let told = session.ask(&hello).await?;
        Ok((session, told))
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
        self.answer().await
    }

    /// The same, with a PING right behind it, which shows that nothing has been answered but what was asked: what is left
    /// over would be given to the commands that come next.
    pub(super) async fn ask_in_step(&mut self, command: &[&[u8]]) -> Result<Frame, StoreError> {
        const ECHO: &[u8] = b"tidegate";
        resp::write(&mut self.unsent, command);
        resp::write(&mut self.unsent, &[b"PING", ECHO]);
        self.flush().await?;
        let told = self.answer().await;
        if told.as_ref().is_err_and(|error| error.kind != StoreErrorKind::Refused) {
            return told;
        }
        let is_in_step = match self.answer().await {
            // A user may not be allowed it.
            Err(error) if error.kind == StoreErrorKind::Refused => true,
            answer => resp::string(answer?).is_some_and(|echo| *echo == *ECHO || *echo == *PONG),
        };
        if is_in_step && self.unread.is_empty() { told } else { Err(protocol(UNASKED.into())) }
    }

    async fn answer(&mut self) -> Result<Frame, StoreError> {
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
        let write = async {
            self.wire.write_all(&out).await?;
            // TLS keeps what it has made of it.
            self.wire.flush().await
        };
        match timeout(INTERVAL, write).await {
            Ok(done) => done.map_err(lost),
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout, "the server takes no more bytes")),
        }
    }

    /// Reads what has arrived. Nothing is lost when this is dropped before its end.
    pub(super) async fn fill(&mut self) -> Result<(), StoreError> {
        let had = self.unread.len();
        self.read().await?;
        while self.may_be_more(had) {
            // There may be more, and what belongs together is better told together.
            match futures_util::FutureExt::now_or_never(self.read()) {
                Some(read) => read?,
                None => break,
            }
        }
        Ok(())
    }

    pub(super) fn bare(&self) -> Option<BareSocket> {
        self.wire.bare()
    }

    /// Writes what the socket takes of what is unsent. Ready when that was all.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.wire).poll_write(context, &self.unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(StoreError::new(StoreErrorKind::Disconnected, CLOSED))),
                Poll::Ready(Ok(count)) => self.unsent.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
        // TLS keeps what it has made of it. (A socket has nothing to flush.)
        Pin::new(&mut self.wire).poll_flush(context).map_err(lost)
    }

    /// Writes likewise, and reads what has arrived: ready with that. Nothing is lost when this is not polled on.
    pub(super) fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            return Poll::Ready(Err(error));
        }
        let had = self.unread.len();
        loop {
            let read = pin!(self.read()).poll(context);
            match read {
                Poll::Ready(Ok(())) if self.may_be_more(had) => {}
                // What has been read is told first; what ends here ends the next time too.
                Poll::Pending | Poll::Ready(Err(_)) if self.unread.len() > had => return Poll::Ready(Ok(())),
                read => return read,
            }
        }
    }

    /// Whether a read filled the room that it was given, and more belongs to the batch.
    fn may_be_more(&self, had: usize) -> bool {
        self.unread.len() == self.unread.capacity() && self.unread.len() - had < BATCH_BYTES_MAX
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        if self.unread.capacity() - self.unread.len() < READ_BYTES_LEAST {
            self.unread.reserve(READ_BYTES);
        }
        // One read takes what a server writes meanwhile too: without a bound all that it has to say, however much that is.
        match self.wire.read_buf(&mut (&mut self.unread).limit(BATCH_BYTES_MAX)).await {
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
            let stream = reach::connect(address, shared.connect_timeout).await.map_err(lost)?;
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
        Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(lost)?)),
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
