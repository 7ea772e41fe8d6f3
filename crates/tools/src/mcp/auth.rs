//! Authorization at a server: tokens that an operator or a vault holds, refreshed or fetched by client credentials
//! without anybody, or by a person's consent. The SDK does discovery (RFC 9728, RFC 8414, OpenID Connect), PKCE, the
//! `resource` of RFC 8707 and the `iss` of RFC 9207; every request of it passes the guard. Start with
//! [`Authorization`].

mod carrier;
mod store;

use std::{fmt, sync::Arc};

use rmcp::transport::{
    AuthError, AuthorizationManager, AuthorizationRequest, AuthorizationSession, ClientCredentialsConfig,
    WWWAuthenticateParams,
    auth::{AuthorizationCallback, OAuthClientConfig},
};
pub use store::{StoredTokens, Tokens};
use tokio::sync::Mutex;
use url::Url;

use self::{carrier::Carrier, store::Bridge};
use super::settings::Secret;
use crate::{
    Error,
    egress::{Cause, Guard, Purpose},
    http::Http,
};

/// Scopes of one server.
const MAX_SCOPES: usize = 64;

/// How tokens for a server are had.
#[derive(Clone)]
pub struct OAuth {
    /// Where they are kept.
    pub tokens: Arc<dyn Tokens>,
    /// Who asks for them.
    pub client: OAuthClient,
    /// What is asked for; empty asks for what the server says.
    pub scopes: Vec<String>,
    /// Where a person's browser is sent after consent.
    pub redirect_url: String,
}

impl fmt::Debug for OAuth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OAuth").field("client", &self.client).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// Who asks for tokens.
#[derive(Clone, Debug)]
pub enum OAuthClient {
    /// Itself, by its secret; no person consents.
    Credentials {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
    /// A client that was registered by hand; a person consents.
    Registered {
        /// Its id.
        id: String,
        /// Its secret, where it has one.
        secret: Option<Secret>,
    },
    /// A client that describes itself at an address, and registers where a server knows no such thing.
    Described {
        /// Where the description is; `None` registers always.
        url: Option<String>,
        /// What a person is shown.
        name: String,
    },
}

/// What a server said when it refused.
struct Challenge {
    header: String,
    /// Whether it was a token's scope that did not suffice.
    is_scope: bool,
}

/// The authorization at one server.
pub(super) struct Authorization {
    oauth: OAuth,
    url: Url,
    state: Mutex<State>,
    carrier: Arc<Carrier>,
}

#[derive(Default)]
struct State {
    manager: Option<AuthorizationManager>,
    session: Option<AuthorizationSession>,
    challenge: Option<Challenge>,
}

impl Authorization {
    pub(super) fn new(oauth: OAuth, url: Url, guard: Arc<Guard>, who: &str) -> Result<Self, Error> {
        if oauth.scopes.len() > MAX_SCOPES {
            return Err(Error::Refused(format!("more than {MAX_SCOPES} scopes")));
        }
        let cause = Cause { who: who.into(), purpose: Purpose::Authorization };
        let carrier = Arc::new(Carrier { http: Http::new(guard, cause, 0) });
        Ok(Self { oauth, url, state: Mutex::default(), carrier })
    }

    async fn manager(&self) -> Result<AuthorizationManager, AuthError> {
        let mut manager =
            AuthorizationManager::new_with_oauth_http_client(self.url.clone(), self.carrier.clone()).await?;
        manager.set_credential_store(Bridge(self.oauth.tokens.clone()));
        Ok(manager)
    }

