//! `[upstream.tls]`.

use std::path::{Path, PathBuf};

use super::checked::Upstream;
use super::error::Origin;
use super::reader::{Complaint, Reader, bad_value};
use crate::upstream::{Tls, is_server_name};

/// Reads the table, and then the files that it names, so that what is wrong with them is found
/// before anything is started. `url` is the place of that key, if it is there and fine.
pub(super) fn read_tls(
    mut reader: Reader<'_>,
    directory: &Path,
    url: &Option<Origin>,
    upstream: &mut Upstream,
) {
    let path = |text: &str| -> Result<Option<PathBuf>, Complaint> {
        Ok(Some(directory.join(text)).filter(|_| !text.is_empty()))
    };
    let uses_tls = upstream.uses_tls();
    let tls = &mut upstream.tls;
    let ca_file = reader.text("ca_file", &mut tls.ca_file, path);
    let cert_file = reader.text("cert_file", &mut tls.cert_file, path);
    let key_file = reader.text("key_file", &mut tls.key_file, path);
    let server_name = reader.text("server_name", &mut tls.server_name, |text| {
        if !text.is_empty() && !is_server_name(text) {
            let help =
                "a host name or an address, as the broker's certificate has it, without a port";
            return Err(bad_value("server_name", text, help));
        }
        Ok(Some(text.into()).filter(|_| !text.is_empty()))
    });
    let insecure = reader.boolean("insecure", &mut tls.insecure);

    let lonely = match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => cert_file.as_ref().map(|origin| (origin, "cert_file", "key_file")),
        (None, Some(_)) => key_file.as_ref().map(|origin| (origin, "key_file", "cert_file")),
        _ => None,
    };
    if let Some((origin, one, other)) = lonely {
        let message = format!("there is `{one}` but no `{other}`");
        let help =
            "a certificate is of use only with its key; if one file holds both, name it twice";
        reader.complain(origin, Complaint::new(message, help));
    }
    // With a faulty `url` nobody knows.
    let known = url.is_some() || upstream.brokers == [super::Broker::Embedded];
    let set = [
        (&ca_file, tls.ca_file.is_some()),
        (&cert_file, tls.cert_file.is_some()),
        (&key_file, tls.key_file.is_some()),
        (&server_name, tls.server_name.is_some()),
        (&insecure, tls.insecure),
    ];
    let first = set.into_iter().find_map(|(origin, set)| origin.as_ref().filter(|_| set));
    if let Some(origin) = first
        && !uses_tls
        && known
    {
        // Who names an authority believes in encryption.
        let help = "write mqtts:// or wss:// in `url`, or take [upstream.tls] out";
        let message = "no broker in `url` is spoken to by TLS";
        reader.complain(origin, Complaint::new(message, help));
    }
    if uses_tls
        && lonely.is_none()
        && let Err(error) = Tls::build(tls)
    {
        let origin = match error.key {
            "cert_file" => &cert_file,
            "key_file" => &key_file,
            "server_name" => &server_name,
            _ => &ca_file,
        };
        let origin = origin.as_ref().or(url.as_ref()).unwrap_or(&Origin::Missing);
        reader.complain(origin, Complaint::new(error.message, error.help));
    }
    reader.finish();
}
