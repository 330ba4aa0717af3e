//! What the system knows of a serial device: the adapter that it belongs to, and its names.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of names that stay, best first.
const NAMES: [&str; 3] = ["/dev/mqtt-sn", "/dev/serial/by-id", "/dev/serial/by-path"];

/// The adapter and the names of a device, a line each; nothing about one that has neither.
pub(super) fn describe(device: &str) -> String {
    let mut text = String::new();
    let Ok(real) = fs::canonicalize(device) else { return text };
    if real != Path::new(device) {
        let _ = writeln!(text, "  is {}", real.display());
    }
    if let Some(adapter) = adapter(&real) {
        let _ = writeln!(text, "  {adapter}");
    }
    for name in names(&real) {
        if name != Path::new(device) {
            let _ = writeln!(text, "  also called {}", name.display());
        }
    }
    text.trim_end().to_owned()
}

/// The name of a device that it keeps when it is plugged in again, or the one given.
pub(super) fn lasting_name(device: &str) -> String {
    let real = fs::canonicalize(device).ok();
    let name = real.and_then(|real| names(&real).into_iter().next());
    if NAMES.iter().any(|folder| Path::new(device).starts_with(folder)) {
        return device.to_owned();
    }
    name.map_or_else(|| device.to_owned(), |name| name.display().to_string())
}

fn names(real: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in NAMES {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut names: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| fs::canonicalize(path).is_ok_and(|target| target == real))
            .collect();
        names.sort();
        found.append(&mut names);
    }
    found
}

/// Maker, product, numbers of the USB device that has this port.
fn adapter(real: &Path) -> Option<String> {
    let name = real.file_name()?;
    let mut folder =
        fs::canonicalize(Path::new("/sys/class/tty").join(name).join("device")).ok()?;
    while !folder.join("idVendor").exists() {
        folder = folder.parent()?.to_owned();
    }
    let read = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        // It comes from the device.
        Some(text.trim().replace(char::is_control, "?")).filter(|text| !text.is_empty())
    };
    let mut text = format!("USB {}:{}", read("idVendor")?, read("idProduct")?);
    for part in ["manufacturer", "product"].into_iter().filter_map(read) {
        let _ = write!(text, ", {part}");
    }
    if let Some(serial) = read("serial") {
        let _ = write!(text, ", serial number {serial}");
    }
    Some(text)
}
