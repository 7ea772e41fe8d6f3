//! A wire between a store and its server that can be cut at the worst moment: when a lane sends its COMMIT. One cut for
//! each time that it is armed; other connections go on.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// What happens to the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing of the transaction gets to the server.
    Before,
    /// The server commits; its answer is lost.
    After,
    /// All but the COMMIT gets to the server; the client sees the connection break. The COMMIT waits for `deliver`.
    Held,
}

#[derive(Default)]
struct State {
    armed: Option<Cut>,
    /// A COMMIT on its way, with the server's side of its connection.
    held: Option<(TcpStream, Vec<u8>)>,
}

/// A running proxy.
#[derive(Clone)]
pub struct Proxy {
    state: Arc<(Mutex<State>, Condvar)>,
    port: u16,
}

impl Proxy {
    /// Starts one in front of a port of loopback.
    ///
    /// # Panics
    /// If there is no port to be had.
    #[must_use]
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { state: Arc::default(), port };
        let own = proxy.clone();
        background(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                own.clone().join(client, server);
            }
        });
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Cuts at the next COMMIT of a lane.
    ///
    /// # Panics
    /// If another test panicked.
    pub fn arm(&self, cut: Cut) {
        self.state.0.lock().unwrap().armed = Some(cut);
    }

    /// Waits for a COMMIT to be held.
    ///
    /// # Panics
    /// If another test panicked.
    pub fn wait_for_held(&self) {
        let mut state = self.state.0.lock().unwrap();
        while state.held.is_none() {
            state = self.state.1.wait(state).unwrap();
        }
    }

    /// Lets the held COMMIT go on, or takes it and its connection away.
    ///
    /// # Panics
    /// If none is held.
    pub fn deliver(&self, arrives: bool) {
        let (mut server, commit) = self.state.0.lock().unwrap().held.take().unwrap();
        if arrives {
            // The other direction ends the connection when the answer comes.
            server.write_all(&commit).unwrap();
        } else {
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    fn join(self, client: TcpStream, server: TcpStream) {
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let lost = Arc::new(Mutex::new(false));
        let is_lost = Arc::clone(&lost);
        background(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(length) = from.read(&mut bytes) {
                // What comes after a cut is for nobody. A server whose client is gone may give up what it was told, so
                // the connection stays until it says that it has committed.
                let is_over = if *is_lost.lock().unwrap() {
                    find(&bytes[..length], b"COMMIT\0").is_some()
                } else {
                    to.write_all(&bytes[..length]).is_err()
                };
                if length == 0 || is_over {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
        background(move || self.forward((client, server), &lost));
    }

    fn forward(&self, (mut client, mut server): (TcpStream, TcpStream), lost: &Mutex<bool>) {
        let mut bytes = vec![0; 64 << 10];
        // Whether a lane's transaction has begun whose end was not seen: it may come in pieces.
        let mut is_writing = false;
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            let sent = &bytes[..length];
            is_writing |= find(sent, b"BEGIN READ WRITE\0").is_some();
            let commit = find(sent, b"COMMIT\0").filter(|_| is_writing);
            let cut = commit.and_then(|_| self.state.0.lock().unwrap().armed.take());
            is_writing &= commit.is_none();
            match (cut, commit) {
                (None, _) | (_, None) => {
                    if server.write_all(sent).is_err() {
                        break;
                    }
                }
                (Some(Cut::Before), _) => break,
                (Some(Cut::After), _) => {
                    *lost.lock().unwrap() = true;
                    let _ = server.write_all(sent);
                    // The other direction ends the client's side when the answer comes.
                    let _ = client.read(&mut bytes);
                    break;
                }
                (Some(Cut::Held), Some(at)) => {
                    // The message's type and length stand before its text.
                    let (before, rest) = sent.split_at(at - 5);
                    *lost.lock().unwrap() = true;
                    let _ = server.write_all(before);
                    self.state.0.lock().unwrap().held = Some((server.try_clone().unwrap(), rest.to_vec()));
                    let _ = client.shutdown(Shutdown::Both);
                    self.state.1.notify_all();
                    return;
                }
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|window| window == wanted)
}

#[allow(clippy::disallowed_methods, reason = "a proxy's threads end with its connections, or with the test")]
fn background(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}
