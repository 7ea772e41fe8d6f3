//! A checked connection, with TLS where the scheme asks for it, as hyper wants it.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use url::Url;

use super::{
    Cause, Guard,
    target::{Host, Scheme, Target},
};
use crate::{Error, Reply};

/// Until TLS stands.
const HANDSHAKE: Duration = Duration::from_secs(10);

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A connection, and its place among all that there may be.
pub(crate) struct Socket(Pin<Box<dyn Duplex>>, #[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Makes connections for hyper's client; the only one there is.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) guard: Arc<Guard>,
    pub(crate) cause: Cause,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = Error;
    type Future = Reply<Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { guard, cause } = self.clone();
        Box::pin(async move {
            let url = Url::parse(&uri.to_string()).map_err(|why| Error::Refused(why.to_string()))?;
            let (target, _) = Target::of(url).map_err(Error::Refused)?;
            let (stream, room) = guard.connect(&target, &cause).await?;
            if target.scheme == Scheme::Http {
                return Ok(TokioIo::new(Socket(Box::pin(stream), room)));
            }
            let name = match &target.host {
                Host::Name(name) => {
                    ServerName::try_from(name.clone()).map_err(|why| Error::Refused(why.to_string()))?
                }
                Host::Address(address) => ServerName::from(*address),
            };
            let unavailable = |why: &dyn fmt::Display| Error::Unavailable(format!("TLS with {target}: {why}"));
            let secured = timeout(HANDSHAKE, guard.tls().connect(name, stream)).await;
            let secured =
                secured.map_err(|_| unavailable(&"no handshake in time"))?.map_err(|why| unavailable(&why))?;
            Ok(TokioIo::new(Socket(Box::pin(secured), room)))
        })
    }
}

/// TLS with the system's roots.
pub(super) fn tls() -> Result<tokio_rustls::TlsConnector, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| Error::Refused(format!("TLS cannot be set up: {why}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}
