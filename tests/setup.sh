#!/bin/sh
# Installs what the tests need and the machine lacks: mosquitto, its clients, tshark, openssl, udev, systemd (it
# judges the unit, and need not run), mandoc, dbus, bluez, Chromium, Node and the certificates of public
# authorities (Debian packages), scapy and bumble in .venv, what drives Chromium in tests/page/node_modules, and a
# kernel for tests/guest, which is built in minutes and kept in ~/.cache. Does nothing, quickly, when all of it is
# there.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "tests/setup.sh: '$*' needs root: run it as root, or install sudo" >&2
        exit 1
    fi
}

packages=""
command -v mosquitto >/dev/null || packages="$packages mosquitto"
command -v mosquitto_sub >/dev/null || packages="$packages mosquitto-clients"
command -v tshark >/dev/null || packages="$packages tshark"
command -v openssl >/dev/null || packages="$packages openssl"
command -v udevadm >/dev/null || packages="$packages udev"
command -v ip >/dev/null || packages="$packages iproute2"
command -v bluetoothd >/dev/null || [ -x /usr/libexec/bluetooth/bluetoothd ] || packages="$packages bluez"
command -v systemd-analyze >/dev/null || packages="$packages systemd"
command -v mandoc >/dev/null || packages="$packages mandoc"
command -v dbus-daemon >/dev/null || packages="$packages dbus-daemon"
command -v dbus-send >/dev/null || packages="$packages dbus-bin"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || packages="$packages chromium fonts-dejavu-core"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
command -v python3 >/dev/null || packages="$packages python3"
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"

# What the kernel for the guest is built with, if it is. Images come without the lists that say what can be had.
if command -v apt-get >/dev/null && [ -z "$(apt-cache policy bash | grep ' 500 ')" ]; then
    as_root apt-get update -q || true
fi
kernel=0
tests/guest/kernel.sh --find >/dev/null 2>&1 || kernel=$?
if [ $kernel -eq 4 ]; then
    for tool in gcc make bc flex bison; do
        command -v $tool >/dev/null || packages="$packages $tool"
    done
    command -v xz >/dev/null || packages="$packages xz-utils"
    [ -e /usr/include/stdlib.h ] || packages="$packages libc6-dev"
fi

if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "tests/setup.sh: missing:$packages; there is no apt-get here, install them by hand" >&2
        exit 1
    fi
    as_root apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $packages </dev/null
    # The tests start brokers of their own on free ports. The package may have started one on 1883,
    # where nobody asked for it.
    case "$packages" in
    *" mosquitto" | *" mosquitto "*)
        if [ -d /run/systemd/system ]; then
            as_root systemctl disable --now mosquitto.service
        elif [ -x /etc/init.d/mosquitto ]; then
            as_root /etc/init.d/mosquitto stop || true
        fi
        ;;
    esac
fi

requirements="tests/witness/requirements.txt tests/guest/requirements.txt"
installed=.venv/requirements.txt
# shellcheck disable=SC2086 # a list of words
if ! cat $requirements | cmp -s - "$installed" || ! .venv/bin/python -c 'import bumble, scapy' 2>/dev/null; then
    python3 -m venv .venv
    cat $requirements >.venv/wanted.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r .venv/wanted.txt
    mv .venv/wanted.txt "$installed"
fi

if ! cmp -s tests/page/package-lock.json tests/page/node_modules/installed.json; then
    (cd tests/page && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    cp tests/page/package-lock.json tests/page/node_modules/installed.json
fi

case $kernel in
0) ;;
3) echo "tests/setup.sh: WITHOUT THE TESTS OF tests/guest: $(tests/guest/kernel.sh --find 2>&1)" >&2 ;;
*) tests/guest/kernel.sh >/dev/null ;;
esac
