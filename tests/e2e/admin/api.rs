//! The API: what it says is true, and is what docs/openapi.json describes.

use std::collections::BTreeSet;

use mqtt_sn_gateway::codec::Qos;

use super::http::{get, get_until, request};
use super::schema::Description;
use super::start;

const JOIN: &str = "/api/v1/links/{name}/permit-join";
const BY_HAND: &str = "X-Requested-With: test\r\n";

#[test]
fn every_answer_is_as_described() {
    let (rig, admin) = start("[topics]\n7 = \"sensors/seven\"\n[[ble]]\npermit_join = \"never\"\n");
    let mut device = rig.device("meter/1 ü");
    device.register("sensors/one").unwrap();
    device.subscribe_to("commands/#", Qos::One);
    let _second = rig.device("second");
    let description = Description::load();
    let mut covered = BTreeSet::new();
    let id = "/api/v1/clients/meter%2F1%20%C3%BC";
    let timeline = "/api/v1/clients/meter%2F1%20%C3%BC/timeline";
    for (method, described, path, headers, status) in [
        ("GET", "/", "/", "", 200),
        ("GET", "/", "/", "Sec-Fetch-Site: same-site\r\n", 403),
        ("GET", "/metrics", "/metrics", "", 200),
        ("GET", "/healthz", "/healthz", "", 200),
        ("GET", "/healthz", "/healthz", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("GET", "/readyz", "/readyz", "", 200),
        ("GET", "/readyz", "/readyz", "Origin: http://evil.example\r\n", 403),
        ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", "", 200),
        ("GET", "/api/v1/clients", "/api/v1/clients?limit=1", "", 200),
        ("GET", "/api/v1/clients", "/api/v1/clients?state=lost", "", 400),
        ("GET", "/api/v1/clients", "/api/v1/clients", "Host: evil.example\r\n", 403),
        ("GET", "/api/v1/clients/{id}", id, "", 200),
        ("GET", "/api/v1/clients/{id}", "/api/v1/clients/nobody", "", 404),
        ("GET", "/api/v1/clients/{id}", "/api/v1/clients/%f", "", 400),
        ("GET", "/api/v1/clients/{id}/timeline", timeline, "", 200),
        ("GET", "/api/v1/clients/{id}/timeline", "/api/v1/clients/nobody/timeline", "", 404),
        ("GET", "/api/v1/strangers", "/api/v1/strangers", "", 200),
        ("GET", "/api/v1/events", "/api/v1/events?kinds=all", "", 400),
        ("GET", "/api/v1/status", "/api/v1/status", "", 200),
        ("GET", "/api/v1/links", "/api/v1/links", "", 200),
        ("GET", "/api/v1/topics", "/api/v1/topics", "", 200),
        ("GET", "/api/v1/topics", "/api/v1/topics?cursor=a", "", 400),
        ("POST", "/api/v1/reload", "/api/v1/reload", "", 403),
        ("POST", "/api/v1/reload", "/api/v1/reload", BY_HAND, 200),
        ("POST", JOIN, "/api/v1/links/udp%20127.0.0.1%3A0/permit-join?seconds=1", "", 403),
        ("POST", JOIN, "/api/v1/links/no%20such/permit-join?seconds=1", BY_HAND, 404),
        ("POST", JOIN, "/api/v1/links/ble/permit-join?seconds=1", BY_HAND, 200),
        ("POST", JOIN, "/api/v1/links/ble/permit-join?seconds=3601", BY_HAND, 400),
        ("POST", JOIN, "/api/v1/links/ble/permit-join", BY_HAND, 400),
        ("GET", "/api/v1/log", "/api/v1/log", "", 200),
        ("PUT", "/api/v1/log", "/api/v1/log?level=warn", "", 403),
        ("PUT", "/api/v1/log", "/api/v1/log?level=loud", BY_HAND, 400),
        ("PUT", "/api/v1/log", "/api/v1/log", BY_HAND, 400),
        ("PUT", "/api/v1/log", "/api/v1/log?level=info,mqtt_sn_gateway::core=debug", BY_HAND, 200),
        ("GET", "/api/v1/events", "/api/v1/events", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("GET", "/api/v1/capture/file", "/api/v1/capture/file", "", 404),
        ("GET", "/api/v1/capture", "/api/v1/capture", "", 200),
        ("DELETE", "/api/v1/capture", "/api/v1/capture", BY_HAND, 200),
        ("POST", "/api/v1/capture", "/api/v1/capture", "", 403),
        ("POST", "/api/v1/capture", "/api/v1/capture?max_bytes=1", BY_HAND, 400),
        ("POST", "/api/v1/capture", "/api/v1/capture?client=me*", BY_HAND, 200),
        ("POST", "/api/v1/capture", "/api/v1/capture", BY_HAND, 409),
        ("DELETE", "/api/v1/capture", "/api/v1/capture", "", 403),
        ("DELETE", "/api/v1/capture", "/api/v1/capture", BY_HAND, 200),
        ("GET", "/api/v1/capture", "/api/v1/capture", "", 200),
        ("GET", "/api/v1/capture/file", "/api/v1/capture/file", "", 200),
        ("DELETE", "/api/v1/clients/{id}", id, "", 403),
        ("DELETE", "/api/v1/clients/{id}", id, BY_HAND, 200),
        ("DELETE", "/api/v1/clients/{id}", id, BY_HAND, 404),
    ] {
        let answer = request(admin, method, path, headers, "");
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        description.check(described, method, &answer);
        covered.insert((described.to_owned(), method.to_owned()));
    }
    let all: BTreeSet<_> = description.operations().into_iter().collect();
    assert_eq!(covered, all, "what is described and what is tried here");
    let served = get(admin, "/api/v1/openapi.json").json();
    assert_eq!(&served, description.whole());
    rig.stop();
}

#[test]
fn clients_are_found_by_page_text_state_and_link() {
    let (rig, admin) = start("");
    let mut devices: Vec<_> = (0..25).map(|n| rig.device(&format!("Meter-{n}"))).collect();
    devices[3].sleep(300);
    let ids = |path: &str| -> Vec<String> {
        let found = get(admin, path).json();
        let clients = found["clients"].as_array().expect("clients");
        clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()).collect()
    };
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let page = get(admin, &format!("/api/v1/clients?limit=7&cursor={next}")).json();
        let clients = page["clients"].as_array().unwrap();
        assert!(clients.len() <= 7);
        all.extend(clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(further) => next = further,
            None => break,
        }
    }
    let once: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), once.len()), (25, 25));
    assert_eq!(ids("/api/v1/clients?state=asleep"), ["Meter-3"]);
    assert_eq!(ids("/api/v1/clients?q=METER-2&limit=1000").len(), 6);
    assert_eq!(ids("/api/v1/clients?link=udp%20*").len(), 25);
    assert_eq!(ids("/api/v1/clients?link=serial*"), [""; 0]);
    let sleeper = get(admin, "/api/v1/clients/Meter-3").json();
    assert!(sleeper["sleeps_until"].is_string(), "{sleeper}");
    assert_eq!(sleeper["address"], devices[3].address().to_string());
    rig.stop();
}

