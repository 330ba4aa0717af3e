#!/bin/sh
# Inside a Debian in which no service manager runs: installs /package.deb, starts the gateway by hand as the unit
# would, uses it, upgrades, removes and purges. Started by test-deb.sh, in a network of its own.
set -eu
user=mqtt-sn-gateway
etc=/etc/mqtt-sn-gateway
state=/var/lib/mqtt-sn-gateway

fail() {
    echo "FAILED: $*" >&2
    [ ! -e /tmp/gateway.log ] || sed 's/^/gateway: /' /tmp/gateway.log >&2
    exit 1
}
step() { echo "== $*"; }
# is WHAT IS WANTED
is() { [ "$2" = "$3" ] || fail "$1: \"$2\", not \"$3\""; }
as_user() { setpriv --reuid="$user" --regid="$user" --init-groups --no-new-privs "$@"; }
# until WHAT COMMAND...
until_() {
    what=$1
    shift
    for _ in $(seq 300); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    fail "$what"
}
start() {
    command=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/mqtt-sn-gateway.service | sed 's/%N/mqtt-sn-gateway/')
    # Not as_user: of a function, $! would be the shell around it.
    # shellcheck disable=SC2086 # a command line
    setpriv --reuid="$user" --regid="$user" --init-groups --no-new-privs env -i STATE_DIRECTORY="$state" $command >/tmp/gateway.log 2>&1 &
    gateway=$!
    until_ "it does not run" grep -q 'connected to' /tmp/gateway.log
}
stop() {
    kill "$gateway"
    code=0
    wait "$gateway" || code=$?
    is "exit code of the gateway" "$code" 0
}

ip link set lo up
mosquitto -d -p 1883

step "install"
dpkg -i /package.deb
is "who may read the directory" "$(stat -c '%U:%G %a' $etc)" "root:$user 750"
is "who may read gateway.toml" "$(stat -c '%U:%G %a' $etc/gateway.toml)" "root:$user 640"
if setpriv --reuid=nobody --regid=nogroup --clear-groups cat $etc/gateway.toml 2>/dev/null; then
    fail "anybody may read gateway.toml"
fi
id -nG "$user" | grep -qw dialout || fail "$user is not in dialout"
is "shell of the user" "$(getent passwd "$user" | cut -d: -f7)" /usr/sbin/nologin
[ -L /etc/systemd/system/multi-user.target.wants/mqtt-sn-gateway.service ] || fail "it is not enabled"
cmp /usr/lib/systemd/system/mqtt-sn-gateway.service /usr/lib/systemd/system/mqtt-sn-gateway@.service
for file in man/man1/mqtt-sn-gateway.1.gz man/man1/mqtt-sn-gateway-check.1.gz \
    bash-completion/completions/mqtt-sn-gateway zsh/vendor-completions/_mqtt-sn-gateway \
    fish/vendor_completions.d/mqtt-sn-gateway.fish doc/mqtt-sn-gateway/copyright \
    doc/mqtt-sn-gateway/third-party-licences.gz doc/mqtt-sn-gateway/docs/install.md; do
    [ -s "/usr/share/$file" ] || fail "$file is not there"
done
[ -s /usr/lib/udev/rules.d/70-mqtt-sn-gateway.rules ] || fail "no rules for udev"
libraries=$(ldd /usr/bin/mqtt-sn-gateway | sed 's/^[[:space:]]*//; s/ .*//; s|.*/||' | sort | tr '\n' ' ')
for library in $libraries; do
    case "$library" in
    linux-vdso.so.* | linux-gate.so.* | ld-linux*.so.* | libc.so.6 | libm.so.6 | libgcc_s.so.1 | libpthread.so.0 | libdl.so.2 | librt.so.1) ;;
    *) fail "it needs $library" ;;
    esac
done
octets=$(stat -c %s /usr/bin/mqtt-sn-gateway)
[ "$octets" -lt $((12 * 1024 * 1024)) ] || fail "the program has $octets octets"
echo "program: $octets octets, needs: $libraries"

step "start, use"
install -d -m 700 -o "$user" -g "$user" "$state"
start
mqtt-sn-gateway pub -t test/up -m hello -q 1 -r
is "what arrives at the broker" "$(mosquitto_sub -t test/up -C 1 -W 20)" hello
as_user mqtt-sn-gateway check --config $etc/gateway.toml >/tmp/check
grep -q "^# State in $state: in use by a gateway (pid " /tmp/check || fail "check: $(head -2 /tmp/check)"
sed -i 's/^#level = "info"/level = "debug"/' $etc/gateway.toml
kill -HUP "$gateway"
until_ "it does not read its configuration again" grep -q 'log level is debug now' /tmp/gateway.log
stop
[ -s "$state/journal" ] || fail "there is no journal"
is "who may read the state" "$(stat -c '%U %a' $state/journal)" "$user 600"

step "upgrade"
dpkg -i /package.deb
grep -q '^level = "debug"' $etc/gateway.toml || fail "the configuration was replaced"
is "who may read gateway.toml" "$(stat -c '%U:%G %a' $etc/gateway.toml)" "root:$user 640"
dpkg-statoverride --update --add root "$user" 0440 $etc/gateway.toml
dpkg -i /package.deb
is "who may read gateway.toml, as decided" "$(stat -c %a $etc/gateway.toml)" 440
dpkg-statoverride --remove $etc/gateway.toml
start
stop

step "remove"
dpkg -r mqtt-sn-gateway
[ ! -e /usr/bin/mqtt-sn-gateway ] || fail "the program is still there"
[ -s $etc/gateway.toml ] || fail "remove has taken the configuration"
[ -s $state/journal ] || fail "remove has taken the state"
dpkg -i /package.deb
grep -q '^level = "debug"' $etc/gateway.toml || fail "the configuration was replaced"

step "purge"
dpkg -P mqtt-sn-gateway
for path in $etc $state /etc/systemd/system/multi-user.target.wants/mqtt-sn-gateway.service \
    /usr/share/doc/mqtt-sn-gateway /usr/lib/systemd/system/mqtt-sn-gateway@.service; do
    if [ -e "$path" ] || [ -L "$path" ]; then fail "purge leaves $path"; fi
done
left=$(find / -xdev \( -path /proc -o -path /tmp \) -prune -o -name '*mqtt-sn-gateway*' -print)
is "what purge leaves" "$left" ""
echo "all is well"
