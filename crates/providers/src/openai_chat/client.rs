//! Chat Completions as a provider: where they are asked for, with which headers, and which parts read the answer.

use std::sync::Arc;

use mainstay_vocabulary::inference::{EmbeddingRequest, Embeddings, Failure, Format, Request};
use reqwest::{Url, header::AUTHORIZATION};

use super::{
    decode::decoder_for,
    dialect::Dialect,
    encode::{encode, own},
};
use crate::{
    ChunkStream, Error, Provider, Reply, Settings,
    http::{
        account::{Account, KeyHeader, Outgoing},
        call::{self, Ask},
    },
    openai::{embedding, header},
};

/// One account on one server.
#[derive(Debug)]
pub(crate) struct OpenAiChat {
    account: Arc<Account>,
    completions: Url,
    dialect: Dialect,
}

impl OpenAiChat {
    /// Connects nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let account = Account::new(settings, &KeyHeader { name: AUTHORIZATION, before: "Bearer " })?;
        let dialect = settings.dialect.unwrap_or_else(|| Dialect::of_host(account.host()));
        let completions = account.url(&["chat", "completions"]);
        Ok(Self { account: Arc::new(account), completions, dialect })
    }
}

impl Provider for OpenAiChat {
    fn infer(&self, request: Request) -> ChunkStream {
        let (url, dialect) = (self.completions.clone(), self.dialect);
        call::infer(self.account.clone(), request, move |request| ask(request, url, dialect))
    }

    fn continues_prefix(&self) -> bool {
        self.dialect.continues_prefix()
    }

    fn format(&self) -> Option<Format> {
        Some(Format::OpenAiChat)
    }

    fn embed(&self, request: EmbeddingRequest) -> Reply<Embeddings> {
        embedding::embed(self.account.clone(), self.account.url(&["embeddings"]), request, self.dialect)
    }
}

fn ask(request: &Request, url: Url, dialect: Dialect) -> Result<Ask, Failure> {
    let verbatim = own(request);
    let (body, decoder) = decoder_for(encode(request, dialect)?, verbatim);
    let headers = header::of(request, verbatim);
    Ok(Ask { outgoing: Outgoing { url, headers, body }, decoder, reported: &header::REPORTED })
}
