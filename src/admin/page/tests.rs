use http_body_util::BodyExt as _;

use super::*;

/// First paint on a slow line, compressed or not.
const MOST: usize = 300 * 1024;

fn body(answer: Answer) -> String {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let body = builder.build().unwrap().block_on(answer.into_body().collect()).unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[test]
fn all_of_it_is_small() {
    let size: usize = FILES.iter().map(|file| file.text.len()).sum();
    println!("{size} octets in {} files", FILES.len());
    assert!(size < MOST, "{size} octets");
}

#[test]
fn what_a_file_asks_for_is_there() {
    for file in FILES {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let begins = ["href=\"", "src=\"", "from \""];
        for begin in begins {
            for part in file.text.split(begin).skip(1) {
                let name = part.split('"').next().unwrap();
                if !name.ends_with(".js") && !name.ends_with(".css") && !name.ends_with(".svg") {
                    continue;
                }
                let mut folder = folder;
                let mut rest = name.strip_prefix("./").unwrap_or(name);
                while let Some(above) = rest.strip_prefix("../") {
                    rest = above;
                    folder = folder.rsplit_once('/').unwrap().0;
                }
                let path = format!("{folder}/{rest}");
                assert!(find(&path).is_some(), "{} asks for {path}", file.path);
            }
        }
    }
}

#[test]
fn nothing_is_asked_of_anybody_else() {
    for file in FILES {
        for text in file.text.split("//").skip(1) {
            let scheme = file.text[..text.as_ptr() as usize - file.text.as_ptr() as usize - 2]
                .ends_with(':');
            assert!(
                !scheme || text.starts_with("www.w3.org/2000/svg"),
                "{}: {text:.60}",
                file.path
            );
        }
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!file.text.contains(word), "{} has {word}", file.path);
        }
    }
}

#[test]
fn a_file_is_sent_once_and_then_only_confirmed() {
    let file = find("/").unwrap();
    let first = serve(file, &HeaderMap::new());
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()[ETAG].clone();
    assert_eq!(first.headers()[CACHE_CONTROL], "no-cache");
    assert_eq!(first.headers()[CONTENT_SECURITY_POLICY], POLICY);
    assert!(body(first).starts_with("<!doctype html>"));
    for (said, expected) in [
        (tag.to_str().unwrap().to_owned(), 304),
        (format!("\"other\", W/{}", tag.to_str().unwrap()), 304),
        ("\"other\"".to_owned(), 200),
        (String::new(), 200),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&said).unwrap());
        let answer = serve(file, &headers);
        assert_eq!(answer.status().as_u16(), expected, "{said}");
        assert_eq!(answer.headers()[ETAG], tag);
        assert_eq!(body(answer).is_empty(), expected == 304);
    }
}
