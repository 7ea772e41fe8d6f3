//! Responses as a provider: where they are asked for, with which headers, and which parts read the answer.

use std::sync::Arc;

use mainstay_vocabulary::inference::{EmbeddingRequest, Embeddings, Failure, FailureKind, Format, Request, TokenCount};
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap},
};
use serde::Deserialize;

use super::{
    assembly::decoder_for,
    encode::{encode, encode_count, own},
};
use crate::{
    ChunkStream, Dialect, Error, Provider, Reply, Settings,
    http::{
        account::{Account, KeyHeader, Outgoing},
        call::{self, Ask},
        decode::body_json,
    },
    openai::{embedding, header},
    seam::estimate,
};

/// One account on one server.
#[derive(Debug)]
pub(crate) struct OpenAiResponses {
    account: Arc<Account>,
    dialect: Dialect,
}

#[derive(Deserialize)]
struct Counted {
    input_tokens: u64,
}

impl OpenAiResponses {
    /// Connects nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let account = Account::new(settings, &KeyHeader { name: AUTHORIZATION, before: "Bearer " })?;
        let dialect = settings.dialect.unwrap_or_else(|| Dialect::of_host(account.host()));
        Ok(Self { account: Arc::new(account), dialect })
    }
}

impl Provider for OpenAiResponses {
    fn infer(&self, request: Request) -> ChunkStream {
        let (url, dialect) = (self.account.url(&["responses"]), self.dialect);
        call::infer(self.account.clone(), request, move |request| ask(request, url, dialect))
    }

    fn continues_prefix(&self) -> bool {
        false
    }

    fn format(&self) -> Option<Format> {
        Some(Format::OpenAiResponses)
    }

    fn count(&self, request: Request) -> Reply<TokenCount> {
        let (account, dialect) = (self.account.clone(), self.dialect);
        Box::pin(async move {
            let url = account.url(&["responses", "input_tokens"]);
            let body = encode_count(&request, dialect)?;
            match account.ask(Outgoing { url, headers: HeaderMap::new(), body }).await {
                Ok(answer) => {
                    let counted: Counted = body_json(&answer).map_err(|failure| account.own(failure))?;
                    Ok(TokenCount { tokens: counted.input_tokens, is_exact: true })
                }
                // The server counts for nobody.
                Err(failure) if failure.kind == FailureKind::NotFound => Ok(estimate(&request)),
                Err(failure) => Err(failure),
            }
        })
    }

    fn embed(&self, request: EmbeddingRequest) -> Reply<Embeddings> {
        embedding::embed(self.account.clone(), self.account.url(&["embeddings"]), request, self.dialect)
    }
}

fn ask(request: &Request, url: Url, dialect: Dialect) -> Result<Ask, Failure> {
    let verbatim = own(request);
    let (body, decoder) = decoder_for(encode(request, dialect)?, verbatim.is_some());
    let headers = header::of(request, verbatim);
    Ok(Ask { outgoing: Outgoing { url, headers, body }, decoder, reported: &header::REPORTED })
}
