//! A provider that plays canned replies from a file: the mock of tests, benches and first steps. Deterministic;
//! waits only where the script says so. The format is described in `docs/guides/scripted-provider.md` and read by
//! `script`; `play` is pure; this file counts uses and keeps time.

mod play;
mod script;
mod vector;

use std::{
    collections::VecDeque,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use mainstay_vocabulary::inference::{Chunk, EmbeddingRequest, Embeddings, Failure, FailureKind, Request, TokenCount};

use self::{
    play::{Act, Scene},
    script::{Reply, Script},
};
use crate::{ChunkStream, Error, Provider, Reply as Answer, Settings};

/// A script and how often each of its replies was used.
#[derive(Debug)]
pub(crate) struct Scripted {
    script: Arc<Script>,
    uses: Arc<[AtomicU32]>,
}

impl Scripted {
    /// Reads the script file, or takes the built-in one, which echoes.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let script = match &settings.script {
            Some(path) => Script::read(path)?,
            None => Script::built_in(),
        };
        let uses = script.replies.iter().map(|_| AtomicU32::new(0)).collect();
        Ok(Self { script: Arc::new(script), uses })
    }
}

impl Provider for Scripted {
    fn infer(&self, request: Request) -> ChunkStream {
        let opening = Opening { script: self.script.clone(), uses: self.uses.clone(), request };
        Box::pin(stream::try_unfold(Playing::Asked(Box::new(opening)), |mut playing| async move {
            let chunk = playing.next().await?;
            Ok(chunk.map(|chunk| (chunk, playing)))
        }))
    }

    fn continues_prefix(&self) -> bool {
        self.script.continues_prefix
    }

    fn count(&self, request: Request) -> Answer<TokenCount> {
        let tokens = Scene::of(&request).tokens();
        Box::pin(ready(Ok(TokenCount { tokens, is_exact: true })))
    }

    fn embed(&self, request: EmbeddingRequest) -> Answer<Embeddings> {
        Box::pin(ready(vector::embed(&request)))
    }
}

struct Opening {
    script: Arc<Script>,
    uses: Arc<[AtomicU32]>,
    request: Request,
}

enum Playing {
    Asked(Box<Opening>),
    Acts(VecDeque<Act>),
}

impl Playing {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        if let Self::Asked(opening) = self {
            *self = Self::Acts(opening.acts()?);
        }
        let Self::Acts(acts) = self else { return Ok(None) };
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Emit(chunk) => return Ok(Some(chunk)),
                Act::Wait(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
                Act::Fail(failure) => return Err(failure),
                Act::Hang => std::future::pending().await,
            }
        }
        Ok(None)
    }
}

impl Opening {
    fn acts(&self) -> Result<VecDeque<Act>, Failure> {
        let scene = Scene::of(&self.request);
        let reply = self.reply(&scene).ok_or_else(|| Failure {
            kind: FailureKind::InvalidRequest,
            message: "the script has no reply for this request".to_owned(),
            retry_after_ms: None,
        })?;
        let prefix = self.request.prefix.as_deref().filter(|_| self.script.continues_prefix);
        Ok(play::acts(reply, &scene, prefix))
    }

    /// The first reply that matches and is not used up; counts the use.
    fn reply(&self, scene: &Scene<'_>) -> Option<&Reply> {
        let matching = self.script.replies.iter().zip(&*self.uses).filter(|(reply, _)| scene.matches(&reply.when));
        let mut unused = matching.filter(|(reply, uses)| take_use(uses, reply.repeat));
        unused.next().map(|(reply, _)| reply)
    }
}

/// Counts one use where there is one left; `None` is without end.
fn take_use(uses: &AtomicU32, repeat: Option<u32>) -> bool {
    let Some(repeat) = repeat else { return true };
    let one_more = |used: u32| (used < repeat).then_some(used + 1);
    uses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
}
