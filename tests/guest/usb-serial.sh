#!/bin/sh
# In the guest: a USB serial adapter on the kernel's own dummy bus is plugged in, out and in again, with udev and the
# rules of this repository, under a gateway that knows it by its name below /dev/mqtt-sn. A device at the other end
# of the adapter publishes each time.
#
# On the host: cargo test --test guest usb
set -eu
root=$(cd "$HERE/../.." && pwd)
name=/dev/mqtt-sn/acm-SN0001

fail() {
    echo "usb-serial: $*"
    [ ! -e /run/gateway.log ] || sed 's/^/gateway: /' /run/gateway.log
    exit 1
}
# wait_for WHAT COMMAND...
wait_for() {
    what=$1
    shift
    for _ in $(seq 200); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    fail "$what"
}

mkdir -p /run/udev/rules.d /run/bin
cp /usr/lib/udev/rules.d/50-udev-default.rules /usr/lib/udev/rules.d/60-serial.rules "$root"/udev/*.rules \
    /run/udev/rules.d/
ln -s /usr/bin/udevadm /run/bin/systemd-udevd
/run/bin/systemd-udevd >/run/udevd.log 2>&1 &
sleep 0.3

# The adapter, as a gadget: what is written to /dev/ttyGS0 comes out of it.
mount -t configfs none /sys/kernel/config 2>/dev/null || true
gadget=/sys/kernel/config/usb_gadget/radio
mkdir -p $gadget/strings/0x409 $gadget/configs/c.1 $gadget/functions/acm.0
echo 0x0525 >$gadget/idVendor
echo 0xa4a7 >$gadget/idProduct
echo SN0001 >$gadget/strings/0x409/serialnumber
echo "test radio" >$gadget/strings/0x409/product
ln -s $gadget/functions/acm.0 $gadget/configs/c.1/
plug() { echo dummy_udc.0 >$gadget/UDC; }
unplug() { echo "" >$gadget/UDC; }

cat >/run/gateway.toml <<TOML
state_dir = "/run/state"
[[serial]]
device = "$name"
framing = "slip"
TOML
NO_COLOR=1 "$GATEWAY" --config /run/gateway.toml >/run/gateway.log 2>&1 &
gateway=$!
said() { [ "$(grep -c "$1" /run/gateway.log)" -ge "$2" ]; }
wait_for "the gateway does not wait for the device" said "there is no such device" 1

# publish NUMBER: from the other end of the adapter.
publish() {
    "$GATEWAY" pub --serial /dev/ttyGS0 --framing slip -i device -t up -q 1 -m "message $1" --retry 2s
}

plug
wait_for "udev made no name" test -e $name
[ "$(stat -L -c '%a %G' $name)" = "660 dialout" ] || fail "access: $(stat -L -c '%a %G' $name)"
udevadm info $name | grep -q 'ID_MM_PORT_IGNORE=1' || fail "ModemManager is not kept away"
udevadm info $name | grep -q 'SYSTEMD_WANTS=.*mqtt-sn-gateway.service' || fail "no unit is wanted"
wait_for "the gateway does not open the device" said "is open" 1
publish 1 || fail "the first message"
# More of them within a minute are not told.
for round in 1 2; do
    unplug
    wait_for "the name stays" test ! -e $name
    wait_for "the gateway does not notice" said "the device is gone" $round
    plug
    wait_for "the name does not come back" test -e $name
    wait_for "the gateway does not open it again" said "the device is back" $round
    publish "after $round" || fail "the message after round $round"
done
ls -l /dev/mqtt-sn /dev/serial/by-id | sed 's/^/udev: /'
kill $gateway
wait $gateway || fail "the gateway ended with $?"
sed 's/^/gateway: /' /run/gateway.log
