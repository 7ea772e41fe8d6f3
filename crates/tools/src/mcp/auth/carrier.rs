//! The HTTP of the SDK's authorization, through the guard: bounded bodies, redirects checked one by one.

use std::time::Duration;

use http::{Method, Request, header};
use rmcp::transport::{
    OAuthHttpClient, OAuthHttpClientError,
    auth::{OAuthHttpClientFuture, OAuthHttpRedirectPolicy, OAuthHttpRequest},
};
use url::Url;

use crate::{
    egress::target::Target,
    http::{Http, Left, Sending, read},
};

/// Bytes of metadata or tokens.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Redirects of metadata.
const MAX_REDIRECTS: usize = 5;
/// Until a head is there, and between two parts of a body.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Carrier {
    pub(super) http: Http,
}

impl OAuthHttpClient for Carrier {
    fn execute(&self, request: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(self.carry(request))
    }
}

impl Carrier {
    async fn carry(&self, asked: OAuthHttpRequest) -> Result<http::Response<Vec<u8>>, OAuthHttpClientError> {
        let (parts, body) = asked.request.into_parts();
        let mut url = parts.uri.to_string();
        for _ in 0..=MAX_REDIRECTS {
            let (_, plain) = Target::parse(&url)?;
            let mut request = Request::builder().method(&parts.method).uri(plain.as_str());
            for (name, value) in &parts.headers {
                request = request.header(name, value);
            }
            let request = request.body(Sending::new(body.clone(), Left::default()))?;
            let mut response = self.http.send(request, PATIENCE).await?;
            let follows = asked.redirect_policy == OAuthHttpRedirectPolicy::Follow && parts.method == Method::GET;
            if follows && response.status().is_redirection() {
                let location = response.headers().get(header::LOCATION).ok_or("a redirect without a location")?;
                url = next(&plain, location.to_str()?)?;
                continue;
            }
            let bytes = read(response.body_mut(), MAX_BODY_BYTES, PATIENCE).await?;
            let (head, _) = response.into_parts();
            return Ok(http::Response::from_parts(head, bytes));
        }
        Err("too many redirects".into())
    }
}

/// A redirect stays at its origin: credentials are not carried elsewhere.
fn next(from: &Url, location: &str) -> Result<String, OAuthHttpClientError> {
    let next = from.join(location)?;
    if next.origin() != from.origin() {
        return Err("a redirect to another origin".into());
    }
    Ok(next.into())
}
