//! Certificates that do not do: what the log says about each.

use crate::support::certificates::{Authority, Issued, Valid};
use crate::{Broker, gateway};

/// What the gateway says about a broker with this certificate.
#[track_caller]
fn refusal(issued: &Issued, tls: &str, parts: &[&str]) -> String {
    let broker = Broker::with_tls(issued, "");
    let url = broker.url("mqtts");
    let mut gateway = gateway(&url, "", tls);
    let start = format!("WARN cannot connect to {url}: ");
    let line = gateway.log.wait_for(&[&start]);
    for part in parts {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
    assert_eq!(gateway.terminate(), 0);
    line
}

fn trusting(authority: &Authority) -> String {
    format!("ca_file = {:?}", authority.file())
}

#[test]
fn expired() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Past);
    let parts = ["has expired: CN=localhost was valid until 2021-01-01T00:00:00Z", "renew it"];
    refusal(&issued, &trusting(&authority), &parts);
}

#[test]
fn not_valid_yet() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Future);
    let parts = ["not valid yet: CN=localhost is from 2199-01-01T00:00:00Z on", "check the clock"];
    refusal(&issued, &trusting(&authority), &parts);
}

#[test]
fn for_another_name() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["broker.site", "10.0.0.1"], Valid::Now);
    let names = "is for \"broker.site\", \"10.0.0.1\", not for \"localhost\"";
    refusal(&issued, &trusting(&authority), &[names, "server_name under [upstream.tls]"]);
}

#[test]
fn from_an_unknown_authority() {
    let (known, unknown) = (Authority::new("Known CA"), Authority::new("Unknown CA"));
    let issued = unknown.issue(&["localhost"], Valid::Now);
    let issuer = "(CN=localhost) was issued by \"CN=Unknown CA\"";
    let named = [issuer, "which is not in ca_file", "ca_file under [upstream.tls]"];
    refusal(&issued, &trusting(&known), &named);
    // By the authorities of the system.
    refusal(&issued, "", &[issuer, "which this system does not know", "ca_file"]);
}

#[test]
fn signed_by_itself() {
    let known = Authority::new("Known CA");
    let issued = known.self_signed(&["localhost"], false);
    refusal(&issued, &trusting(&known), &["(CN=localhost) is signed by itself", "ca_file"]);
}

/// Named, but its dates and names count all the same.
#[test]
fn named_but_for_another_host() {
    let known = Authority::new("Known CA");
    let issued = known.self_signed(&["elsewhere"], true);
    let tls = format!("ca_file = {:?}", issued.certificate);
    refusal(&issued, &tls, &["is for \"elsewhere\", not for \"localhost\""]);
}

/// `openssl x509 -req` without an extension file makes such: no names at all.
#[test]
fn without_names() {
    let authority = Authority::new("Site CA");
    let directory = authority.directory();
    let (key, certificate) = (directory.join("v1.key"), directory.join("v1.pem"));
    let request = directory.join("v1.csr");
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &path(&key),
        "-out",
        &path(&request),
    ]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &path(&request),
        "-signkey",
        &path(&key),
        "-out",
        &path(&certificate),
    ]);
    let issued = Issued { certificate, key };
    let tls = trusting(&authority);
    refusal(&issued, &tls, &["CN=localhost", "version 1", "subjectAltName"]);
}

#[test]
fn the_broker_wants_a_certificate_of_ours() {
    let (authority, other) = (Authority::new("Site CA"), Authority::new("Other CA"));
    let issued = authority.issue(&["localhost"], Valid::Now);
    let trusted = format!("cafile {}\nrequire_certificate true", authority.file().display());
    for version in ["", "\ntls_version tlsv1.2"] {
        let broker = Broker::with_tls(&issued, &format!("{trusted}{version}"));
        let url = broker.url("mqtts");
        // None at all.
        let none = gateway(&url, "", &trusting(&authority));
        let line = none.log.wait_for(&["WARN cannot ", &url]);
        assert!(line.contains("a certificate of ours"), "{line}");
        assert!(line.contains("cert_file and key_file under [upstream.tls]"), "{line}");
        // One from an authority that the broker does not know.
        let ours = other.issue(&["gateway"], Valid::Now);
        let tls = format!(
            "{}\ncert_file = {:?}\nkey_file = {:?}",
            trusting(&authority),
            ours.certificate,
            ours.key
        );
        let wrong = gateway(&url, "", &tls);
        let line = wrong.log.wait_for(&["WARN cannot ", &url]);
        assert!(line.contains("it rejects our certificate (UnknownCA): check cert_file"), "{line}");
    }
}

/// Ours is too old: said at the start, because the broker says it less clearly.
#[test]
fn ours_has_expired() {
    let authority = Authority::new("Site CA");
    let issued = authority.issue(&["localhost"], Valid::Now);
    let broker = Broker::with_tls(&issued, "");
    let ours = authority.issue(&["gateway"], Valid::Past);
    let tls = format!(
        "{}\ncert_file = {:?}\nkey_file = {:?}",
        trusting(&authority),
        ours.certificate,
        ours.key
    );
    let gateway = gateway(&broker.url("mqtts"), "", &tls);
    let expired =
        "our certificate (CN=gateway, cert_file under [upstream.tls]) has expired on 2021-";
    gateway.log.wait_for(&["WARN", expired]);
    // This broker does not ask for it.
    gateway.wait_for_broker(1);
}
