//! What nodes of a cluster say to each other, and how they know each other: errands as JSON, signed with a key that all
//! nodes derive from the keyring. Must not know how letters travel (`Peers`) or who holds what (`membership`).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mainstay_providers::peer::{Letter, Lines, Peers, Unreached};
use mainstay_session::{Command, State, feed::Moment};
use mainstay_store::seam::Idempotency;
use mainstay_vocabulary::{Sequence, SessionId, Timestamp};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    engine::{Accepted, Caller},
    error::Error,
};

/// Where a node takes commands from others.
pub const SUBMIT: &str = "/mainstay/node/v1/submit";
/// Where it lets others follow its sessions.
pub const FOLLOW: &str = "/mainstay/node/v1/follow";
/// The header that says when a letter was written, its number, and its signature.
pub const SIGNATURE: &str = "x-mainstay-node";

/// How long a signature is accepted, milliseconds either way: clocks of nodes may differ by so much.
const ACCEPTED_MS: u64 = 15_000;
/// Letters that are remembered of twice that time, so that none is taken twice: 16,000 a second, more than one node
/// takes. They hold 16 MB at most.
const REMEMBERED: usize = 500_000;
/// Longest time for an errand that is answered whole: a commit behind a full queue, no inference.
const WITHIN: Duration = Duration::from_secs(20);
/// Longest time until a node lets itself be followed.
const FOLLOW_WITHIN: Duration = Duration::from_secs(5);

/// A command for a session that another node drives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Submit {
    pub(crate) caller: Caller,
    pub(crate) session: SessionId,
    pub(crate) command: Command,
    pub(crate) idempotency: Option<Known>,
}

/// A client's idempotency key, digested.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    scope: [u8; 32],
    request: [u8; 32],
    expires: Timestamp,
}

impl From<&Idempotency> for Known {
    fn from(key: &Idempotency) -> Self {
        Self { scope: key.scope, request: key.request, expires: key.expires }
    }
}

impl From<Known> for Idempotency {
    fn from(known: Known) -> Self {
        Self { scope: known.scope, request: known.request, expires: known.expires }
    }
}

/// What became of a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    session: SessionId,
    first: Sequence,
    sequence: Sequence,
    at: Timestamp,
    replayed: bool,
    state: State,
}

impl From<Accepted> for Taken {
    fn from(accepted: Accepted) -> Self {
        let Accepted { session, first, sequence, at, replayed, state } = accepted;
        Self { session, first, sequence, at, replayed, state: (*state).clone() }
    }
}

impl From<Taken> for Accepted {
    fn from(taken: Taken) -> Self {
        let Taken { session, first, sequence, at, replayed, state } = taken;
        Self { session, first, sequence, at, replayed, state: Arc::new(state) }
    }
}

/// Wishes to follow a session from now on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct FollowSession {
    pub(crate) session: SessionId,
}

/// Why an errand was not done.
#[derive(Debug)]
pub(crate) enum Undone {
    /// Certainly not: another node may be asked.
    Not(String),
    /// Nobody knows.
    Unknown(String),
}

impl From<Unreached> for Undone {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::NotSent(why) => Self::Not(why),
            Unreached::Lost(why) => Self::Unknown(why),
            Unreached::Refused(status, why) => Self::Not(format!("{status} {why}")),
        }
    }
}

/// Speaks to other nodes, and checks what they say.
pub(crate) struct Post {
    peers: Arc<dyn Peers>,
    key: hmac::Key,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// Numbers of letters that were taken lately, in two generations by time.
#[derive(Default)]
struct Seen {
    recent: HashSet<u128>,
    older: HashSet<u128>,
    turned_at: Timestamp,
}

impl Post {
    pub(crate) fn new(peers: Arc<dyn Peers>, key: &[u8; 32], clock: Arc<dyn Clock>) -> Self {
        Self { peers, key: hmac::Key::new(hmac::HMAC_SHA256, key), clock, seen: Mutex::default() }
    }

    /// Lets another node take a command.
    pub(crate) async fn submit(
        &self,
        (address, number): (&str, [u8; 16]),
        errand: &Submit,
    ) -> Result<Result<Accepted, Error>, Undone> {
        let letter = self.letter((address, SUBMIT), number, (errand, WITHIN))?;
        let answer = self.peers.ask(letter).await?;
        let answer: Result<Taken, Error> =
            serde_json::from_slice(&answer).map_err(|error| Undone::Unknown(error.to_string()))?;
        Ok(answer.map(Accepted::from))
    }

    /// Listens to what another node shows of a session.
    pub(crate) async fn follow(
        &self,
        (address, number): (&str, [u8; 16]),
        session: SessionId,
    ) -> Result<Lines, Undone> {
        let letter = self.letter((address, FOLLOW), number, (&FollowSession { session }, FOLLOW_WITHIN))?;
        Ok(self.peers.listen(letter).await?)
    }

    fn letter<T: Serialize>(
        &self,
        (address, path): (&str, &str),
        number: [u8; 16],
        (errand, within): (&T, Duration),
    ) -> Result<Letter, Undone> {
        let body = serde_json::to_vec(errand).map_err(|error| Undone::Not(error.to_string()))?;
        let written = self.clock.now().0;
        let number = format!("{:032x}", u128::from_be_bytes(number));
        let signature =
            data_encoding::HEXLOWER.encode(hmac::sign(&self.key, &signed(path, (written, &number), &body)).as_ref());
        let headers = vec![(SIGNATURE, format!("{written}.{number}.{signature}"))];
        Ok(Letter { url: format!("{address}{path}"), headers, body, within })
    }

