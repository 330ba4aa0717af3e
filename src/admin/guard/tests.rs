use super::*;

const FROM: &str = "192.0.2.7:5000";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn status(guard: &Guard, pairs: &[(&'static str, &str)], access: Access) -> u16 {
    let uri = Uri::from_static("/api/v1/reload");
    let checked = guard.check(FROM.parse().unwrap(), &uri, &headers(pairs), access);
    checked.map_or_else(|answer| answer.status().as_u16(), |()| 200)
}

#[test]
fn only_names_of_this_machine_are_served_on_the_loopback() {
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("localhost.", 200),
        ("gateway.localhost", 200),
        ("127.0.0.1:8080", 200),
        ("127.1.2.3", 200),
        ("[::1]:8080", 200),
        ("evil.example:8080", 403),
        ("localhost.evil.example", 403),
        ("evil-localhost", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.0.2.1", 403),
        ("[::2]", 403),
        ("", 403),
        ("[", 403),
    ] {
        assert_eq!(status(&Guard::Local, &[("host", host)], Access::Look), expected, "{host}");
    }
    // Those of HTTP/1.0 say none, and browsers are not among them.
    assert_eq!(status(&Guard::Local, &[], Access::Look), 200);
    let both = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(status(&Guard::Local, &both, Access::Look), 403);
    let uri = Uri::from_static("http://evil.example/metrics");
    assert!(Guard::Local.check(FROM.parse().unwrap(), &uri, &headers(&[]), Access::Look).is_err());
}

#[test]
fn what_a_form_or_a_foreign_page_can_send_changes_nothing() {
    let with = |more: &[(&'static str, &str)]| {
        let mut all = vec![("host", "localhost:8080")];
        all.extend(more);
        status(&Guard::Local, &all, Access::Change)
    };
    assert_eq!(with(&[]), 403);
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(with(&[("content-type", form)]), 403);
    }
    assert_eq!(with(&[("content-type", "text/plain; application/json")]), 403);
    assert_eq!(with(&[("content-type", "application/json; charset=utf-8")]), 200);
    assert_eq!(with(&[("x-requested-with", "curl")]), 200);
    for (origin, expected) in [
        ("http://localhost:8080", 200),
        ("http://LOCALHOST:8080", 200),
        ("https://localhost:8080", 200),
        ("http://localhost:8081", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ] {
        let said = [("x-requested-with", "page"), ("origin", origin)];
        assert_eq!(with(&said), expected, "{origin}");
    }
}

#[test]
fn a_foreign_page_can_ask_for_nothing() {
    let with = |access, site, mode, dest| {
        let said = [
            ("host", "localhost:8080"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", mode),
            ("sec-fetch-dest", dest),
        ];
        status(&Guard::Local, &said, access)
    };
    for access in [Access::Open, Access::Look] {
        for site in ["cross-site", "same-site"] {
            assert_eq!(with(access, site, "no-cors", "empty"), 403, "fetch");
            assert_eq!(with(access, site, "cors", "empty"), 403, "EventSource");
            assert_eq!(with(access, site, "no-cors", "image"), 403);
            assert_eq!(with(access, site, "navigate", "iframe"), 403, "it would be a part of it");
            assert_eq!(with(access, site, "navigate", "document"), 200, "somebody follows a link");
        }
        assert_eq!(with(access, "same-origin", "cors", "empty"), 200, "our own page");
        assert_eq!(with(access, "none", "navigate", "document"), 200, "somebody types it");
        let foreign = [("host", "localhost:8080"), ("origin", "http://evil.example")];
        assert_eq!(status(&Guard::Local, &foreign, access), 403);
        let own = [("host", "localhost:8080"), ("origin", "http://localhost:8080")];
        assert_eq!(status(&Guard::Local, &own, access), 200);
    }
    // It does not use up the tries of whoever sits at the browser.
    let guard = Guard::with_token(None);
    for _ in 0..2 * TRIES {
        assert_eq!(status(&guard, &[("sec-fetch-site", "cross-site")], Access::Look), 403);
    }
    assert_eq!(status(&guard, &[], Access::Look), 401);
}

#[test]
fn a_token_opens_whatever_others_have_tried() {
    let directory = tempfile::tempdir().unwrap();
    let hash = crate::admin::token::open(directory.path()).unwrap();
    let guard = Guard::with_token(Some(hash));
    for tried in ["", "Bearer", "Bearer ", "Bearer wrong", "Basic d3Jvbmc=", "bearer"] {
        assert_eq!(status(&guard, &[("authorization", tried)], Access::Look), 401, "{tried:?}");
    }
    for _ in 0..TRIES {
        status(&guard, &[], Access::Look);
    }
    assert_eq!(status(&guard, &[], Access::Look), 429);
    assert_eq!(
        status(&Guard::with_token(None), &[("authorization", "Bearer ")], Access::Look),
        401
    );
}
