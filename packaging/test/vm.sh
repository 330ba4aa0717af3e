#!/bin/sh
# Inside a booted machine: the unit as systemd runs it, sandbox and all. Started as the last thing at boot; on the
# console, test-vm.py reads what it says and plugs a radio in, publishes from its other end, and unplugs it.
set -u
unit=mqtt-sn-gateway
etc=/etc/mqtt-sn-gateway

fail() {
    echo "FAILED: $*"
    journalctl --no-pager -b -u "$unit" -u "$unit@*" -u bluetooth -o cat | tail -40 | sed 's/^/journal: /'
    systemctl --no-pager --no-legend --failed
    journalctl --no-pager -b -k | tail -20 | sed 's/^/kernel: /'
    ls -l /dev/mqtt-sn /dev/ttyUSB*
    echo "vm: ended with 1"
    exec systemctl poweroff
}
step() { echo "== $*"; }
is() { [ "$2" = "$3" ] || fail "$1: \"$2\", not \"$3\""; }
until_() {
    what=$1
    shift
    for _ in $(seq 600); do
        if "$@"; then return 0; fi
        sleep 0.2
    done
    fail "$what"
}
active() { [ "$(systemctl is-active "$1")" = active ]; }
pid() { systemctl show --value -p MainPID "$1"; }
# said TEXT [UNIT]: in the log, since it was last started.
said() {
    invocation=$(systemctl show --value -p InvocationID "${2:-$unit}")
    journalctl -o cat "_SYSTEMD_INVOCATION_ID=$invocation" | grep -q "$1"
}
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid $unit)/status"; }

step "it runs, and may do nothing"
until_ "it does not run" active $unit
until_ "it does not reach the broker" said 'connected to'
is "its user" "$(ps -o user:32= -p "$(pid $unit)")" mqtt-sn-gateway
is "capabilities" "$(status CapEff) $(status CapBnd)" "0000000000000000 0000000000000000"
is "no new privileges, seccomp" "$(status NoNewPrivs) $(status Seccomp)" "1 2"
[ -n "$(systemctl show --value -p StatusText $unit)" ] || fail "it does not say how it is"
is "the state" "$(stat -c '%U %a' /var/lib/mqtt-sn-gateway)" "mqtt-sn-gateway 700"
systemd-analyze security --no-pager $unit | tail -1
mqtt-sn-gateway pub -t test/up -m hello -q 1 -r || fail "pub"
is "what arrives" "$(mosquitto_sub -t test/up -C 1 -W 60)" hello

step "reload"
sed -i 's/^#level = "info"/level = "debug"/' $etc/gateway.toml
before=$(pid $unit)
systemctl reload $unit || fail "reload"
until_ "it does not read its configuration again" said 'log level is debug now'
is "its pid" "$(pid $unit)" "$before"

step "a radio on USB, plugged in while it runs"
cat >>$etc/gateway.toml <<TOML
[[serial]]
device = "/dev/mqtt-sn/ftdi-SN0001"
framing = "slip"
TOML
systemctl restart $unit || fail "restart"
until_ "it does not wait for the radio" said 'there is no such device'
for round in 1 2; do
    echo "vm: plug"
    until_ "udev gives the radio no name" test -e /dev/mqtt-sn/ftdi-SN0001
    echo "vm: publish $round"
    is "what the radio brings" "$(mosquitto_sub -t "radio/$round" -C 1 -W 200)" hello
    echo "vm: unplug"
    until_ "the radio stays" test ! -e /dev/mqtt-sn/ftdi-SN0001
done

step "BlueZ, by way of D-Bus"
modprobe bluetooth
systemctl start bluetooth || fail "BlueZ does not start"
printf '[[ble]]\n' >>$etc/gateway.toml
systemctl restart $unit || fail "restart"
until_ "it does not find BlueZ" said 'there is no Bluetooth adapter'

step "killed, it comes back"
kill -9 "$(pid $unit)"
restarted() { [ "$(systemctl show --value -p NRestarts $unit)" = 1 ] && active $unit; }
until_ "it does not come back" restarted

step "when it hangs, it is started again"
hung=$(pid $unit)
kill -STOP "$hung"
revived() { active $unit && [ "$(pid $unit)" != "$hung" ]; }
until_ "nobody notices that it hangs" revived

step "with a configuration that is wrong it stays away"
cp -p $etc/gateway.toml /root/gateway.toml
echo 'no_such_key = 1' >>$etc/gateway.toml
systemctl restart $unit
failed() { [ "$(systemctl is-failed $unit)" = failed ]; }
until_ "it does not fail" failed
is "its exit code" "$(systemctl show --value -p ExecMainStatus $unit)" 2
is "restarts" "$(systemctl show --value -p NRestarts $unit)" 0
cp -p /root/gateway.toml $etc/gateway.toml
systemctl restart $unit || fail "restart"
until_ "it does not run" active $unit

step "a second gateway"
install -d -m 750 -g mqtt-sn-gateway $etc@attic
sed -e 's|^name = "gateway"|name = "attic"|' -e 's|^state_dir = .*|state_dir = "/var/lib/mqtt-sn-gateway@attic"|' \
    -e 's|^listen = "0.0.0.0:1883"|listen = "0.0.0.0:1884"|' -e '/^\[\[ble\]\]/d' $etc/gateway.toml |
    sed '/^\[\[serial\]\]/,$d' >$etc@attic/gateway.toml
chgrp mqtt-sn-gateway $etc@attic/gateway.toml
chmod 640 $etc@attic/gateway.toml
systemctl enable --now $unit@attic || fail "start of an instance"
until_ "the second one does not reach the broker" said 'connected to' $unit@attic
mqtt-sn-gateway pub --gateway 127.0.0.1:1884 -t test/attic -m hello -q 1 || fail "pub to the second"
is "its state" "$(stat -c '%U %a' /var/lib/mqtt-sn-gateway@attic)" "mqtt-sn-gateway 700"

step "upgrade"
first=$(pid $unit) second=$(pid $unit@attic)
dpkg -i /package.deb || fail "dpkg -i"
until_ "the first does not run" active $unit
until_ "the second does not run" active $unit@attic
[ "$(pid $unit)" != "$first" ] || fail "the first was not restarted"
[ "$(pid $unit@attic)" != "$second" ] || fail "the second was not restarted"

step "stop, remove"
systemctl stop $unit
is "result of the stop" "$(systemctl show --value -p Result $unit)" success
systemctl start $unit
dpkg -r mqtt-sn-gateway || fail "dpkg -r"
[ -z "$(pgrep -x mqtt-sn-gateway)" ] || fail "it runs after it was removed"
echo "vm: ended with 0"
exec systemctl poweroff
