//! The rules for udev: read by the real udevadm, and what documentation says of them is there.
//! `tests/guest/usb-serial.sh` plugs an adapter in and out in a kernel of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("udev")).expect("the folder of rules");
    let mut rules: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    rules.retain(|path| path.extension().is_some_and(|extension| extension == "rules"));
    rules.sort();
    rules
}

fn check(rules: &[PathBuf]) -> Output {
    Command::new(root().join("tests/udev/check.sh")).args(rules).output().expect("the script runs")
}

/// It takes a mount namespace of one's own.
fn is_root() -> bool {
    let is_root = nix::unistd::Uid::effective().is_root();
    if !is_root {
        eprintln!("NOT CHECKED: udevadm reads rules in a private /dev for root only");
    }
    is_root
}

#[test]
fn rules_are_understood() {
    let rules = rules();
    assert_eq!(rules.len(), 2);
    if is_root() {
        let output = check(&rules);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text, "");
    }
}

#[test]
fn what_is_wrong_with_a_rule_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let first = fs::read_to_string(&rules()[0]).unwrap();
    for (from, to, says) in [
        ("SYMLINK+=", "SYMLNK+=", "Invalid key 'SYMLNK'"),
        ("GROUP=\"dialout\"", "GROUP=\"no-such-group\"", "no-such-group"),
        ("LABEL=\"mqtt_sn_end\"", "LABEL=\"other\"", "mqtt_sn_end"),
    ] {
        assert!(first.contains(from));
        let path = directory.path().join("70-changed.rules");
        fs::write(&path, first.replace(from, to)).unwrap();
        if is_root() {
            let output = check(&[path]);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(!output.status.success() && text.contains(says), "{to}: {text}");
        }
    }
}

/// Every kind of adapter has a line in the page, and no other has.
#[test]
fn the_page_lists_every_kind() {
    let page = fs::read_to_string(root().join("docs/udev.md")).unwrap();
    let rules = fs::read_to_string(&rules()[0]).unwrap();
    let mut kinds: Vec<&str> = rules
        .split("ENV{MQTT_SN_KIND}=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|kind| !kind.contains('?'))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, kinds);
}
