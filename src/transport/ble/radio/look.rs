//! A look around, for whoever wants to know what is there.

use btleplug::api::{Central, Peripheral as _, ScanFilter};
use btleplug::platform::Manager;

use super::adapter::{ANSWER, Found, answer, list};
use super::signs::advert;
use super::trouble::Trouble;
use crate::transport::ble::settings::{Advert, Mac};

/// A device in range.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) address: Mac,
    pub(crate) advert: Advert,
    pub(crate) connected: bool,
}

/// All adapters. Must be called inside a tokio runtime.
pub(crate) async fn adapters() -> Result<Vec<Found>, Trouble> {
    let manager = answer("answer", ANSWER, Manager::new()).await?;
    list(&manager).await
}

/// Scans until `end`: what was heard, and what is connected. It does not disturb who else scans.
pub(crate) async fn in_range(
    found: &Found,
    end: impl Future<Output = ()>,
) -> Result<Vec<Heard>, Trouble> {
    let adapter = &found.adapter;
    answer("scan", ANSWER, adapter.start_scan(ScanFilter::default())).await?;
    end.await;
    let mut heard = Vec::new();
    for peripheral in answer("list devices", ANSWER, adapter.peripherals()).await? {
        // It may be gone by now.
        let Ok(Some(properties)) =
            answer("describe a device", ANSWER, peripheral.properties()).await
        else {
            continue;
        };
        let connected = answer("describe a device", ANSWER, peripheral.is_connected()).await;
        let connected = connected.unwrap_or(false);
        // Others are remembered from another time.
        if connected || properties.rssi.is_some() {
            let address = Mac(properties.address.into_inner());
            heard.push(Heard { address, advert: advert(properties), connected });
        }
    }
    let _ = answer("stop the scan", ANSWER, adapter.stop_scan()).await;
    Ok(heard)
}
