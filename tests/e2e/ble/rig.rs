//! The rig by itself: btleplug, the library that the gateway uses, finds in it what it would find in
//! BlueZ.

use std::process::Command;
use std::time::Duration;

use btleplug::api::{
    Central as _, CentralEvent, CharPropFlags, Characteristic, Manager as _, Peripheral as _,
    ScanFilter, ValueNotification, WriteType,
};
use btleplug::platform::{Adapter, Manager, Peripheral};
use futures_util::{Stream, StreamExt as _};
use uuid::Uuid;

use super::bluez::{Bluez, Faults, NUS, NUS_2, NUS_3, Peripheral as Fake, Write};
use super::bus::Bus;
use crate::rig::PATIENCE;

/// Set in the process that uses btleplug: libdbus reads the address of the bus once, from the environment.
const CHILD: &str = "BLE_RIG_CHILD";
const ADDRESS: &str = "F0:11:22:33:44:55";

/// This test twice: once with the rig, and in a child with btleplug.
#[test]
fn btleplug_finds_in_the_rig_what_it_needs() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, uses()).await.unwrap() });
        return;
    }
    let bus = Bus::new();
    let bluez = Bluez::on(&bus);
    bluez.add(Fake::hm10("F0:00:00:00:00:01").named("other"));
    let id = bluez.add(Fake::nus(ADDRESS).named("right"));
    bluez.with(move |state| {
        state.devices[id].faults = Faults { failing_connects: 1, ..Faults::default() };
    });
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ble::rig::btleplug_finds_in_the_rig_what_it_needs", "--nocapture"])
        .env(CHILD, "1")
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let (record, state) = bluez.with(move |state| {
        let adapter = &state.adapters["hci0"];
        let shown: Vec<_> = state.devices.iter().map(|device| device.shown).collect();
        (state.devices[id].record.clone(), (adapter.discoveries, shown, state.most_linked))
    });
    assert_eq!(state, (1, vec![false, true], 1), "discoveries, devices shown, most connected");
    assert_eq!((record.attempts, record.links, record.subscriptions), (3, 2, 2));
    assert_eq!(record.disconnects, 1);
    let write = |octets: &[u8], command| Write { octets: octets.to_vec(), command };
    assert_eq!(record.writes[..2], [write(b"request", false), write(b"command", true)]);
    assert_eq!(record.writes.last(), Some(&write(b"again", false)));
}

async fn uses() {
    let manager = Manager::new().await.unwrap();
    let adapters = manager.adapters().await.unwrap();
    let [adapter] = adapters.as_slice() else { panic!("one adapter: {adapters:?}") };
    assert!(adapter.adapter_info().await.unwrap().starts_with("hci0"));

    let mut events = adapter.events().await.unwrap();
    let nus = Uuid::parse_str(NUS).unwrap();
    adapter.start_scan(ScanFilter { services: vec![nus] }).await.unwrap();
    let peripheral = find(adapter, &mut events, nus).await;
    // At first without a name, then with.
    let early = peripheral.properties().await.unwrap().unwrap();
    assert_eq!(early.local_name.as_deref(), Some("F0-11-22-33-44-55"));
    assert_eq!((early.advertisement_name, early.rssi), (None, None));
    let late = loop {
        let properties = peripheral.properties().await.unwrap().unwrap();
        if properties.advertisement_name.is_some() {
            break properties;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(late.local_name.as_deref(), Some("right"));
    assert!(late.rssi.is_some());

    let refused = peripheral.connect().await.unwrap_err().to_string();
    assert!(refused.contains("le-connection-abort-by-local"), "{refused}");
    let (receive, mut notes) = open(&peripheral).await;
    assert_eq!(peripheral.mtu(), 247);
    for (data, kind) in
        [(&b"request"[..], WriteType::WithResponse), (b"command", WriteType::WithoutResponse)]
    {
        peripheral.write(&receive, data, kind).await.unwrap();
        assert_eq!(notes.next().await.unwrap().value, data);
    }
    // Equal ones come, too, and all of them in order.
    for octet in 0..100 {
        let data = [octet / 2; 20];
        peripheral.write(&receive, &data, WriteType::WithoutResponse).await.unwrap();
    }
    for octet in 0..100 {
        assert_eq!(notes.next().await.unwrap().value, [octet / 2; 20]);
    }
    let long = [7; 245];
    peripheral.write(&receive, &long, WriteType::WithoutResponse).await.unwrap_err();

    peripheral.disconnect().await.unwrap();
    while !matches!(events.next().await.unwrap(), CentralEvent::DeviceDisconnected(_)) {}
    assert!(!peripheral.is_connected().await.unwrap());
    peripheral.write(&receive, b"late", WriteType::WithResponse).await.unwrap_err();
    let (receive, mut notes) = open(&peripheral).await;
    peripheral.write(&receive, b"again", WriteType::WithResponse).await.unwrap();
    assert_eq!(notes.next().await.unwrap().value, b"again");
}

async fn find(
    adapter: &Adapter,
    events: &mut (impl Stream<Item = CentralEvent> + Unpin),
    service: Uuid,
) -> Peripheral {
    loop {
        if let CentralEvent::ServicesAdvertisement { id, services } = events.next().await.unwrap()
            && services.contains(&service)
        {
            return adapter.peripheral(&id).await.unwrap();
        }
    }
}

/// Connects, discovers and subscribes.
async fn open(
    peripheral: &Peripheral,
) -> (Characteristic, impl Stream<Item = ValueNotification> + Unpin + use<>) {
    peripheral.connect().await.unwrap();
    peripheral.discover_services().await.unwrap();
    let all = peripheral.characteristics();
    let pick = |uuid: &str| {
        let uuid = Uuid::parse_str(uuid).unwrap();
        all.iter().find(|one| one.uuid == uuid).expect("it is there").clone()
    };
    let (receive, send) = (pick(NUS_2), pick(NUS_3));
    assert_eq!(receive.properties, CharPropFlags::WRITE | CharPropFlags::WRITE_WITHOUT_RESPONSE);
    assert_eq!(send.properties, CharPropFlags::NOTIFY);
    let notes = peripheral.notifications().await.unwrap();
    peripheral.subscribe(&send).await.unwrap();
    (receive, notes)
}
