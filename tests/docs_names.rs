//! The documentation is true as far as a test can see: tests that it names exist, log lines that it
//! quotes are written somewhere, configurations that it shows are right, links lead to pages, and
//! profiles are all there.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use mqtt_sn_gateway::config::Config;
use mqtt_sn_gateway::core::Profile;

#[path = "support/mod.rs"]
mod support;

use support::certificates::prepare;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page(name: &str) -> String {
    read(&root().join("docs").join(name))
}

/// The files below a folder with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The rows of the tables whose first heading is this, as cells.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let begin = format!("| {heading} |");
    let mut rows = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line.starts_with(&begin)) {
        let table = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
        rows.extend(table.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()));
    }
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// `a::b::name` is the test `name` in `tests/core/a/b.rs`, `tests/a/b.rs` or `src/a/b.rs`. Below
/// `tests/core` a file counts only if it is compiled.
fn is_a_test(path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else { return false };
    let file = format!("{}.rs", module.replace("::", "/"));
    let wanted = format!("fn {name}()");
    let has_it = |folder: &str| {
        let Ok(text) = fs::read_to_string(root().join(folder).join(&file)) else { return false };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        lines.windows(2).any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&wanted))
    };
    has_it("tests/core") && is_compiled(module) || has_it("tests") || has_it("src")
}

/// Whether each part of `a::b` is declared in the file above it, from `tests/core/main.rs` on.
fn is_compiled(module: &str) -> bool {
    let mut folder = root().join("tests/core");
    let mut above = folder.join("main.rs");
    module.split("::").all(|part| {
        let declared = fs::read_to_string(&above)
            .is_ok_and(|text| text.lines().any(|line| line == format!("mod {part};")));
        folder.push(part);
        above = folder.join("mod.rs");
        declared
    })
}

#[test]
fn every_decision_names_a_test_that_exists() {
    let text = page("protocol.md");
    let decisions = rows(&text, "#");
    assert_eq!(decisions.len(), 42);
    let mut missing = Vec::new();
    for (number, row) in (1..).zip(&decisions) {
        let &[shown, about, decision, tests] = row.as_slice() else {
            panic!("row {number} has {} cells: {row:?}", row.len());
        };
        assert_eq!(shown, number.to_string());
        assert!(!about.is_empty() && decision.len() > 10, "{row:?}");
        let tests = quoted(tests);
        assert!(!tests.is_empty(), "row {number} names no test");
        missing.extend(tests.into_iter().filter(|test| !is_a_test(test)));
    }
    assert_eq!(missing, [""; 0], "tests that docs/protocol.md names");
    assert!(!is_a_test("connect::no_such_test"));
}

/// The sources with continued strings on one line and `…` for what is filled in.
fn sources() -> String {
    let mut all = String::new();
    for path in files("src", "rs") {
        let mut lines = read(&path).replace("\\\"", "\"");
        while let Some(at) = lines.find("\\\n") {
            let rest = lines[at + 2..].trim_start().to_owned();
            lines.truncate(at);
            lines.push_str(&rest);
        }
        all.push_str(&lines);
    }
    all
}

#[test]
fn quoted_log_lines_are_written_somewhere() {
    let sources = sources();
    let pages = ["troubleshooting.md", "tls.md", "serial.md", "xbee.md"].map(page);
    let rows: Vec<_> = pages.iter().flat_map(|text| rows(text, "the log says")).collect();
    let mut checked = 0;
    for row in &rows {
        for line in quoted(row[0]) {
            for part in line.split('…').map(|part| part.trim_matches([' ', '"'])) {
                if part.chars().filter(|c| c.is_alphabetic()).count() < 2 {
                    continue;
                }
                // What is filled in may stand between any two words.
                let words: Vec<&str> = part.split(": ").collect();
                for words in words {
                    assert!(sources.contains(words), "nobody writes “{words}”, of “{line}”");
                    checked += 1;
                }
            }
        }
    }
    assert!(rows.len() > 20 && checked > 40, "{} rows, {checked} parts", rows.len());
}

#[test]
fn configurations_that_are_shown_are_right() {
    let directory = prepare();
    let mut checked = 0;
    for page in files("docs", "md") {
        let text = read(&page);
        for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let has_link = block.contains("[[udp]]") || block.contains("[[serial]]");
            let link = if has_link { "" } else { "[[udp]]\nlisten = \"[::1]:1\"" };
            let path = directory.path().join("gateway.toml");
            let variables: [(OsString, OsString); 0] = [];
            if let Err(error) = Config::from_toml(&path, &format!("{block}{link}"), variables) {
                panic!("{}: {error}", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked >= 9, "only {checked} configurations");
}

#[test]
fn every_profile_is_described() {
    let text = page("clients.md");
    let described: Vec<&str> =
        rows(&text, "profile").iter().flat_map(|row| quoted(row[0])).collect();
    let names: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name).collect();
    assert_eq!(described, names);
}

#[test]
fn links_lead_somewhere_and_every_page_is_linked() {
    let mut pages = files("docs", "md");
    pages.push(root().join("README.md"));
    let mut linked: HashMap<PathBuf, u32> = HashMap::new();
    for page in &pages {
        let text = read(page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().expect("a folder");
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !section.is_empty() {
                let slug = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase();
                let text = read(&target);
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| slug(line).replace(' ', "-") == section);
                assert!(found, "{}: no section {link}", page.display());
            }
            *linked.entry(target.canonicalize().expect("a file")).or_default() += 1;
        }
    }
    for page in files("docs", "md") {
        assert!(linked.contains_key(&page.canonicalize().expect("a file")), "{}", page.display());
    }
}
