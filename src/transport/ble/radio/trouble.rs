//! Why there is no Bluetooth, in words that help.

use std::fmt;
use std::time::Duration;

/// Why an adapter cannot be used now. A gateway tries again, whatever the reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// There is no system bus.
    NoBus(String),
    /// BlueZ is not on it.
    NoBluez,
    /// This user may not talk to BlueZ.
    Forbidden,
    /// There is no adapter at all.
    NoAdapter,
    /// There are others.
    NotThisOne { wanted: String, there: Vec<String> },
    /// It is switched off.
    Off { adapter: String },
    /// Another `[[ble]]` has it.
    Claimed { adapter: String },
    /// It works, but has forgotten us.
    Restarted,
    /// No answer.
    Silent { to: &'static str, after: Duration },
    /// A fault in a library.
    Panicked,
    /// What BlueZ says.
    Other { what: &'static str, error: String },
}

impl Trouble {
    /// What an error of a call means.
    pub(crate) fn of(what: &'static str, error: &btleplug::Error) -> Self {
        // The names of D-Bus are in this form alone.
        let text = format!("{error:?}");
        let has = |name: &str| text.contains(name);
        if has("org.freedesktop.DBus.Error.ServiceUnknown")
            || has("org.freedesktop.DBus.Error.NameHasNoOwner")
            || has("org.freedesktop.DBus.Error.Spawn")
        {
            Self::NoBluez
        } else if has("org.freedesktop.DBus.Error.AccessDenied")
            || has("org.freedesktop.DBus.Error.AuthFailed")
        {
            Self::Forbidden
        } else if has("org.freedesktop.DBus.Error.FileNotFound")
            || has("org.freedesktop.DBus.Error.NoServer")
            || has("org.freedesktop.DBus.Error.BadAddress")
            || has("org.freedesktop.DBus.Error.Disconnected")
        {
            Self::NoBus(error.to_string())
        } else {
            Self::Other { what, error: error.to_string() }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBus(error) => write!(
                f,
                "there is no system bus ({error}); Bluetooth needs D-Bus and BlueZ: `apt install \
                 bluez`, and in a container /run/dbus of the host"
            ),
            Self::NoBluez => f.write_str(
                "BlueZ is not running: `systemctl enable --now bluetooth`, and `apt install bluez` \
                 where there is no such unit",
            ),
            Self::Forbidden => f.write_str(
                "this user may not talk to BlueZ over D-Bus: `usermod -aG bluetooth USER`, or look \
                 at /etc/dbus-1/system.d/bluetooth.conf",
            ),
            Self::NoAdapter => f.write_str(
                "there is no Bluetooth adapter: is it plugged in, and its driver loaded? \
                 `bluetoothctl list` and `dmesg | grep -i bluetooth` tell",
            ),
            Self::NotThisOne { wanted, there } => {
                let there = there.join(", ");
                write!(f, "there is no adapter {wanted}, but {there}: set `adapter` under [[ble]]")
            }
            Self::Off { adapter } => write!(
                f,
                "adapter {adapter} is switched off: `bluetoothctl power on`, and before that \
                 `rfkill unblock bluetooth` if that is refused"
            ),
            Self::Claimed { adapter } => write!(
                f,
                "adapter {adapter} is used by another [[ble]]: each needs an adapter of its own"
            ),
            Self::Silent { to, after } => {
                write!(f, "BlueZ has not answered within {} s when asked to {to}", after.as_secs())
            }
            Self::Restarted => f.write_str("BlueZ was started again, or has ended the scan"),
            Self::Panicked => f.write_str("a fault in the Bluetooth library"),
            Self::Other { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dbus(name: &str) -> btleplug::Error {
        btleplug::Error::Other(Box::new(dbus::Error::new_custom(name, "words")))
    }

    #[test]
    fn errors_are_told_apart_by_their_names() {
        let of = |name: &str| Trouble::of("scan", &dbus(name));
        assert_eq!(of("org.freedesktop.DBus.Error.ServiceUnknown"), Trouble::NoBluez);
        assert_eq!(of("org.freedesktop.DBus.Error.AccessDenied"), Trouble::Forbidden);
        let no_bus = Trouble::NoBus("words".to_owned());
        assert_eq!(of("org.freedesktop.DBus.Error.FileNotFound"), no_bus);
        assert_eq!(of("org.bluez.Error.NotReady").to_string(), "cannot scan: words");
    }
}
