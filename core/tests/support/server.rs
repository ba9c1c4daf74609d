//! A real redis-server of the test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tidegate::store::redis::{RedisSettings, RedisStore};

use super::PATIENCE;

/// A redis-server of the test's own, in a folder of its own, ended by its process id when dropped.
pub struct RedisServer {
    folder: PathBuf,
    port: Option<u16>,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// On a unix socket.
    pub fn start() -> Self {
        Self::launch(None, &[])
    }

    /// On a free loopback port too.
    pub fn start_tcp() -> Self {
        Self::launch(Some(free_port()), &[])
    }

    /// One node of a Cluster that has yet to be made.
    pub fn start_of_cluster() -> Self {
        let bus = free_port().to_string();
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "30000", "--cluster-port", &bus];
        Self::launch(Some(free_port()), &options)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port.expect("started with a port")
    }

    pub fn start_with(options: &[&str]) -> Self {
        Self::launch(None, options)
    }

    fn launch(port: Option<u16>, options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tidegate-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = Self { folder, port, options, child: None };
        server.restart();
        server
    }

    /// Starts the server, empty.
    pub fn restart(&mut self) {
        self.kill();
        let child = Process::new("redis-server")
            .args(["--port", &self.port.unwrap_or(0).to_string(), "--bind", "127.0.0.1"])
            .arg("--unixsocket")
            .arg(self.socket())
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.folder)
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let started = Instant::now();
        while !self.is_ready() {
            assert!(started.elapsed() < PATIENCE, "redis-server did not start");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn is_ready(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
            && self.port.is_none_or(|port| TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    pub fn url(&self) -> String {
        match self.port {
            Some(port) => format!("redis://127.0.0.1:{port}"),
            None => format!("redis+unix://{}", self.socket().display()),
        }
    }

    pub fn store(&self) -> Arc<RedisStore> {
        RedisStore::new(RedisSettings::new(self.url(), "tidegate:billing:cache")).expect("right settings")
    }

    /// A store that waits longer than a busy test machine stalls, for tests that are not about time.
    pub fn patient_store(&self) -> Arc<RedisStore> {
        Self::patient_store_at(self.url())
    }

    /// The same for the user `app` with the password `pw`.
    pub fn patient_store_of_app(&self) -> Arc<RedisStore> {
        Self::patient_store_at(self.url().replace("://", "://app:pw@"))
    }

    fn patient_store_at(url: String) -> Arc<RedisStore> {
        let settings = RedisSettings { command_timeout: PATIENCE, ..RedisSettings::new(url, "tidegate:billing:cache") };
        RedisStore::new(settings).expect("right settings")
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own process");
            child.wait().expect("our own process");
        }
        let _ = std::fs::remove_file(self.socket());
    }

    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.as_ref().expect("running").id()).expect("a process id");
        // SAFETY: a plain system call on a process that we started and have not yet waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Sends one command by hand and gives the reply as text, arrays joined by spaces.
    pub fn raw(&self, parts: &[&[u8]]) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("running");
        let mut out = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            out.extend(format!("${}\r\n", part.len()).bytes());
            out.extend_from_slice(part);
            out.extend(b"\r\n");
        }
        stream.write_all(&out).expect("running");
        read_reply(&mut BufReader::new(stream))
    }

    /// The id of the one connection that carries this name; ids grow.
    pub fn client_id(&self, name: &str) -> u64 {
        let clients = self.command("CLIENT LIST");
        let named = clients.lines().find(|line| line.split(' ').any(|field| field == format!("name={name}")));
        let id = named.and_then(|line| line.split(' ').next()?.strip_prefix("id=")?.parse().ok());
        id.unwrap_or_else(|| panic!("no {name} in {clients}"))
    }

    pub fn command(&self, line: &str) -> String {
        self.raw(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.go_on();
        }
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn read_reply(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a reply");
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "$" => match rest.parse::<usize>() {
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                reader.read_exact(&mut bytes).expect("a whole reply");
                String::from_utf8_lossy(&bytes[..length]).into_owned()
            }
            Err(_) => "nil".into(),
        },
        "*" => (0..rest.parse().unwrap_or(0)).map(|_| read_reply(reader)).collect::<Vec<_>>().join(" "),
        _ => rest.into(),
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
