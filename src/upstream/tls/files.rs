//! PEM files: what is in them, and what is wrong with them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// Longest file that is read, octets: many times the list of all public authorities.
const LONGEST: u64 = 16 * 1024 * 1024;

/// All certificates of a file, at least one.
pub(super) fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let octets = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    let found = found.map_err(|error| damaged(key, path, &error))?;
    if found.is_empty() {
        let help = if has(&octets, "PRIVATE KEY-----") {
            "there is a private key in it: are the names of cert_file and key_file swapped?"
        } else if has(&octets, "BEGIN CERTIFICATE REQUEST") {
            "there is a request for one in it; the certificate is what the authority made of that"
        } else {
            "it has to be PEM (\"-----BEGIN CERTIFICATE-----\"); `openssl x509 -inform der -in … \
             -out …` makes that of DER"
        };
        let message = format!("there is no certificate in `{key}` {}", path.display());
        return Err(TlsError::new(key, message, help));
    }
    Ok(found)
}

/// The private key of a file; the first if there are several.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let octets = read("key_file", path)?;
    let complain = |what: &str, help: &str| {
        Err(TlsError::new("key_file", format!("{what} `key_file` {}", path.display()), help))
    };
    match PrivateKeyDer::from_pem_slice(&octets) {
        // The old form has the same title whether it is encrypted or not.
        Ok(_) if has(&octets, "Proc-Type: 4,ENCRYPTED") => {}
        Ok(key) => return Ok(key),
        Err(_) if has(&octets, "ENCRYPTED") => {}
        Err(pem::Error::NoItemsFound) => {
            let help = if has(&octets, "BEGIN CERTIFICATE") {
                "there is a certificate in it: are the names of cert_file and key_file swapped?"
            } else {
                "it has to be PEM (\"-----BEGIN PRIVATE KEY-----\"); `openssl pkey -inform der -in … \
                 -out …` makes that of DER"
            };
            return complain("there is no private key in", help);
        }
        Err(error) => return Err(damaged("key_file", path, &error)),
    }
    complain(
        "nobody is there to type the passphrase of the encrypted key in",
        "`openssl pkey -in … -out …` decrypts it, into a file that only the gateway can read",
    )
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut octets = Vec::new();
    let outcome = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut octets));
    let path = path.display();
    if let Err(error) = outcome {
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => "the gateway's user must be able to read it",
            _ => "relative names begin at the directory of the configuration file",
        };
        return Err(TlsError::new(key, format!("cannot read `{key}` {path}: {error}"), help));
    }
    if octets.is_empty() {
        let help = "it has to be PEM; was it written to the end?";
        return Err(TlsError::new(key, format!("`{key}` {path} is empty"), help));
    }
    if octets.len() as u64 > LONGEST {
        let message = format!("`{key}` {path} is longer than any list of certificates");
        return Err(TlsError::new(key, message, "it has to be PEM"));
    }
    Ok(octets)
}

fn damaged(key: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "its last section has no end line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins a section is wrong".to_owned()
        }
        pem::Error::Base64Decode(_) => "a section is not base64".to_owned(),
        other => other.to_string(),
    };
    let message = format!("`{key}` {} is damaged: {what}", path.display());
    TlsError::new(key, message, "get it anew from where it was made")
}

fn has(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len()).any(|window| window == text.as_bytes())
}