#[test]
fn a_client_that_is_ended_begins_anew() {
    let (rig, admin) = start("");
    let mut device = rig.device("ended");
    device.subscribe_to("commands/#", Qos::One);
    let details = get(admin, "/api/v1/clients/ended").json();
    assert_eq!(details["subscriptions"][0]["filter"], "commands/#", "{details}");
    let answer = request(admin, "DELETE", "/api/v1/clients/ended", BY_HAND, "");
    assert_eq!((answer.status, &answer.json()["kicked"]), (200, &"ended".into()));
    device.wait("DISCONNECT", |message| {
        matches!(message, mqtt_sn_gateway::codec::Message::Disconnect { .. }).then_some(())
    });
    assert_eq!(get(admin, "/api/v1/clients/ended").status, 404);
    rig.gateway.log.wait_for(&["the session of client \"ended\" was ended by an operator"]);
    device.connect("ended");
    let details = get(admin, "/api/v1/clients/ended").json();
    assert_eq!(details["subscription_count"], 0, "{details}");
    rig.stop();
}

#[test]
fn a_reload_says_what_it_did() {
    let (rig, admin) = start("");
    let reload = || request(admin, "POST", "/api/v1/reload", BY_HAND, "");
    assert_eq!(reload().json()["taken"].as_array().unwrap().len(), 0);
    rig.gateway.rewrite(|text| {
        format!("{}\n[sessions]\nretry_count = 7\n", text.replace("\"e2e\"", "\"other\""))
    });
    let answer = reload();
    assert_eq!(answer.json()["taken"][0], "sessions.retry_count", "{answer:?}");
    assert_eq!(answer.json()["kept"]["name"], "\"e2e\"", "{answer:?}");
    rig.gateway.rewrite(|text| text.replace("retry_count = 7", "retry_count = -7"));
    let refused = reload();
    assert_eq!(refused.status, 422);
    let why = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(why.contains("retry_count") && why.contains("gateway.toml:"), "{why}");
    Description::load().check("/api/v1/reload", "POST", &refused);
    rig.stop();
}

