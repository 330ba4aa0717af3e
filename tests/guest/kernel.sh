#!/bin/sh
# Says where the User Mode Linux kernel with the options of uml.config is, and builds it first if it is not there,
# from Debian's kernel source package: five minutes of CPU, and 2 GB of disk meanwhile. It is kept outside this
# clone under a name that says what it is made of. Needs gcc, make, bc, flex, bison and xz.
#
# Usage: kernel.sh [--find]    With --find nothing is built.
# Exit code: 3 if it is not there and cannot be built on this machine, 4 if it is not there and can.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
package=linux-source-6.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mqtt-sn-gateway
options=$(sha256sum <"$here/uml.config" | cut -c1-12)

version=
if command -v apt-get >/dev/null && [ "$(uname -m)" = x86_64 ]; then
    version=$(apt-cache policy $package | sed -n 's/^ *Candidate: //p' | grep -v none) || true
fi
if [ -n "$version" ]; then
    file=$cache/linux-uml-$version-$options
else
    # One that was made when it could be is as good.
    # shellcheck disable=SC2012 # we have named them
    file=$(ls -t "$cache"/linux-uml-*-"$options" 2>/dev/null | head -n 1)
fi
if [ -n "$file" ] && [ -x "$file" ]; then
    echo "$file"
    exit 0
fi
if [ -z "$version" ]; then
    echo "no kernel for the guest can be built here: it takes an x86-64, apt-get, and its package $package" >&2
    exit 3
fi
[ "${1:-}" != --find ] || {
    echo "$file is not there, tests/setup.sh builds it" >&2
    exit 4
}

echo "building a kernel for the tests in a guest, which takes minutes: $file" >&2
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work"
apt-get download -qq "$package=$version"
dpkg -x ${package}_*.deb package
tar xf package/usr/src/$package.tar.xz
cd $package
make -s ARCH=um KCONFIG_ALLCONFIG="$here/uml.config" allnoconfig >&2
for option in $(grep -o '^CONFIG_[A-Z0-9_]*' "$here/uml.config"); do
    grep -q "^$option=" .config || {
        echo "the kernel did not take $option" >&2
        exit 1
    }
done
make -s ARCH=um -j"$(nproc)" linux >&2
# There at once and whole, or not at all.
strip -o "$cache/.new-$$" linux
mv "$cache/.new-$$" "$file"
echo "$file"
