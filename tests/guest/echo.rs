//! Writes back what a Nordic UART peripheral notifies it of: the least that a gateway's way through
//! BlueZ and btleplug can take. Takes the first device that offers the service, and goes on until it
//! is ended.

use btleplug::api::{Central, CentralEvent, Manager as _, Peripheral as _, ScanFilter, WriteType};
use btleplug::platform::Manager;
use futures_util::StreamExt;
use uuid::{Uuid, uuid};

const SERVICE: Uuid = uuid!("6e400001-b5a3-f393-e0a9-e50e24dcca9e");
const RX: Uuid = uuid!("6e400002-b5a3-f393-e0a9-e50e24dcca9e");
const TX: Uuid = uuid!("6e400003-b5a3-f393-e0a9-e50e24dcca9e");
/// The first sensor of `main.py`.
const NAME: &str = "sensor-1";

pub fn run() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(echo())
}

async fn echo() -> Result<(), Box<dyn std::error::Error>> {
    let adapters = Manager::new().await?.adapters().await?;
    let adapter = adapters.first().ok_or("no adapter")?;
    let mut events = adapter.events().await?;
    adapter.start_scan(ScanFilter { services: vec![SERVICE] }).await?;
    let device = loop {
        let Some(event) = events.next().await else { return Err("no more events".into()) };
        let CentralEvent::ServicesAdvertisement { id, .. } = event else { continue };
        let device = adapter.peripheral(&id).await?;
        let properties = device.properties().await?.ok_or("no properties")?;
        if properties.local_name.as_deref() == Some(NAME) {
            break device;
        }
    };
    adapter.stop_scan().await?;
    device.connect().await?;
    device.discover_services().await?;
    let characteristics = device.characteristics();
    let find = |uuid| characteristics.iter().find(|one| one.uuid == uuid).ok_or("another service");
    let (rx, tx) = (find(RX)?, find(TX)?);
    let mut notifications = device.notifications().await?;
    device.subscribe(tx).await?;
    while let Some(notification) = notifications.next().await {
        device.write(rx, &notification.value, WriteType::WithoutResponse).await?;
    }
    Ok(())
}
