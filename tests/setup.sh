#!/bin/sh
# Installs what the tests need and the machine lacks: mosquitto, its clients, tshark, openssl, udev, systemd (it
# judges the unit, and need not run), mandoc, dbus-daemon and the certificates of public authorities (Debian
# packages), and scapy in .venv. Does nothing, quickly, when all of it is there.
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
command -v systemd-analyze >/dev/null || packages="$packages systemd"
command -v mandoc >/dev/null || packages="$packages mandoc"
command -v dbus-daemon >/dev/null || packages="$packages dbus-daemon"
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
command -v python3 >/dev/null || packages="$packages python3"
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"

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

requirements=tests/witness/requirements.txt
installed=.venv/requirements.txt
if ! cmp -s "$requirements" "$installed" || ! .venv/bin/python -c 'import scapy' 2>/dev/null; then
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$installed"
fi
