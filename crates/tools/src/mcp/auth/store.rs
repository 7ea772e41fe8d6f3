//! Tokens at rest: whoever keeps them is behind a seam.

use std::{pin::Pin, sync::Arc};

use rmcp::transport::{AuthError, CredentialStore, StoredCredentials};
use serde_json::{Value, json};

use crate::{Reply, mcp::Secret};

/// Keeps the tokens of one server, encrypted: a vault, an operator's file. Another process may change them meanwhile.
pub trait Tokens: Send + Sync {
    /// The tokens, if there are any; or why they cannot be read, in words without a secret.
    fn load(&self) -> Reply<Result<Option<StoredTokens>, String>>;
    /// Keeps these instead, or none.
    fn store(&self, tokens: Option<StoredTokens>) -> Reply<Result<(), String>>;
}

/// Tokens and what they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTokens {
    /// Whose they are.
    pub client_id: String,
    /// Sent with each request.
    pub access_token: Secret,
    /// Gets another one.
    pub refresh_token: Option<Secret>,
    /// What was granted.
    pub scopes: Vec<String>,
    /// How long the access token is good, from when it was received.
    pub expires_in_seconds: Option<u64>,
    /// When that was, Unix time.
    pub received_at_seconds: Option<u64>,
    /// Which authorization server made them; tokens of another one are not sent.
    pub issuer: Option<String>,
}

pub(super) fn unreadable(why: &str) -> String {
    format!("authorization: the tokens cannot be read: {why}")
}

/// The SDK's store over ours.
pub(super) struct Bridge(pub(super) Arc<dyn Tokens>);

type Soon<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuthError>> + Send + 'a>>;

impl CredentialStore for Bridge {
    fn load<'a, 'b>(&'a self) -> Soon<'b, Option<StoredCredentials>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let stored = self.0.load().await.map_err(AuthError::CredentialStoreError)?;
            stored.map(|stored| theirs(&stored)).transpose()
        })
    }

    fn save<'a, 'b>(&'a self, credentials: StoredCredentials) -> Soon<'b, ()>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move { self.0.store(ours(&credentials)).await.map_err(AuthError::CredentialStoreError) })
    }

    fn clear<'a, 'b>(&'a self) -> Soon<'b, ()>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move { self.0.store(None).await.map_err(AuthError::CredentialStoreError) })
    }
}

fn theirs(stored: &StoredTokens) -> Result<StoredCredentials, AuthError> {
    let mut token = json!({ "access_token": stored.access_token.expose(), "token_type": "bearer" });
    if let Some(refresh) = &stored.refresh_token {
        token["refresh_token"] = refresh.expose().into();
    }
    if let Some(seconds) = stored.expires_in_seconds {
        token["expires_in"] = seconds.into();
    }
    let token =
        serde_json::from_value(token).map_err(|_| AuthError::CredentialStoreError("the tokens are none".to_owned()))?;
    let credentials = StoredCredentials::new(
        stored.client_id.clone(),
        Some(token),
        stored.scopes.clone(),
        stored.received_at_seconds,
    );
    Ok(credentials.with_issuer(stored.issuer.clone()))
}

fn ours(credentials: &StoredCredentials) -> Option<StoredTokens> {
    let token = serde_json::to_value(credentials.token_response.as_ref()?).ok()?;
    let secret = |name: &str| token.get(name).and_then(Value::as_str).map(Secret::new);
    Some(StoredTokens {
        client_id: credentials.client_id.clone(),
        access_token: secret("access_token")?,
        refresh_token: secret("refresh_token"),
        scopes: credentials.granted_scopes.clone(),
        expires_in_seconds: token.get("expires_in").and_then(Value::as_u64),
        received_at_seconds: credentials.token_received_at,
        issuer: credentials.issuer.clone(),
    })
}