    /// The token to send, refreshed where it is about to expire; `None` where there is none.
    pub(super) async fn token(&self) -> Result<Option<String>, Error> {
        let mut state = self.state.lock().await;
        if state.manager.is_none() {
            let stored = self.oauth.tokens.load().await.map_err(|why| Error::Unavailable(store::unreadable(&why)))?;
            if stored.is_none() {
                return Ok(None);
            }
            state.manager = self.restored().await.map_err(|why| said(&why))?;
        }
        let Some(manager) = &state.manager else { return Ok(None) };
        match manager.get_access_token().await {
            Ok(token) => Ok(Some(token)),
            Err(AuthError::AuthorizationRequired) => Ok(None),
            Err(why) => Err(said(&why)),
        }
    }

    async fn restored(&self) -> Result<Option<AuthorizationManager>, AuthError> {
        let mut manager = self.manager().await?;
        if !manager.initialize_from_store().await? {
            return Ok(None);
        }
        if let OAuthClient::Registered { id, secret: Some(secret) } = &self.oauth.client {
            let config = OAuthClientConfig::new(id, &self.oauth.redirect_url).with_client_secret(secret.expose());
            manager.configure_client(config)?;
        }
        Ok(Some(manager))
    }

    /// A server refused a request: `sent` is the token that it did not like. Returns another one, if nobody has to
    /// be asked for it.
    pub(super) async fn refused(&self, header: &str, is_scope: bool, sent: Option<&str>) -> Option<String> {
        let mut state = self.state.lock().await;
        state.challenge = Some(Challenge { header: header.to_owned(), is_scope });
        if let OAuthClient::Credentials { id, secret } = &self.oauth.client {
            let manager = self.by_credentials(id, secret, header).await;
            let manager = manager.inspect_err(|why| tracing::warn!(why = %said(why), "no token by client credentials"));
            state.manager = Some(manager.ok()?);
        } else {
            if is_scope || sent.is_none() {
                return None;
            }
            // Another request may have had it refreshed in between.
            let manager = state.manager.as_ref()?;
            if manager.get_access_token().await.ok().as_deref() == sent {
                manager.refresh_token().await.ok()?;
            }
        }
        let token = state.manager.as_ref()?.get_access_token().await.ok()?;
        let another = (Some(token.as_str()) != sent).then_some(token);
        if another.is_some() {
            state.challenge = None;
        }
        another
    }

    async fn by_credentials(&self, id: &str, secret: &Secret, header: &str) -> Result<AuthorizationManager, AuthError> {
        let mut manager = self.manager().await?;
        let found = manager.resolve_metadata_from_challenge(Some(header).filter(|header| !header.is_empty())).await?;
        manager.set_metadata(found.metadata);
        let scopes = match &self.oauth.scopes {
            scopes if scopes.is_empty() => manager.select_scopes(None, &[]),
            scopes => scopes.clone(),
        };
        let config = ClientCredentialsConfig::ClientSecret {
            client_id: id.to_owned(),
            client_secret: secret.expose().to_owned(),
            scopes,
            resource: Some(self.url.to_string()),
        };
        manager.validate_client_credentials_metadata(&config)?;
        manager.configure_client_credentials(&config)?;
        manager.exchange_client_credentials(&config).await?;
        Ok(manager)
    }

    /// Whether the server's last refusal can only be helped by a person.
    pub(super) async fn waits(&self) -> bool {
        self.state.lock().await.challenge.is_some() && !matches!(self.oauth.client, OAuthClient::Credentials { .. })
    }

    /// Where a person consents.
    pub(super) async fn begin(&self) -> Result<String, Error> {
        let mut state = self.state.lock().await;
        let address = self.begun(&mut state).await.map_err(|why| said(&why))?;
        Ok(address)
    }

