//! What went wrong with TLS, for a log line.

use std::io;

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible,
};

use super::verify::Rejected;
use crate::upstream::server::{Scheme, Server};

/// When it went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::upstream) enum Stage {
    /// In the handshake.
    Handshake,
    /// Later. Up to the broker's CONNACK it may be about our certificate: with TLS 1.3 a server
    /// looks at it when the handshake is over for us.
    Later,
}

/// The words for an error of a TLS stream.
pub(in crate::upstream) fn explain(error: &io::Error, server: &Server, stage: Stage) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (inner, stage) {
        (Some(error), _) => in_words(error, server),
        (None, Stage::Handshake) if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("it hung up in the TLS handshake; {}", wrong_port(server))
        }
        (None, Stage::Handshake) if error.kind() == io::ErrorKind::ConnectionReset => {
            format!("it broke off the TLS handshake; {}", wrong_port(server))
        }
        (None, _) => error.to_string(),
    }
}

fn in_words(error: &Error, server: &Server) -> String {
    match error {
        Error::InvalidCertificate(why) => certificate_refused(why),
        Error::AlertReceived(alert) => alert_in_words(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            format!("what answers does not speak TLS; {}", wrong_port(server))
        }
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => too_old(),
        Error::PeerIncompatible(why) => {
            format!("it has no way of TLS in common with us ({why:?}); see its TLS settings")
        }
        other => format!("TLS failed: {other}"),
    }
}

fn certificate_refused(why: &CertificateError) -> String {
    if let CertificateError::Other(OtherError(inner)) = why
        && let Some(rejected) = inner.downcast_ref::<Rejected>()
    {
        return rejected.0.clone();
    }
    format!("its certificate cannot be used: {why}")
}

/// Why one certificate of a file cannot be used.
pub(super) fn certificate_error(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => why.to_string(),
        other => other.to_string(),
    }
}

fn alert_in_words(alert: AlertDescription) -> String {
    let name = format!("{alert:?}");
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a certificate of ours: set cert_file and key_file under [upstream.tls]"
                .to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => format!(
            "it rejects our certificate ({name}): check cert_file under [upstream.tls], and which \
             authorities the broker trusts"
        ),
        AlertDescription::ProtocolVersion => too_old(),
        // What a server with TLS 1.2 says that wants a certificate and gets none.
        AlertDescription::HandshakeFailure => {
            "it broke off the TLS handshake (HandshakeFailure): it may want a certificate of ours \
             (cert_file and key_file under [upstream.tls]), or have no cipher in common with us; its \
             log says more"
                .to_owned()
        }
        AlertDescription::UnrecognisedName => {
            "it has no certificate for the name in `url`: see server_name under [upstream.tls]"
                .to_owned()
        }
        _ => format!("it broke off TLS ({name}); its log says more"),
    }
}

fn too_old() -> String {
    "it speaks neither TLS 1.2 nor 1.3; update the broker, or its TLS settings".to_owned()
}

fn wrong_port(server: &Server) -> String {
    let (scheme, plain) = match server.scheme {
        Scheme::Ws | Scheme::Wss => (Scheme::Wss, Scheme::Ws),
        Scheme::Mqtt | Scheme::Mqtts => (Scheme::Mqtts, Scheme::Mqtt),
    };
    format!(
        "is {} its port for {}://? If it does without TLS there, write {}:// in `url`",
        server.port,
        scheme.name(),
        plain.name()
    )
}
