//! TLS towards the broker: from settings to a connection, and from what went wrong to words.

mod describe;
mod explain;
mod files;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, InconsistentKeys, RootCertStore};

use super::server::Server;
use describe::{Described, now};
use verify::{Unchecked, Verifier};

pub(super) use explain::{Stage, explain};

/// Sessions that are remembered for a shorter handshake, over all brokers.
const REMEMBERED: usize = 64;

/// `[upstream.tls]`, checked as far as that goes without reading files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsSettings {
    /// Certificates of the authorities that are trusted, PEM; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and those between it and its authority, PEM. Comes with
    /// [`Self::key_file`].
    pub cert_file: Option<PathBuf>,
    /// The private key to it, PEM.
    pub key_file: Option<PathBuf>,
    /// The name that the broker's certificate has to have, if it is not that of the address.
    pub server_name: Option<Box<str>>,
    /// Take any certificate.
    pub insecure: bool,
}

impl TlsSettings {
    /// The same with another certificate of ours.
    #[must_use]
    pub fn with_certificate(&self, cert_file: &Path, key_file: &Path) -> Self {
        let (cert_file, key_file) = (Some(cert_file.into()), Some(key_file.into()));
        Self { cert_file, key_file, ..self.clone() }
    }
}

/// Why TLS cannot be set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsError {
    /// The key of [`TlsSettings`] that is at fault.
    pub key: &'static str,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} (under [upstream.tls])", self.message, self.help)
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    fn new(key: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key, message: message.into(), help: help.into() }
    }
}

/// TLS as it is spoken to all brokers of one configuration. Cheap to clone; what was negotiated
/// once makes the next handshake with the same broker shorter.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
    has_certificate: bool,
    warnings: Vec<String>,
}

impl Tls {
    /// Reads the files and prepares everything. Blocks; done at the start, and whenever the
    /// configuration is read again.
    ///
    /// # Errors
    /// A file cannot be used, or the system has no certificates of authorities and none are named.
    pub fn build(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut warnings = Vec::new();
        let server_name = settings
            .server_name
            .as_deref()
            .map(|name| {
                name_of(name).ok_or_else(|| {
                    let help = "a host name or an address, as the certificate has it";
                    TlsError::new("server_name", format!("\"{name}\" is no server name"), help)
                })
            })
            .transpose()?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(internal)?
            .dangerous();
        let builder = if settings.insecure {
            warnings.push(
                "insecure = true under [upstream.tls]: the broker's certificate is not checked, so \
                 anybody between here and there can read and change everything, passwords too; \
                 name its authority with ca_file instead"
                    .to_owned(),
            );
            builder.with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        } else {
            builder.with_custom_certificate_verifier(Arc::new(verifier(settings, provider)?))
        };
        let mut config =
            match (&settings.cert_file, &settings.key_file) {
                (Some(cert_file), Some(key_file)) => {
                    let chain = files::certificates("cert_file", cert_file)?;
                    let key = files::key(key_file)?;
                    warnings.extend(own_certificate(&chain));
                    builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::new(
                        "key_file",
                        format!(
                            "the key in `key_file` {} does not belong to the certificate in \
                             `cert_file` {}",
                            key_file.display(),
                            cert_file.display()
                        ),
                        "the certificate that was issued for this key comes first in cert_file",
                    ),
                    error => TlsError::new(
                        "key_file",
                        format!("cannot use `key_file` {}: {error}", key_file.display()),
                        "RSA of 2048 bits or more, ECDSA on P-256 or P-384, and Ed25519 work",
                    ),
                })?
                }
                _ => builder.with_no_client_auth(),
            };
        config.resumption = Resumption::in_memory_sessions(REMEMBERED);
        let has_certificate = settings.cert_file.is_some();
        Ok(Self { connector: Arc::new(config).into(), server_name, has_certificate, warnings })
    }

    /// What the person who runs the gateway has to know at every start.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether there is a certificate of ours.
    pub(super) fn has_certificate(&self) -> bool {
        self.has_certificate
    }

    /// Does the handshake. No time limit of its own.
    ///
    /// # Errors
    /// Why it failed, for the log.
    pub(super) async fn connect(
        &self,
        server: &Server,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = self.server_name.clone().or_else(|| name_of(server.name()));
        let Some(name) = name else {
            return Err(format!(
                "\"{}\" cannot stand in a certificate; set server_name under [upstream.tls]",
                server.name()
            ));
        };
        let handshake = self.connector.connect(name, stream).await;
        handshake.map_err(|error| explain(&error, server, Stage::Handshake))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Whether a certificate can be issued for this host.
#[must_use]
pub fn is_server_name(host: &str) -> bool {
    name_of(host).is_some()
}

fn name_of(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

fn internal(error: rustls::Error) -> TlsError {
    TlsError::new("ca_file", format!("cannot set up TLS: {error}"), "this should not happen")
}

/// Checks certificates against `ca_file`, or against the authorities of the system.
fn verifier(settings: &TlsSettings, provider: Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
    let mut roots = RootCertStore::empty();
    let mut named = Vec::new();
    if let Some(path) = &settings.ca_file {
        named = files::certificates("ca_file", path)?;
        for (number, certificate) in (1..).zip(&named) {
            roots.add(certificate.clone()).map_err(|error| {
                let message = format!(
                    "certificate {number} in `ca_file` {} cannot be used: {}",
                    path.display(),
                    explain::certificate_error(&error)
                );
                TlsError::new("ca_file", message, "take it out, or have it issued anew")
            })?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        // Some systems carry a few that cannot be read; the rest will do.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
            return Err(TlsError::new(
                "ca_file",
                format!("this system has no certificates of authorities{why}"),
                "install them (the package is called ca-certificates), or name those that the \
                 broker needs with ca_file",
            ));
        }
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| internal(rustls::Error::General(error.to_string())))?;
    Ok(Verifier::new(inner, named))
}

/// Our own certificate is of no use any more, or not yet: the broker will say so less clearly.
fn own_certificate(chain: &[CertificateDer<'_>]) -> Option<String> {
    let ours = Described::read(chain.first()?)?;
    let trouble = match now() {
        now if ours.not_after < now => format!("has expired on {}", ours.not_after()),
        now if ours.not_before > now => {
            format!("is valid from {} on only, or the clock here is wrong", ours.not_before())
        }
        _ => return None,
    };
    Some(format!("our certificate ({}, cert_file under [upstream.tls]) {trouble}", ours.subject))
}
