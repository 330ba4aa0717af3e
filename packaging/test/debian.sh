#!/bin/sh
# Makes a Debian with a kernel, a broker and BlueZ in a directory, if it is not there.   Usage: debian.sh DIRECTORY
set -eu
[ ! -e "$1/etc/debian_version" ] || exit 0
packages=adduser,bluez,dbus,init,initramfs-tools,iproute2,kmod,linux-image-amd64,mosquitto,mosquitto-clients,procps,udev
mkdir -p "$1"
rm -rf "$1.new"
debootstrap --variant=minbase --include="$packages" bookworm "$1.new" "${MIRROR:-http://deb.debian.org/debian}"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$1.new/etc/hosts"
rmdir "$1"
mv "$1.new" "$1"
