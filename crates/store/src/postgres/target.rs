//! Where a database is and how it is spoken to: the URL, with what libpq calls `sslmode` and `sslrootcert`.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;

/// How long one try to reach a server may take, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that is silent for so long is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How often it is asked before it counts as gone.
const KEEPALIVES: u32 = 3;
/// Data that nobody acknowledges for so long ends a connection.
const SILENCE: Duration = Duration::from_secs(15);

/// How far a server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Encrypted, whoever it is.
    Nothing,
    /// Signed by a root that we trust.
    Chain,
    /// That, and made out to the host of the URL.
    Name,
}

/// A parsed URL.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Target {
    /// Reads `postgres://…` or `key=value …`.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let (rest, mode, roots) = split(url);
        let (plain, check) = match mode.as_deref() {
            None => ("prefer", if roots.is_some() { Check::Chain } else { Check::Nothing }),
            Some(mode @ ("disable" | "prefer")) => (mode, Check::Nothing),
            Some("require") => ("require", if roots.is_some() { Check::Chain } else { Check::Nothing }),
            Some("verify-ca") => ("require", Check::Chain),
            Some("verify-full") => ("require", Check::Name),
            Some(other) => {
                let known = "disable, prefer, require, verify-ca or verify-full";
                return Err(Error::Unavailable(format!("sslmode={other} is unknown: {known}")));
            }
        };
        // The error of a URL repeats none of it: it may hold a password.
        let mut config: Config =
            rest.parse().map_err(|error| Error::Unavailable(format!("the database's URL cannot be read: {error}")))?;
        config.ssl_mode(match plain {
            "disable" => tokio_postgres::config::SslMode::Disable,
            "prefer" => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("mainstay");
        }
        config
            .keepalives(true)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE)
            .keepalives_retries(KEEPALIVES);
        config.tcp_user_timeout(SILENCE);
        if config.get_hosts().len() > 1 {
            // Of several only the primary will do.
            config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(client(check, roots.as_deref())?) })
    }
}

/// Takes out what the client library does not read: the rest, `sslmode`, `sslrootcert`.
fn split(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut roots) = (None, None);
    let mut keeps = |pair: &&str| match pair.split_once('=') {
        Some(("sslmode", value)) => {
            mode = Some(value.to_owned());
            false
        }
        Some(("sslrootcert", value)) => {
            roots = Some(value.replace("%2F", "/"));
            false
        }
        _ => true,
    };
    let rest = if url.contains("://") {
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).filter(&mut keeps).collect();
        if kept.is_empty() { before.to_owned() } else { format!("{before}?{}", kept.join("&")) }
    } else {
        url.split_whitespace().filter(&mut keeps).collect::<Vec<_>>().join(" ")
    };
    (rest, mode, roots)
}

fn client(check: Check, roots: Option<&str>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let failed = |error: &dyn std::fmt::Display| Error::Unavailable(format!("TLS cannot be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let verifier = match check {
        Check::Nothing => None,
        Check::Chain | Check::Name => {
            let roots = Arc::new(trusted(roots)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(verifier.map_err(|error| failed(&error))?)
        }
    };
    let verifier = Arc::new(Verifier { verifier, check, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The roots in a file, or the system's.
fn trusted(roots: Option<&str>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match roots.filter(|file| *file != "system") {
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| {
                Error::Unavailable(format!("sslrootcert={file} cannot be read: {error}"))
            };
            for root in CertificateDer::pem_file_iter(Path::new(file)).map_err(|error| unreadable(&error))? {
                store.add(root.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(Error::Unavailable("there is no root certificate to trust: name a file by sslrootcert".to_owned()));
    }
    Ok(store)
}

/// As libpq's modes have it: the signature is always checked, the chain and the name as asked.
#[derive(Debug)]
struct Verifier {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    check: Check,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(verifier) = &self.verifier else { return Ok(ServerCertVerified::assertion()) };
        match verifier.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Chain => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_library_does_not_read_is_taken_out_of_the_url() {
        let (rest, mode, roots) =
            split("postgres://u:p@h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fca.pem");
        assert_eq!(rest, "postgres://u:p@h/d?connect_timeout=3");
        assert_eq!((mode.as_deref(), roots.as_deref()), (Some("verify-full"), Some("/ca.pem")));
        let (rest, mode, _) = split("host=h sslmode=disable user=u");
        assert_eq!((&*rest, mode.as_deref()), ("host=h user=u", Some("disable")));
    }

    #[test]
    fn an_unknown_mode_and_a_missing_root_are_refused_by_name() {
        let refused = |url| match Target::parse(url) {
            Err(Error::Unavailable(why)) => why,
            _ => panic!("it was accepted"),
        };
        assert!(refused("postgres://h/d?sslmode=always").contains("sslmode=always"));
        assert!(refused("postgres://h/d?sslmode=verify-ca&sslrootcert=/none.pem").contains("/none.pem"));
        let secret = refused("postgres://u:secret@h:port/d");
        assert!(!secret.contains("secret"), "{secret}");
    }
}
