#!/bin/sh
# Tries a package out in a Debian of its own, as root: lintian, then packaging/test/chroot.sh. Needs debootstrap;
# the first time it loads some 200 MB. Before a release, by hand.
#
# Usage: packaging/test-deb.sh target/debian/mqtt-sn-gateway_0.1.0-1_amd64.deb
set -eu
deb=$(realpath "$1")
cd "$(dirname "$0")/.."
work=${WORK:-target/package-test}
packaging/test/debian.sh "$work/base"
root=$work/root
rm -rf "$root"
cp -a "$work/base" "$root"
cp "$deb" "$root/package.deb"
cp packaging/test/chroot.sh "$root/chroot.sh"

if command -v lintian >/dev/null; then
    lintian --fail-on error --suppress-tags bogus-mail-host "$deb"
else
    echo "NOT CHECKED: lintian is not installed" >&2
fi
exec unshare --mount --net --pid --fork sh -eu -c "
    mount --make-rprivate /
    mount -t proc proc '$root/proc'
    mount -t tmpfs tmp '$root/tmp'
    exec chroot '$root' /bin/sh /chroot.sh"
