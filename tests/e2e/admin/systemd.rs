//! What the service manager hears, whose part a datagram socket plays.

use std::os::unix::net::UnixDatagram;

use crate::rig::{Gateway, PATIENCE, configuration, free_tcp_port};

/// Waits for a message that begins so, and returns it.
#[track_caller]
fn heard(manager: &UnixDatagram, begin: &str) -> String {
    let mut others = Vec::new();
    loop {
        let mut buffer = [0; 1_024];
        let Ok(length) = manager.recv(&mut buffer) else { panic!("no {begin}, but {others:?}") };
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if text.starts_with(begin) {
            return text;
        }
        others.push(text);
    }
}

#[test]
fn the_service_manager_knows_how_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = free_tcp_port();
    let rest = format!("[embedded_broker]\nlisten = \"127.0.0.1:{port}\"\n");
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let configuration = configuration("embedded", "", &rest);
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start_with(directory, &configuration, environment.to_vec());
    assert_eq!(heard(&manager, "READY"), "READY=1");
    assert!(heard(&manager, "STATUS").contains("0 clients"));
    for _ in 0..3 {
        assert_eq!(heard(&manager, "WATCHDOG"), "WATCHDOG=1");
    }
    gateway.hang_up();
    let reloading = heard(&manager, "RELOADING");
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard(&manager, "READY"), "READY=1");
    assert_eq!(gateway.terminate(), 0);
    assert_eq!(heard(&manager, "STOPPING"), "STOPPING=1");
}
