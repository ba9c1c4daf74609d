//! The other side of a connection, by a script: it speaks as much RESP3 as a driver needs to trust it, and does what a test
//! says with every command behind that.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The words of a command.
pub type Words = Vec<Vec<u8>>;

/// One connection, as its script sees it.
pub struct Talk {
    pub stream: TcpStream,
    /// Counted from 1.
    pub number: usize,
    /// Commands that have come over it.
    pub count: u64,
    /// Another command has come already.
    pub has_more: bool,
    /// Kept back by the script.
    pub out: Vec<u8>,
}

/// What is to become of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    GoOn,
    HangUp,
}

impl Talk {
    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Then {
        if self.stream.write_all(bytes.as_ref()).is_ok() { Then::GoOn } else { Then::HangUp }
    }
}

/// Listens until it is dropped.
pub struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<HashMap<usize, TcpStream>>>,
    is_over: Arc<AtomicBool>,
    torn: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// One whose `play` is asked for the answer to every command but those of the handshake.
    pub fn start(play: impl Fn(&mut Talk, &[Vec<u8>]) -> Then + Send + Sync + 'static) -> Self {
        Self::greeting(|_, _| None, play)
    }

    /// The same; `greet` may answer a command of the handshake otherwise.
    pub fn greeting(
        greet: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
        play: impl Fn(&mut Talk, &[Vec<u8>]) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), greet, play)
    }

    pub fn on(
        listener: TcpListener,
        greet: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
        play: impl Fn(&mut Talk, &[Vec<u8>]) -> Then + Send + Sync + 'static,
    ) -> Self {
        let peer = Self {
            port: listener.local_addr().expect("bound").port(),
            connections: Arc::default(),
            open: Arc::default(),
            is_over: Arc::default(),
            torn: Arc::default(),
        };
        let (connections, open, is_over, torn) =
            (Arc::clone(&peer.connections), Arc::clone(&peer.open), Arc::clone(&peer.is_over), Arc::clone(&peer.torn));
        let script = Arc::new((greet, play));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
                stream.set_nodelay(true).expect("a socket");
                open.lock().expect("no panic under it").insert(number, stream.try_clone().expect("a socket"));
                let (script, open, torn) = (Arc::clone(&script), Arc::clone(&open), Arc::clone(&torn));
                std::thread::spawn(move || {
                    let talk = Talk { stream, number, count: 0, has_more: false, out: Vec::new() };
                    if let Err(what) = serve(talk, &script.0, &script.1) {
                        torn.lock().expect("no panic under it").push(what);
                    }
                    if let Some(stream) = open.lock().expect("no panic under it").remove(&number) {
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        peer
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What came that was no command: one was written into another.
    pub fn torn(&self) -> Vec<String> {
        self.torn.lock().expect("no panic under it").clone()
    }

    /// Cuts those that stand.
    pub fn cut(&self) {
        for stream in self.open.lock().expect("no panic under it").values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the one who listens.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// What a server of our time says before it is asked for anything.
fn greeting(name: &str) -> Option<String> {
    Some(match name {
        "HELLO" => {
            "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:3\r\n".to_owned()
        }
        "CLIENT" | "SELECT" | "QUIT" => "+OK\r\n".to_owned(),
        "INFO" => bulk("# Server\r\nrun_id:0123456789\r\n"),
        "ROLE" => "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_owned(),
        _ => return None,
    })
}

pub fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// The answer to a PING.
pub fn pong(words: &[Vec<u8>]) -> String {
    words.get(1).map_or("+PONG\r\n".to_owned(), |word| bulk(&String::from_utf8_lossy(word)))
}

fn serve(
    mut talk: Talk,
    greet: &impl Fn(usize, &str) -> Option<String>,
    play: &impl Fn(&mut Talk, &[Vec<u8>]) -> Then,
) -> Result<(), String> {
    let mut reader = BufReader::new(talk.stream.try_clone().expect("a socket"));
    while let Some(words) = read_command(&mut reader)? {
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        (talk.count, talk.has_more) = (talk.count + 1, !reader.buffer().is_empty());
        let then = match greet(talk.number, &name).or_else(|| greeting(&name)) {
            Some(answer) => talk.send(answer),
            None => play(&mut talk, &words),
        };
        if then == Then::HangUp {
            break;
        }
    }
    Ok(())
}

/// None at the end, also in the middle of a command.
fn read_command(reader: &mut impl BufRead) -> Result<Option<Words>, String> {
    let Some(count) = read_head(reader, '*')? else { return Ok(None) };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some(length) = read_head(reader, '$')? else { return Ok(None) };
        let mut word = vec![0; length + 2];
        if reader.read_exact(&mut word).is_err() {
            return Ok(None);
        }
        if !word.ends_with(b"\r\n") {
            return Err(format!("{length} bytes and then {:?}", String::from_utf8_lossy(&word[length..])));
        }
        word.truncate(length);
        words.push(word);
    }
    Ok(Some(words))
}

fn read_head(reader: &mut impl BufRead, kind: char) -> Result<Option<usize>, String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line).is_err() || !line.ends_with(b"\n") {
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&line);
    let head = line.strip_prefix(kind).and_then(|rest| rest.trim_end().parse().ok());
    head.map(Some).ok_or_else(|| format!("{line:?} where {kind} should be"))
}
