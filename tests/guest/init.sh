#!/bin/sh
# First process in the guest. The kernel's command line sets HERE, RUN, GATEWAY, ECHO and PYTHON.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
[ -e /dev/null ] || mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
# All that may be written to. The rest is as it is on the machine, wherever this repository is.
mount -t tmpfs none /run
export TMPDIR=/run HOME=/run
[ ! -x /sbin/ip ] || ip link set lo up
echo "guest: kernel $(uname -r)"
if "$RUN"; then echo "guest: ended with 0"; else echo "guest: ended with $?"; fi
sync
# Power off.
exec python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)'
