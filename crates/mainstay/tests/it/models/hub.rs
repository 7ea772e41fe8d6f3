//! A hub on loopback that serves one file well or badly, and counts what it sent.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

/// Where a body without end ends after all, so that a client without a bound fails its test and not the disk.
const ENDLESS: usize = 64 << 20;

/// Written at once.
const PIECE: usize = 16 << 10;

/// How the hub behaves. What is not said is right.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) file: Arc<Vec<u8>>,
    pub(crate) status: &'static str,
    pub(crate) etag: &'static str,
    /// Honours `Range`.
    pub(crate) ranges: bool,
    /// Honours `If-Range`.
    pub(crate) if_range: bool,
    /// Says no length: the body is chunked.
    pub(crate) chunked: bool,
    /// The body does not end with the file.
    pub(crate) endless: bool,
    /// Closes each connection after so many bytes of body.
    pub(crate) cut: Option<usize>,
    /// Waits for a word after so many bytes of body.
    pub(crate) hold: Option<usize>,
    /// Sends on so often before it answers.
    pub(crate) redirects: usize,
}

impl Play {
    pub(crate) fn well(file: &[u8]) -> Self {
        Self {
            file: Arc::new(file.to_vec()),
            status: "200 OK",
            etag: "\"one\"",
            ranges: true,
            if_range: true,
            chunked: false,
            endless: false,
            cut: None,
            hold: None,
            redirects: 0,
        }
    }
}

/// One request, and what it got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    /// Bytes of body that were sent.
    pub(crate) sent: usize,
}

pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    release: Sender<()>,
}

struct Shared {
    play: Mutex<Play>,
    seen: Mutex<Vec<Seen>>,
    word: Mutex<Receiver<()>>,
}

impl Hub {
    pub(crate) fn start(play: Play) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (release, word) = channel();
        let shared = Arc::new(Shared { play: Mutex::new(play), seen: Mutex::default(), word: Mutex::new(word) });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = serving.clone();
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared, release }
    }

    pub(crate) fn play(&self) -> MutexGuard<'_, Play> {
        self.shared.play.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Bytes of body that were sent in all.
    pub(crate) fn sent(&self) -> usize {
        self.seen().iter().map(|seen| seen.sent).sum()
    }

    /// Lets one held answer go on.
    pub(crate) fn release(&self) {
        self.release.send(()).unwrap();
    }
}

impl Shared {
    /// One request per connection; an error means that the client has gone.
    fn serve(&self, stream: TcpStream) {
        let Some(asked) = read_head(&stream) else { return };
        let play = self.play.lock().unwrap().clone();
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(asked.clone());
            seen.len() - 1
        };
        let hops = asked.path.rsplit_once("?hop=").map_or(0, |(_, hops)| hops.parse().unwrap());
        if hops < play.redirects {
            let path = asked.path.split('?').next().unwrap();
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {path}?hop={}\r\n", hops + 1);
            let _ = (&stream).write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
            return;
        }
        let _ = self.answer(&stream, &asked, (&play, number));
    }

    fn answer(&self, mut stream: &TcpStream, asked: &Seen, (play, number): (&Play, usize)) -> std::io::Result<()> {
        let length = play.file.len();
        let is_same = !play.if_range || asked.if_range.as_deref().is_none_or(|etag| etag == play.etag);
        let from = asked.range.as_ref().filter(|_| play.ranges && is_same);
        let from = from.map(|range| range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
        let status = if from.is_some() { "206 Partial Content" } else { play.status };
        let start = from.unwrap_or(0);
        let mut head = format!("HTTP/1.1 {status}\r\netag: {}\r\nconnection: close\r\n", play.etag);
        if from.is_some() {
            head.push_str(&format!("content-range: bytes {start}-{}/{length}\r\n", length - 1));
        }
        match play.chunked {
            true => head.push_str("transfer-encoding: chunked\r\n\r\n"),
            false => head.push_str(&format!("content-length: {}\r\n\r\n", length - start)),
        }
        stream.write_all(head.as_bytes())?;
        let mut sent = 0;
        let mut rest = &play.file[start..];
        while !rest.is_empty() {
            let stops = [play.cut, play.hold.filter(|hold| sent < *hold)];
            let most = stops.into_iter().flatten().map(|stop| stop - sent).min().unwrap_or(PIECE).min(PIECE);
            let piece = &rest[..most.min(rest.len())];
            match play.chunked {
                true => stream.write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())?,
                false => stream.write_all(piece)?,
            }
            sent += piece.len();
            self.seen.lock().unwrap()[number].sent = sent;
            if play.cut == Some(sent) {
                return Ok(());
            }
            if play.hold == Some(sent) {
                let _ = self.word.lock().unwrap().recv();
            }
            rest = if play.endless && sent < ENDLESS { &play.file } else { &rest[piece.len()..] };
        }
        if play.chunked { stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }
}

fn read_head(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut seen = Seen { path, ..Seen::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => seen.range = Some(value.to_owned()),
            "if-range" => seen.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(seen)
}