#[test]
fn links_count_and_topics_are_named() {
    let (rig, admin) = start("[topics]\n7 = \"sensors/seven\"\n[[ble]]\npermit_join = \"never\"\n");
    let mut device = rig.device("counted");
    device.register("sensors/one").unwrap();
    let link = get_until(admin, "/api/v1/links", |answer| {
        answer.json()["links"][0]["sent"]["packets"].as_u64() >= Some(2)
    });
    let link = link.json()["links"][0].clone();
    assert_eq!((&link["kind"], &link["up"]), (&"udp".into(), &true.into()), "{link}");
    let topics = get(admin, "/api/v1/topics").json();
    assert_eq!(topics["predefined"][0]["name"], "sensors/seven", "{topics}");
    let names = topics["topics"].as_array().unwrap();
    assert!(names.iter().any(|topic| topic["name"] == "sensors/one"), "{topics}");
    rig.stop();
}

#[test]
fn whoever_may_join_is_said_of_links_that_ask() {
    let (rig, admin) = start("[[ble]]\npermit_join = \"never\"\n");
    let name = get(admin, "/api/v1/links").json()["links"][0]["name"].as_str().unwrap().to_owned();
    let post = |link: &str, seconds: u32| {
        let path = format!("/api/v1/links/{link}/permit-join?seconds={seconds}");
        request(admin, "POST", &path, BY_HAND, "")
    };
    let links = get(admin, "/api/v1/links").json();
    assert!(links["links"][0]["permit_join"].is_null());
    let shut = serde_json::json!({ "open": false, "until": null, "known": 0 });
    assert_eq!(links["links"][1]["permit_join"], shut);
    let opened = post("ble", 600).json();
    assert_eq!((&opened["link"], &opened["permit_join"]["open"]), (&"ble".into(), &true.into()));
    let until = opened["permit_join"]["until"].as_str().unwrap().to_owned();
    assert_eq!(get(admin, "/api/v1/links").json()["links"][1]["permit_join"]["open"], true);
    assert!(post("ble", 3_600).json()["permit_join"]["until"].as_str().unwrap() > until.as_str());
    assert_eq!(post("ble", 0).json()["permit_join"], shut);
    assert_eq!(post(&name.replace(' ', "%20"), 1).status, 409, "{name}");
    rig.gateway.log.wait_for(&["ble", "may not join any more"]);
    rig.stop();
}

#[test]
fn the_level_of_the_log_changes_live_until_the_next_reload() {
    let (rig, admin) = start("");
    let level = || get(admin, "/api/v1/log").json()["level"].as_str().unwrap().to_owned();
    let before = level();
    let set = request(admin, "PUT", "/api/v1/log?level=off", BY_HAND, "");
    assert_eq!((set.status, set.json()["level"].as_str()), (200, Some("off")));
    let _quiet = rig.device("unheard");
    assert_eq!(level(), "off");
    assert_eq!(request(admin, "POST", "/api/v1/reload", BY_HAND, "").status, 200);
    assert_eq!(level(), before);
    let _loud = rig.device("heard");
    rig.gateway.log.wait_for(&["heard"]);
    assert_eq!(rig.gateway.log.count("unheard"), 0);
    rig.stop();
}
