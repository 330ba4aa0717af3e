#!/bin/sh
# In the guest: bluetoothd, a broker, the gateway, and sensors with MQTT-SN over Bluetooth LE, whose radio and the
# kernel's own are simulated. See ble/scenarios.py.
#
# On the host: cargo test --test guest bluetooth
set -eu
# Where bluetoothd keeps what it knows.
mount -t tmpfs none /var/lib/bluetooth
exec "$PYTHON" -B "$HERE/ble/main.py"
