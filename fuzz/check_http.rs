//! What has to hold for any octets that a client of the admin interface sends. Used by the fuzzer and by
//! the tests. It panics when it does not hold.

use mqtt_sn_gateway::admin::dialogue;

/// Whatever is said is an answer of ours, and without the token nothing is told. Gives the status of each
/// answer.
pub fn check(octets: &[u8]) -> Vec<u16> {
    let open = answers(&dialogue(octets, false));
    for (status, kind) in answers(&dialogue(octets, true)) {
        let harmless = match (status, kind.as_deref()) {
            // The files of a page for a person, which are the same for everybody.
            (200, Some(kind)) => PAGE.iter().any(|page| kind.starts_with(page)),
            (304, kind) => kind.is_none(),
            // Health checks: that there is no gateway.
            (503, Some(kind)) => kind.starts_with("text/plain"),
            (status, _) => REFUSALS.contains(&status),
        };
        assert!(harmless, "{status} {kind:?}");
    }
    open.into_iter().map(|(status, _)| status).collect()
}

/// The status and the content type of each answer.
fn answers(mut heard: &[u8]) -> Vec<(u16, Option<String>)> {
    let mut found = Vec::new();
    while !heard.is_empty() {
        let end = heard.windows(4).position(|octets| octets == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&heard[..end]).expect("a head is text");
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let status = status.and_then(|status| status.parse().ok()).expect(head);
        assert!(KNOWN.contains(&status), "{head}");
        let header = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        found.push((status, header("content-type").map(str::to_owned)));
        let length = header("content-length").map(str::parse::<usize>);
        let rest = &heard[end + 4..];
        let body = length.map_or(0, |length| length.expect("a length"));
        // To HEAD there is a length without a body, and the next answer or the end follows.
        let without = rest.is_empty() || rest.starts_with(b"HTTP/1.");
        heard = if without { rest } else { rest.get(body..).expect("a whole body") };
    }
    found
}

/// What whoever has no token is told, be it of a request or of what is none.
const REFUSALS: [u16; 7] = [400, 401, 403, 408, 414, 429, 431];
/// What the files of a page are.
const PAGE: [&str; 4] = ["text/html", "text/css", "text/javascript", "image/svg+xml"];
const KNOWN: [u16; 16] =
    [200, 304, 400, 401, 403, 404, 405, 408, 409, 413, 414, 422, 429, 431, 501, 503];
