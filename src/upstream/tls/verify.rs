//! Whether a certificate is the broker's, and if not, why not.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

use super::describe::{Described, utc};

/// A certificate was refused; says why.
#[derive(Debug)]
pub(super) struct Rejected(pub(super) String);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rejected {}

/// The usual checks. A refusal is put into words here, where the certificate is at hand.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    /// The certificates of `ca_file`. A broker may show one of these itself.
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    pub(super) fn new(
        inner: Arc<WebPkiServerVerifier>,
        named: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { inner, named }
    }

    /// A certificate that was named is trusted as it is: name and dates have to be right, but it
    /// may call itself an authority, as self-signed ones of `openssl req -x509` do.
    fn check_named(
        end: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        verify_server_name(&ParsedCertificate::try_from(end)?, name)?;
        let Some(described) = Described::read(end) else {
            return Err(CertificateError::BadEncoding.into());
        };
        if now.as_secs() > described.not_after {
            return Err(CertificateError::Expired.into());
        }
        if now.as_secs() < described.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        Ok(())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut outcome = self.inner.verify_server_cert(end, between, name, ocsp, now);
        if outcome.is_err() && self.named.iter().any(|named| named == end) {
            outcome = Self::check_named(end, name, now).map(|()| ServerCertVerified::assertion());
        }
        outcome.map_err(|error| match &error {
            Error::InvalidCertificate(why) => {
                let text = refusal(why, end, between, name, now, !self.named.is_empty());
                let rejected = OtherError(Arc::new(Rejected(text)));
                Error::InvalidCertificate(CertificateError::Other(rejected))
            }
            _ => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Why a certificate was refused, and what to do. `named`: there is a `ca_file`.
fn refusal(
    why: &CertificateError,
    end: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
    named: bool,
) -> String {
    let Some(described) = Described::read(end) else {
        return format!("its certificate cannot be used: {why}");
    };
    let subject = &described.subject;
    let clock = utc(now.as_secs());
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            // It may be one above it that is too old.
            let late = std::iter::once(end).chain(between).filter_map(|der| Described::read(der));
            let late = late.into_iter().find(|one| one.not_after < now.as_secs());
            let late = late.as_ref().unwrap_or(&described);
            format!(
                "its certificate has expired: {} was valid until {}, and the clock here says {clock}; \
                 renew it at the broker",
                late.subject,
                late.not_after()
            )
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let early = std::iter::once(end).chain(between).filter_map(|der| Described::read(der));
            let early = early.into_iter().find(|one| one.not_before > now.as_secs());
            let early = early.as_ref().unwrap_or(&described);
            format!(
                "its certificate is not valid yet: {} is from {} on, and the clock here says {clock}; \
                 check the clock",
                early.subject,
                early.not_before()
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let wanted = name.to_str();
            if described.names.is_empty() {
                return format!(
                    "its certificate ({subject}) is not for \"{wanted}\": it has no subject \
                     alternative names, and the common name does not count any more; have it issued \
                     anew with subjectAltName"
                );
            }
            format!(
                "its certificate ({subject}) is for {}, not for \"{wanted}\"; use one of its names in \
                 `url`, or say with server_name under [upstream.tls] which one to expect",
                described.names()
            )
        }
        _ if described.is_first_version => format!(
            "its certificate ({subject}) is of X.509 version 1, without the name of the server; \
             have it issued anew with subjectAltName"
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            unknown_issuer(&described, between, named)
        }
        // What remains of the usual mistakes: `openssl req -x509` made it.
        CertificateError::Other(_) if described.is_authority => format!(
            "its certificate ({subject}) is that of an authority, not of a server; issue one for the \
             server, or name exactly this one with ca_file under [upstream.tls]"
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!(
                "its certificate ({subject}) was not issued for servers (extendedKeyUsage); have it \
             issued anew with serverAuth"
            )
        }
        other => format!("its certificate ({subject}) cannot be used: {other}"),
    }
}

fn unknown_issuer(end: &Described, between: &[CertificateDer<'_>], named: bool) -> String {
    let trusted = if named { "is not in ca_file" } else { "this system does not know" };
    let (subject, issuer) = (&end.subject, &end.issuer);
    if end.is_self_signed() {
        return format!(
            "its certificate ({subject}) is signed by itself, and {trusted}{}; name it with ca_file \
             under [upstream.tls] if it is the right one",
            if named { "" } else { " it" }
        );
    }
    // The last of the chain says who is missing.
    let top = between.last().and_then(|der| Described::read(der));
    let issuer = top.as_ref().map_or(issuer, |top| &top.issuer);
    format!(
        "its certificate ({subject}) was issued by \"{issuer}\", which {trusted}; name the \
         certificate of that authority with ca_file under [upstream.tls]"
    )
}

/// Takes every certificate; only that the broker has the key to it is checked.
#[derive(Debug)]
pub(super) struct Unchecked(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
