//! Files of `[upstream.tls]` that cannot be used: found before anything is started, at their key.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mqtt_sn_gateway::config::{Config, ConfigError};

#[path = "support/mod.rs"]
mod support;

use support::certificates::{Authority, Valid};

const NO_VARIABLES: [(OsString, OsString); 0] = [];

struct Files {
    authority: Authority,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        let authority = Authority::new("Site CA");
        let issued = authority.issue(&["gateway"], Valid::Now);
        let ca = authority.file();
        Self { authority, ca, certificate: issued.certificate, key: issued.key }
    }

    /// A file with this in it.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.authority.directory().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let text = format!(
            "[upstream]\nurl = \"mqtts://broker\"\n[upstream.tls]\nca_file = {:?}\ncert_file = {:?}\n\
             key_file = {:?}\n[[udp]]\nlisten = \"127.0.0.1:0\"\n",
            self.ca, self.certificate, self.key
        );
        Config::from_toml(Path::new("gateway.toml"), &text, NO_VARIABLES)
    }

    /// It is refused in this line, with these words.
    #[track_caller]
    fn refused(&self, line: usize, parts: &[&str]) {
        let shown = match self.load() {
            Ok(config) => panic!("accepted: {}", config.to_toml()),
            Err(error) => error.to_string(),
        };
        assert!(shown.starts_with(&format!("gateway.toml:{line}:")), "{shown}");
        assert_eq!(shown.matches("gateway.toml:").count(), 1, "{shown}");
        for part in parts {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
    }
}

const CA: usize = 4;
const CERTIFICATE: usize = 5;
const KEY: usize = 6;

#[test]
fn right_ones_are_accepted() {
    let mut files = Files::new();
    assert!(files.load().unwrap().upstream.tls.ca_file.is_some());
    // Both in one file, in either order.
    let texts = [fs::read(&files.key).unwrap(), fs::read(&files.certificate).unwrap()];
    files.certificate = files.file("both.pem", texts.concat());
    files.key = files.certificate.clone();
    files.load().unwrap();
    // As openssl writes keys of the older form, with parameters before.
    let old = files.authority.directory().join("old.key");
    let output = Command::new("openssl")
        .args(["ec", "-in", files.key.to_str().unwrap(), "-out", old.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success());
    files.key = old;
    files.load().unwrap();
}

#[test]
fn missing_empty_or_no_pem() {
    let mut files = Files::new();
    files.key = "/nowhere.key".into();
    files.refused(KEY, &["cannot read `key_file` /nowhere.key: No such file", "directory of"]);

    let mut files = Files::new();
    files.certificate = files.file("empty.pem", "");
    files.refused(CERTIFICATE, &["`cert_file` ", "empty.pem is empty"]);

    let mut files = Files::new();
    files.ca = files.authority.directory().to_owned();
    files.refused(CA, &["cannot read `ca_file` ", "Is a directory"]);

    let mut files = Files::new();
    files.ca = files.file("ca.der", b"\x30\x82\x01\x00binary");
    files.refused(CA, &["there is no certificate in `ca_file` ", "openssl x509 -inform der"]);
    files.ca = files.authority.file();
    files.key = files.file("key.der", b"\x30\x82\x01\x00binary");
    files.refused(KEY, &["there is no private key in `key_file` ", "openssl pkey -inform der"]);
}

#[test]
fn cut_off_or_garbled() {
    let mut files = Files::new();
    let text = fs::read_to_string(&files.ca).unwrap();
    files.ca = files.file("cut.pem", &text[..text.len() - 30]);
    files.refused(CA, &["cut.pem is damaged: its last section has no end line"]);
    files.ca = files.file("garbled.pem", text.replace("MII", "M?!").replacen("\nMI", "\n?!", 1));
    files.refused(CA, &["garbled.pem is damaged: a section is not base64"]);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    files.ca = files.file("nonsense.pem", format!("{text}{nonsense}"));
    files.refused(CA, &["certificate 2 in `ca_file` ", "nonsense.pem cannot be used"]);
}

#[test]
fn the_wrong_kind() {
    let mut files = Files::new();
    (files.certificate, files.key) = (files.key.clone(), files.certificate.clone());
    files.refused(CERTIFICATE, &["there is no certificate in `cert_file`", "swapped?"]);

    let mut files = Files::new();
    files.key = files.certificate.clone();
    files.refused(KEY, &["there is no private key in `key_file`", "swapped?"]);

    let mut files = Files::new();
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    files.certificate = files.file("request.pem", request);
    files.refused(CERTIFICATE, &["there is no certificate in", "a request for one"]);
}

#[test]
fn a_key_of_another_certificate() {
    let mut files = Files::new();
    files.key = files.authority.issue(&["other"], Valid::Now).key;
    let parts = ["does not belong to the certificate in `cert_file` ", "gateway.pem", "other.key"];
    files.refused(KEY, &parts);
}

#[test]
fn an_encrypted_key() {
    let mut files = Files::new();
    let plain = files.key.clone();
    for (name, arguments) in [
        ("new.key", &["pkey", "-aes256", "-passout", "pass:secret"][..]),
        ("old.key", &["ec", "-aes256", "-passout", "pass:secret"]),
    ] {
        let path = files.authority.directory().join(name);
        let output = Command::new("openssl")
            .args(arguments)
            .args(["-in", plain.to_str().unwrap(), "-out", path.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        files.key = path;
        files.refused(KEY, &["passphrase", name, "openssl pkey"]);
    }
}