    async fn begun(&self, state: &mut State) -> Result<String, AuthError> {
        let mut manager = self.manager().await?;
        let mut request = AuthorizationRequest::new(&self.oauth.redirect_url);
        match &self.oauth.client {
            OAuthClient::Credentials { .. } => return Err(AuthError::NoAuthorizationSupport),
            OAuthClient::Registered { id, secret } => {
                request = request.with_preregistered_client(id);
                if let Some(secret) = secret {
                    request = request.with_client_secret(secret.expose());
                }
            }
            OAuthClient::Described { url, name } => {
                request = request.with_client_name(name);
                if let Some(url) = url {
                    request = request.with_client_metadata_url(url);
                }
            }
        }
        let challenge = state.challenge.take();
        let header = challenge.as_ref().map(|challenge| challenge.header.as_str()).filter(|header| !header.is_empty());
        let found = manager.resolve_metadata_from_challenge(header).await?;
        manager.set_metadata(found.metadata);
        request = request.with_scopes(self.wanted(challenge.as_ref()).await);
        let session = AuthorizationSession::new(manager, request).await.map_err(|(_, why)| why)?;
        let address = session.get_authorization_url().to_owned();
        state.session = Some(session);
        Ok(address)
    }

    /// The operator's scopes; where one did not suffice, what was granted and what is asked for.
    async fn wanted(&self, challenge: Option<&Challenge>) -> Vec<String> {
        let mut scopes = self.oauth.scopes.clone();
        if let Some(challenge) = challenge.filter(|challenge| challenge.is_scope) {
            let granted = self.oauth.tokens.load().await.ok().flatten().map(|stored| stored.scopes).unwrap_or_default();
            let asked = WWWAuthenticateParams::parse(&challenge.header, &self.url).scope.unwrap_or_default();
            scopes.extend(granted);
            scopes.extend(asked.split_whitespace().map(str::to_owned));
        }
        let mut seen = std::collections::HashSet::new();
        scopes.retain(|scope| seen.insert(scope.clone()));
        scopes.truncate(MAX_SCOPES);
        scopes
    }

    /// A person's browser came back to the redirect address, with this.
    pub(super) async fn finish(&self, callback: &str) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        let session = state.session.as_ref();
        let session = session.ok_or_else(|| Error::Refused("no authorization was begun here".to_owned()))?;
        let callback = AuthorizationCallback::from_redirect_url(callback);
        let callback = callback.map_err(|_| Error::Refused("the address has no code and state".to_owned()))?;
        let (code, csrf, issuer) = (&callback.code, &callback.csrf_token, callback.issuer.as_deref());
        session.handle_callback_with_issuer(code, csrf, issuer).await.map_err(|why| said(&why))?;
        state.session = None;
        state.manager = self.restored().await.map_err(|why| said(&why))?;
        Ok(())
    }
}

/// In words that hold no token: what a server sends is repeated only where it cannot be one.
fn said(why: &AuthError) -> Error {
    let words = match why {
        AuthError::AuthorizationRequired => "a person has to consent".to_owned(),
        AuthError::TokenExchangeFailed(_) | AuthError::ClientCredentialsError(_) => {
            "the authorization server gave no token".to_owned()
        }
        AuthError::TokenRefreshFailed(_) => "the token could not be refreshed".to_owned(),
        AuthError::TokenRefreshRejected(_) => "the refresh token was rejected".to_owned(),
        AuthError::CredentialStoreError(_) => "the tokens' keeper failed".to_owned(),
        AuthError::RegistrationFailed(_) => "the client could not be registered".to_owned(),
        AuthError::AuthorizationServerMismatch { .. } => "the answer came from another authorization server".to_owned(),
        AuthError::AuthorizationServerMissingIssuer { .. } => "the answer does not say from whom it is".to_owned(),
        AuthError::PkceUnsupported => "the authorization server knows no PKCE".to_owned(),
        AuthError::NoAuthorizationSupport => "no authorization server was found".to_owned(),
        AuthError::MetadataError(_)
        | AuthError::DiscoveryRequestFailed { .. }
        | AuthError::ProtectedResourceMetadataInvalid { .. }
        | AuthError::AuthorizationServersUnavailable { .. } => {
            "what the servers say of themselves is unusable".to_owned()
        }
        _ => "it failed".to_owned(),
    };
    Error::Unavailable(format!("authorization: {words}"))
}
