//! An authority of our own, and certificates that it issues, right ones and wrong ones.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

/// An authority with a directory for what it issues.
pub struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Valid {
    Now,
    /// Until 2021.
    Past,
    /// From 2199 on.
    Future,
}

impl Authority {
    /// With this common name. Its certificate is in the file [`Self::file`].
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[], Valid::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate for these names, the first of which is the common name, too.
    pub fn issue(&self, names: &[&str], valid: Valid) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names[0], names, valid).signed_by(&key, &self.issuer).unwrap();
        self.write(names[0], &certificate.pem(), &key)
    }

    /// Makes a certificate that is signed with its own key. `authority`: it says that it is one, as
    /// those of `openssl req -x509` do.
    pub fn self_signed(&self, names: &[&str], authority: bool) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names[0], names, Valid::Now);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{}-self", names[0]), &certificate.pem(), &key)
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) -> Issued {
        let file = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        let issued = Issued { certificate: file("pem"), key: file("key") };
        fs::write(&issued.certificate, certificate).unwrap();
        fs::write(&issued.key, key.serialize_pem()).unwrap();
        issued
    }
}

/// A directory with all files that the sample of the configuration names, and others of their kind.
pub fn prepare() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("broker-password"), "hush\n").unwrap();
    fs::write(path("meter-password"), "hush too\n").unwrap();
    fs::write(path("other-password"), "other").unwrap();
    fs::write(path("radio-key"), "00112233445566778899aabbccddeeff\n").unwrap();
    fs::create_dir(path("tls")).unwrap();
    let authority = Authority::new("Site CA");
    fs::copy(authority.file(), path("tls/ca.pem")).unwrap();
    fs::copy(Authority::new("Other CA").file(), path("tls/other.pem")).unwrap();
    let issued = authority.issue(&["gateway"], Valid::Now);
    fs::copy(&issued.certificate, path("tls/gateway.pem")).unwrap();
    let more = [fs::read(&issued.certificate).unwrap(), fs::read(authority.file()).unwrap()];
    fs::write(path("tls/gateway-and-more.pem"), more.concat()).unwrap();
    fs::copy(&issued.key, path("tls/gateway.key")).unwrap();
    fs::copy(&issued.key, path("tls/gateway-copy.key")).unwrap();
    // Of single devices.
    fs::copy(&issued.certificate, path("tls/meters.pem")).unwrap();
    fs::copy(&issued.key, path("tls/meters.key")).unwrap();
    directory
}

fn params(common_name: &str, names: &[&str], valid: Valid) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let years = match valid {
        Valid::Now => (2020, 2200),
        Valid::Past => (2020, 2021),
        Valid::Future => (2199, 2200),
    };
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}
