//! Which adapters there are, and the one that is wanted.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use btleplug::api::{Central, CentralState, Manager as _};
use btleplug::platform::{Adapter, Manager};
use tokio::time::timeout;

use super::trouble::Trouble;
use crate::transport::ble::settings::Mac;

/// How long BlueZ may take for an answer that it has at hand.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// Adapters that links of this process use.
static CLAIMED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// An adapter.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) adapter: Adapter,
    /// As in `hci0`.
    pub(crate) name: String,
    pub(crate) address: Option<Mac>,
    pub(crate) powered: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} ({address})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Found {
    /// Whether this is its name or its address.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        self.name == wanted || self.address.is_some_and(|it| Mac::parse(wanted) == Some(it))
    }
}

/// All adapters, by name.
pub(crate) async fn list(manager: &Manager) -> Result<Vec<Found>, Trouble> {
    let adapters = answer("list adapters", ANSWER, manager.adapters()).await?;
    let mut found = Vec::new();
    for adapter in adapters {
        let info = answer("describe an adapter", ANSWER, adapter.adapter_info()).await?;
        let address = answer("describe an adapter", ANSWER, adapter.adapter_address()).await?;
        let state = answer("describe an adapter", ANSWER, adapter.adapter_state()).await?;
        let name = info.split(' ').next().unwrap_or_default().to_owned();
        let address = address.map(|address| Mac(address.into_inner()));
        found.push(Found { adapter, name, address, powered: state == CentralState::PoweredOn });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The adapter of this name or address, or any one that is switched on and free.
pub(crate) async fn find(
    manager: &Manager,
    wanted: Option<&str>,
) -> Result<(Found, Claim), Trouble> {
    let mut all = list(manager).await?;
    if all.is_empty() {
        return Err(Trouble::NoAdapter);
    }
    let there = all.iter().map(ToString::to_string).collect();
    match wanted {
        Some(wanted) => all.retain(|found| found.is(wanted)),
        // Those that are off last.
        None => all.sort_by_key(|found| !found.powered),
    }
    let mut trouble = None;
    for found in all {
        let adapter = found.name.clone();
        let why = if !found.powered {
            Trouble::Off { adapter }
        } else if let Some(claim) = Claim::new(&adapter) {
            return Ok((found, claim));
        } else {
            Trouble::Claimed { adapter }
        };
        trouble.get_or_insert(why);
    }
    let wanted = wanted.unwrap_or_default().to_owned();
    Err(trouble.unwrap_or(Trouble::NotThisOne { wanted, there }))
}

/// The right to use an adapter.
#[derive(Debug)]
pub(crate) struct Claim(String);

impl Claim {
    fn new(adapter: &str) -> Option<Self> {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.iter().any(|other| other == adapter) {
            return None;
        }
        claimed.push(adapter.to_owned());
        Some(Self(adapter.to_owned()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.retain(|other| *other != self.0);
    }
}

/// Asks BlueZ, but not for ever.
pub(super) async fn answer<T>(
    what: &'static str,
    patience: Duration,
    call: impl Future<Output = btleplug::Result<T>>,
) -> Result<T, Trouble> {
    match timeout(patience, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Trouble::of(what, &error)),
        Err(_) => Err(Trouble::Silent { to: what, after: patience }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_claimed_once() {
        let claim = Claim::new("hci77").expect("it is free");
        assert!(Claim::new("hci77").is_none());
        assert!(Claim::new("hci78").is_some());
        drop(claim);
        assert!(Claim::new("hci77").is_some());
    }
}
