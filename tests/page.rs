//! The page of the admin interface in a real Chromium, with the real gateway behind it and devices in front of
//! it. The scripts in `tests/page` say what is done in the browser; what has to happen outside of it they ask of
//! this test. What the page looked like is in `target/page-screenshots` afterwards.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mqtt_sn_gateway::codec::{Message, Qos, ReturnCode};
use serde_json::{Value, json};

#[path = "e2e/admin/http.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod http;
#[path = "e2e/rig/mod.rs"]
mod rig;
#[path = "support/mod.rs"]
mod support;

use rig::{Device, Gateway, free_tcp_port, mosquitto, steady_configuration};
use support::mosquitto::Mosquitto;

/// What the scripts ask for.
struct World {
    gateway: Gateway,
    broker: Mosquitto,
    admin: SocketAddr,
    devices: HashMap<String, Device>,
}

impl World {
    /// A gateway with its broker. Its ports stay its own while it is away.
    fn start(address: &str, rest: &str) -> Self {
        let broker = mosquitto("");
        let admin = format!("[admin]\nlisten = \"{address}:{}\"\n", free_tcp_port());
        let url = format!("mqtt://{}", broker.address());
        let gateway = Gateway::start(&steady_configuration(&url, "", &format!("{admin}\n{rest}")));
        gateway.wait_for_broker(1);
        let admin = http::address(&gateway);
        Self { gateway, broker, admin, devices: HashMap::new() }
    }

    fn device(&mut self, request: &Value) -> &mut Device {
        let id = text(request, "id");
        self.devices.get_mut(id).unwrap_or_else(|| panic!("no device {id:?}"))
    }

    fn answer(&mut self, request: &Value) -> Value {
        match text(request, "do") {
            "connect" => {
                let id = text(request, "id");
                let device = Device::connected(self.gateway.link(), id);
                self.devices.insert(id.to_owned(), device);
            }
            "publish" => {
                let device = self.device(request);
                let topic = device.register(text(request, "topic")).expect("a topic id");
                let code = device.publish(topic, Qos::One, text(request, "payload"));
                assert_eq!(code, ReturnCode::ACCEPTED);
            }
            "subscribe" => self.device(request).subscribe_to(text(request, "filter"), Qos::One),
            "sleep" => self.device(request).sleep(300),
            "from-afar" => rig::publish(self.broker.address(), text(request, "topic"), "on", 1),
            "dismissed" => {
                let device = self.device(request);
                device.wait("DISCONNECT", |message| {
                    matches!(message, Message::Disconnect { .. }).then_some(())
                });
            }
            "crowd" => {
                let number = |name: &str| u32::try_from(request[name].as_u64().unwrap()).unwrap();
                rig::connect_crowd(self.gateway.link(), number("from")..number("to"));
            }
            "token" => {
                let lines = self.gateway.log.all();
                let said = lines.iter().find_map(|line| {
                    line.split_once("the token for the admin interface is ")?.1.split(' ').next()
                });
                return json!({ "token": said.expect("the log says it") });
            }
            "kill" => self.gateway.kill(),
            "restart" => self.gateway.restart_and_wait(),
            other => panic!("the script asks for {other:?}"),
        }
        json!({})
    }
}

fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_else(|| panic!("{request} has no {name}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where pictures go.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target").join("page-screenshots")
}

/// Runs a script to its end.
fn run(script: &str, mut world: World) {
    let folder = root().join("tests/page");
    assert!(
        folder.join("node_modules/playwright-core").is_dir(),
        "playwright-core is not installed; tests/setup.sh does it"
    );
    let mut child = Command::new("node")
        .arg(folder.join(script))
        .arg(format!("http://127.0.0.1:{}", world.admin.port()))
        .arg(pictures())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node: {error}; tests/setup.sh installs it"));
    let mut answers = child.stdin.take().expect("a pipe");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for line in lines.map_while(Result::ok) {
        let Some(request) = line.strip_prefix("? ") else {
            println!("{script}: {line}");
            continue;
        };
        let request = serde_json::from_str(request).expect("the script asks in JSON");
        let answer = world.answer(&request);
        // If it has ended meanwhile its exit code says why.
        let _ = writeln!(answers, "{answer}");
    }
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{script}: {status}, see above");
}

#[test]
fn a_person_looks_after_devices() {
    run("tour.mjs", World::start("127.0.0.1", ""));
}

#[test]
fn whoever_has_the_token_is_let_in() {
    run("token.mjs", World::start("0.0.0.0", ""));
}

#[test]
fn troubles_are_told_with_what_to_do_about_them() {
    run("trouble.mjs", World::start("127.0.0.1", ""));
}

#[test]
fn ten_thousand_clients_are_a_list_like_any_other() {
    run("crowd.mjs", World::start("127.0.0.1", "[sessions]\nmax_clients = 30000\n"));
}
