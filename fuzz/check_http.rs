//! What has to hold for any octets that a client of the admin interface sends. Used by the fuzzer and by
//! the tests. It panics when it does not hold.

use mqtt_sn_gateway::admin::dialogue;

/// Whatever is said is an answer of ours, and without the token nothing is told. Gives the status of each
/// answer.
pub fn check(octets: &[u8]) -> Vec<u16> {
    let open = statuses(&dialogue(octets, false));
    for status in statuses(&dialogue(octets, true)) {
        // Health checks, and what is the same for everybody.
        assert!(
            [200, 304, 400, 401, 404, 405, 408, 413, 414, 429, 431, 503].contains(&status),
            "{status}"
        );
    }
    open
}

fn statuses(mut heard: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while !heard.is_empty() {
        let end = heard.windows(4).position(|octets| octets == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&heard[..end]).expect("a head is text");
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let status = status.and_then(|status| status.parse().ok()).expect(head);
        assert!(KNOWN.contains(&status), "{head}");
        found.push(status);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        let rest = &heard[end + 4..];
        let body = length.map_or(0, |length| length.expect("a length"));
        // To HEAD there is a length without a body, and the next answer or the end follows.
        let without = rest.is_empty() || rest.starts_with(b"HTTP/1.");
        heard = if without { rest } else { rest.get(body..).expect("a whole body") };
    }
    found
}

const KNOWN: [u16; 16] =
    [200, 304, 400, 401, 403, 404, 405, 408, 409, 413, 414, 422, 429, 431, 501, 503];
