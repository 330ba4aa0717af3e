#!/bin/sh
# Has udevadm read rules and says what is wrong with them: file, line and fault. Needs root, or user
# namespaces, and udevadm.   Usage: check.sh RULES-FILE...
#
# Debian 12's udevadm has no "verify". Its "test" reads every rule and complains, but also changes modes and makes
# links for real: hence the private /dev, /run and folder of rules.
set -eu
if [ "${1:-}" != --inside ]; then
    exec unshare --mount -- "$0" --inside "$@"
fi
shift
mount --make-rprivate /
kept=$(mktemp -d)
cp "$@" "$kept"
mount -t tmpfs none /dev
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d
cp "$kept"/* /run/udev/rules.d/
rm -r "$kept"
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/tty c 5 0
# A rule that is wrong, to see that rules are read and complaints are heard.
echo 'SUBSYSTEM=="tty", NO_SUCH_KEY="1"' >/run/udev/rules.d/99-wrong.rules
log=$(SYSTEMD_LOG_LEVEL=info udevadm test --action=add /sys/class/tty/tty 2>&1 || true)
complaints=$(echo "$log" | grep -E '^/run/udev/rules\.d/[^:]*:[0-9]+:? ' || true)
case "$complaints" in
*"99-wrong.rules"*) ;;
*)
    echo "udevadm has not read the rules: $log" >&2
    exit 2
    ;;
esac
! echo "$complaints" | grep -v '^/run/udev/rules\.d/99-wrong\.rules:'
