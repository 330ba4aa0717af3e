//! Which characteristics carry the octets.

use btleplug::api::{CharPropFlags, Characteristic, Service as GattService, WriteType};

use crate::transport::ble::settings::Service;

/// The two directions of a device.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) write: Characteristic,
    pub(crate) listen: Characteristic,
}

impl Channel {
    /// How a piece is written: answered if it must arrive and the device can answer, without an answer
    /// otherwise, as far as the device lets us choose.
    pub(crate) fn write_type(&self, must_arrive: bool) -> WriteType {
        let properties = self.write.properties;
        let can_answer = properties.contains(CharPropFlags::WRITE);
        let can_be_silent = properties.contains(CharPropFlags::WRITE_WITHOUT_RESPONSE);
        if can_answer && (must_arrive || !can_be_silent) {
            WriteType::WithResponse
        } else {
            WriteType::WithoutResponse
        }
    }

    /// Whether writes are never answered.
    pub(crate) fn is_silent(&self) -> bool {
        !self.write.properties.contains(CharPropFlags::WRITE)
    }
}

fn can_write(characteristic: &Characteristic) -> bool {
    let write = CharPropFlags::WRITE | CharPropFlags::WRITE_WITHOUT_RESPONSE;
    characteristic.properties.intersects(write)
}

fn can_notify(characteristic: &Characteristic) -> bool {
    characteristic.properties.intersects(CharPropFlags::NOTIFY | CharPropFlags::INDICATE)
}

/// Chooses by what characteristics can do; those that the profile names come first, then those that
/// can do nothing else. So it works with firmware that has swapped the two.
pub(crate) fn choose<'a>(
    services: impl IntoIterator<Item = &'a GattService>,
    wanted: &Service,
) -> Option<Channel> {
    let service = services.into_iter().find(|service| service.uuid == wanted.uuid)?;
    let characteristics = || service.characteristics.iter();
    let listen = characteristics()
        .filter(|it| can_notify(it))
        .min_by_key(|it| (wanted.notify != Some(it.uuid), can_write(it), it.uuid))?;
    let write = characteristics().filter(|it| can_write(it)).min_by_key(|it| {
        (wanted.write != Some(it.uuid), it.uuid == listen.uuid, can_notify(it), it.uuid)
    })?;
    Some(Channel { write: write.clone(), listen: listen.clone() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::transport::ble::settings::Profile;

    const NOTIFY: CharPropFlags = CharPropFlags::NOTIFY;
    const INDICATE: CharPropFlags = CharPropFlags::INDICATE;
    const WRITE: CharPropFlags = CharPropFlags::WRITE;
    const SILENT: CharPropFlags = CharPropFlags::WRITE_WITHOUT_RESPONSE;

    fn service(uuid: Uuid, characteristics: &[(Uuid, CharPropFlags)]) -> GattService {
        let characteristics =
            characteristics.iter().map(|(uuid_of_it, properties)| Characteristic {
                uuid: *uuid_of_it,
                service_uuid: uuid,
                properties: *properties,
                descriptors: BTreeSet::new(),
            });
        GattService { uuid, primary: true, characteristics: characteristics.collect() }
    }

    fn chosen(wanted: &Service, characteristics: &[(Uuid, CharPropFlags)]) -> Option<[Uuid; 2]> {
        let services = [service(Uuid::from_u128(1), &[]), service(wanted.uuid, characteristics)];
        let channel = choose(&services, wanted)?;
        Some([channel.write.uuid, channel.listen.uuid])
    }

    #[test]
    fn characteristics_are_chosen_by_what_they_can_do() {
        let nus = Service::of(Profile::Nus);
        let (rx, tx) = (nus.write.unwrap(), nus.notify.unwrap());
        assert_eq!(chosen(&nus, &[(rx, WRITE | SILENT), (tx, NOTIFY)]), Some([rx, tx]));
        // micro:bit.
        assert_eq!(chosen(&nus, &[(rx, INDICATE), (tx, WRITE | SILENT)]), Some([tx, rx]));
        assert_eq!(chosen(&nus, &[(rx, SILENT)]), None);
        assert_eq!(choose(&[], &nus).map(|_| ()), None);

        let hm10 = Service::of(Profile::Hm10);
        let both = hm10.write.unwrap();
        assert_eq!(chosen(&hm10, &[(both, NOTIFY | SILENT)]), Some([both, both]));

        // Its control characteristic can do both, too.
        let microchip = Service::of(Profile::Microchip);
        let control = Uuid::from_u128(0x4953_5343_4C8A_39B3_2F49_511C_FF07_3B7E);
        let (write, notify) = (microchip.write.unwrap(), microchip.notify.unwrap());
        let all = [(control, NOTIFY | WRITE), (notify, NOTIFY | SILENT), (write, WRITE | SILENT)];
        assert_eq!(chosen(&microchip, &all), Some([write, notify]));

        let [a, b, c] = [2, 3, 4].map(Uuid::from_u128);
        let custom = Service { uuid: Uuid::from_u128(9), ..Service::of(Profile::Custom) };
        let all = [(a, NOTIFY | WRITE), (b, WRITE), (c, INDICATE)];
        assert_eq!(chosen(&custom, &all), Some([b, c]));
        let named = Service { write: Some(a), notify: Some(a), ..custom };
        assert_eq!(chosen(&named, &all), Some([a, a]));
    }

    #[test]
    fn what_must_arrive_is_answered_if_it_can_be() {
        let nus = Service::of(Profile::Nus);
        let (rx, tx) = (nus.write.unwrap(), nus.notify.unwrap());
        let kinds = |properties| {
            let services = [service(nus.uuid, &[(rx, properties), (tx, NOTIFY)])];
            let channel = choose(&services, &nus).unwrap();
            let kinds =
                [true, false].map(|must| channel.write_type(must) == WriteType::WithResponse);
            (kinds, channel.is_silent())
        };
        assert_eq!(kinds(WRITE | SILENT), ([true, false], false));
        assert_eq!(kinds(WRITE), ([true, true], false));
        assert_eq!(kinds(SILENT), ([false, false], true));
    }
}
