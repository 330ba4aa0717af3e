#!/bin/sh
# Builds a User Mode Linux kernel with the options of uml.config from Debian's kernel source package. Takes five
# minutes of CPU and 2 GB of disk meanwhile. The file depends on uml.config and that package alone: keep it.
# Needs gcc, make, bc, flex, bison and xz-utils.   Usage: build-kernel.sh OUTPUT-FILE
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq linux-source-6.1
dpkg -x linux-source-6.1_*.deb package
tar xf package/usr/src/linux-source-6.1.tar.xz
cd linux-source-6.1
make -s ARCH=um KCONFIG_ALLCONFIG="$here/uml.config" allnoconfig
for option in $(grep -o '^CONFIG_[A-Z0-9_]*' "$here/uml.config"); do
    grep -q "^$option=" .config || {
        echo "the kernel did not take $option" >&2
        exit 1
    }
done
make -s ARCH=um -j"$(nproc)" linux
strip -o "$out" linux