    /// Reads an errand of another node.
    ///
    /// # Errors
    /// Why it is not taken for one.
    pub(crate) fn open<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        header: &str,
        body: &[u8],
    ) -> Result<T, &'static str> {
        let mut parts = header.splitn(3, '.');
        let (Some(written), Some(number), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("the signature has not three parts");
        };
        let written: u64 = written.parse().map_err(|_| "the signature's time is no number")?;
        let signature = data_encoding::HEXLOWER.decode(signature.as_bytes()).map_err(|_| "the signature is not hex")?;
        hmac::verify(&self.key, &signed(path, (written, number), body), &signature)
            .map_err(|_| "the signature is not of a node with these keys")?;
        let now = self.clock.now();
        if now.0.abs_diff(written) > ACCEPTED_MS {
            return Err("the letter is of another time: are the nodes' clocks set?");
        }
        let number = u128::from_str_radix(number, 16).map_err(|_| "the letter's number is not hex")?;
        if !self.is_first(number, now) {
            return Err("the letter came before");
        }
        serde_json::from_slice(body).map_err(|_| "the errand is of a shape that this version does not know")
    }

    fn is_first(&self, number: u128, now: Timestamp) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0.saturating_sub(seen.turned_at.0) > 2 * ACCEPTED_MS {
            seen.older = std::mem::take(&mut seen.recent);
            seen.turned_at = now;
        }
        let is_full = seen.recent.len() >= REMEMBERED;
        !is_full && !seen.older.contains(&number) && seen.recent.insert(number)
    }
}

fn signed(path: &str, (written, number): (u64, &str), body: &[u8]) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    [format!("{path}\n{written}\n{number}\n").as_bytes(), digest.as_ref()].concat()
}

/// One commit's moments as a line.
pub(crate) fn line(moments: &[Moment]) -> Vec<u8> {
    // Moments are plain data: writing them as JSON into memory cannot fail.
    let mut line = serde_json::to_vec(moments).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The moments of a line; `None` for one that only says that the connection stands.
pub(crate) fn read_line(line: &[u8]) -> Option<Result<Vec<Moment>, serde_json::Error>> {
    (!line.is_empty()).then(|| serde_json::from_slice(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Virtual;

    struct Nobody;

    impl Peers for Nobody {
        fn ask(&self, _: Letter) -> mainstay_providers::peer::Answered<'_> {
            Box::pin(std::future::ready(Err(Unreached::NotSent(String::new()))))
        }

        fn listen(&self, _: Letter) -> mainstay_providers::peer::Listened<'_> {
            Box::pin(std::future::ready(Err(Unreached::NotSent(String::new()))))
        }
    }

    fn post(key: u8, now: u64) -> Post {
        Post::new(Arc::new(Nobody), &[key; 32], Arc::new(Virtual::starting_at(Timestamp(now))))
    }

    fn letter(post: &Post, number: u8) -> (String, Vec<u8>) {
        let session = SessionId::new(mainstay_vocabulary::Shard(3), [4; 16]);
        let within = (&FollowSession { session }, WITHIN);
        let letter = post.letter(("http://there", FOLLOW), [number; 16], within).unwrap_or_else(|_| unreachable!());
        (letter.headers[0].1.clone(), letter.body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_letter_is_taken_once_from_who_has_the_key_at_its_time_and_place() {
        let (here, there) = (post(1, 1_000_000), post(1, 1_010_000));
        let (header, body) = letter(&here, 1);
        let open =
            |post: &Post, path, header: &str, body: &[u8]| post.open::<FollowSession>(path, header, body).map(drop);
        assert_eq!(open(&there, FOLLOW, &header, &body), Ok(()));
        assert_eq!(open(&there, FOLLOW, &header, &body), Err("the letter came before"));
        let (header, body) = letter(&here, 2);
        let foreign = "the signature is not of a node with these keys";
        assert_eq!(open(&post(2, 1_000_000), FOLLOW, &header, &body), Err(foreign));
        assert_eq!(open(&there, SUBMIT, &header, &body), Err(foreign));
        assert_eq!(open(&there, FOLLOW, &header, &[&body[..], b" "].concat()), Err(foreign));
        assert_eq!(open(&there, FOLLOW, &header.replace("1000000", "1000001"), &body), Err(foreign));
        let late = post(1, 1_000_000 + ACCEPTED_MS + 1);
        assert!(open(&late, FOLLOW, &header, &body).unwrap_err().contains("clocks"));
        assert!(open(&there, FOLLOW, "", &body).is_err());
        assert!(open(&there, FOLLOW, "1.2", &body).is_err());
        assert!(open(&there, FOLLOW, "x.2.3", &body).is_err());
        assert_eq!(open(&there, FOLLOW, &header, &body), Ok(()), "refusals spend nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_letters_is_bounded_and_outlives_their_time() {
        let there = post(1, 0);
        for number in 0..REMEMBERED as u128 {
            assert!(there.is_first(number, Timestamp(1)));
        }
        assert!(!there.is_first(u128::MAX, Timestamp(1)), "refused rather than forgotten");
        let later = Timestamp(2 * ACCEPTED_MS + 2);
        assert!(!there.is_first(0, later));
        assert!(there.is_first(u128::MAX, later));
    }
}
