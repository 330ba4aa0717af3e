//! A device that speaks MQTT-SN over a Bluetooth link.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use super::bluez::{Bluez, Cut, Faults, Firmware, Link, Peripheral, Record, State};
use crate::rig::Device;

/// A device like any other, but what it sends while it has no link is lost.
pub struct Sensor {
    device: Device,
    bluez: Bluez,
    id: usize,
    radio: SocketAddr,
}

impl Sensor {
    /// One that is on the air.
    #[track_caller]
    pub fn new(bluez: &Bluez, peripheral: Peripheral) -> Self {
        let sensor = Self::quiet(bluez, peripheral);
        sensor.come_back();
        sensor
    }

    /// One whose radio is switched off.
    #[track_caller]
    pub fn quiet(bluez: &Bluez, peripheral: Peripheral) -> Self {
        // Before an advert of it can be heard.
        let (id, radio) = bluez.add_sensor(peripheral);
        Self { device: Device::new(radio), bluez: bluez.clone(), id, radio }
    }

    /// One that is on the air, and waits until it can be heard.
    #[track_caller]
    pub fn linked(bluez: &Bluez, peripheral: Peripheral) -> Self {
        let sensor = Self::new(bluez, peripheral);
        sensor.wait_for_link();
        sensor
    }

    /// What the stand-in for BlueZ knows it by.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Where more devices find its radio, behind it as a forwarder.
    pub fn radio(&self) -> SocketAddr {
        self.radio
    }

    /// Waits until somebody is subscribed to what it sends.
    #[track_caller]
    pub fn wait_for_link(&self) {
        let id = self.id;
        self.bluez
            .wait("the gateway to subscribe", move |state| state.sending_path(id).map(|_| ()));
    }

    /// Waits until nobody is connected with it.
    #[track_caller]
    pub fn wait_for_no_link(&self) {
        let id = self.id;
        self.bluez
            .wait("the link to go", move |state| (!state.devices[id].is_linked()).then_some(()));
    }

    /// Drops the link. It stays on the air, if it was.
    pub fn drop_link(&self) {
        self.with(|state, id| state.drop_link(id));
    }

    /// Drops the link and switches its radio off.
    pub fn leave(&self) {
        self.with(|state, id| {
            state.set_on_air(id, false);
            state.drop_link(id);
        });
    }

    /// Switches its radio on again.
    pub fn come_back(&self) {
        self.with(|state, id| state.set_on_air(id, true));
    }

    /// Nobody is connected with it, and nobody tries.
    pub fn is_left_alone(&self) -> bool {
        self.with(|state, id| matches!(state.devices[id].link, Link::Down))
    }

    /// Waits until BlueZ has forgotten it.
    #[track_caller]
    pub fn wait_to_be_forgotten(&self) {
        let id = self.id;
        self.bluez.wait("the device to be forgotten", move |state| {
            (!state.devices[id].shown).then_some(())
        });
    }

    /// From now on packets are cut like this.
    pub fn cut(&self, cut: Cut) {
        self.with(move |state, id| match &mut state.devices[id].firmware {
            Firmware::Sensor(bridge) => bridge.cut = cut,
            Firmware::Echo => unreachable!("a sensor"),
        });
    }

    /// Sends octets that are no packets, or not yet.
    pub fn notify(&self, octets: &[u8]) {
        let octets = octets.to_vec();
        self.with(move |state, id| state.notify(id, &octets));
    }

    /// Sends these at once, a notification for each.
    pub fn burst(&self, notifications: Vec<Vec<u8>>) {
        self.with(move |state, id| notifications.iter().for_each(|one| state.notify(id, one)));
    }

    /// The same, and drops the link in the same moment.
    pub fn burst_and_drop(&self, notifications: Vec<Vec<u8>>) {
        self.with(move |state, id| {
            notifications.iter().for_each(|one| state.notify(id, one));
            state.drop_link(id);
        });
    }

    /// The same, and switches its radio off.
    pub fn burst_and_leave(&self, notifications: Vec<Vec<u8>>) {
        self.with(|state, id| state.set_on_air(id, false));
        self.burst_and_drop(notifications);
    }

    /// What is wrong with it.
    pub fn faults(&self, change: impl FnOnce(&mut Faults) + Send + 'static) {
        self.with(move |state, id| change(&mut state.devices[id].faults));
    }

    /// What the gateway has done with it.
    pub fn record(&self) -> Record {
        self.with(|state, id| state.devices[id].record.clone())
    }

    /// Waits until that satisfies.
    #[track_caller]
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Record) -> bool + Send + Sync + 'static) {
        let id = self.id;
        self.bluez.wait(what, move |state| fits(&state.devices[id].record).then_some(()));
    }

    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State, usize) -> T + Send + 'static,
    ) -> T {
        let id = self.id;
        self.bluez.with(move |state| act(state, id))
    }
}

impl Deref for Sensor {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl DerefMut for Sensor {
    fn deref_mut(&mut self) -> &mut Device {
        &mut self.device
    }
}
