#!/bin/sh
# Prints gateway.toml as the Debian package has it: with a broker on this machine instead of the one inside, which
# keeps nothing and would be in its way, and with the state where it belongs.
set -eu
sed -e 's|^url = "embedded"$|url = "mqtt://127.0.0.1:1883"|' \
    -e 's|^#state_dir = "state"$|state_dir = "/var/lib/mqtt-sn-gateway"|' \
    -e 's|^# This file runs as it is: devices come in over UDP on port 1883, and a broker inside the program$|# This file runs as it is: devices come in over UDP on port 1883, and a broker on this machine, port 1883,|' \
    "$(dirname "$0")/../gateway.toml"
