#!/bin/sh
# Boots a kernel of build-kernel.sh on this machine's own files, which it only reads, and runs PROGRAM in it as root.
# Exit code 0 if that ended well.   Usage: boot.sh KERNEL PROGRAM
#
# The guest inherits no environment but what init.sh names; paths must have no blanks.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$1" mem="${MEM:-256M}" root=/dev/root rootfstype=hostfs rootflags=/ ro quiet \
    con=null con0=null,fd:1 init="$here/init.sh" \
    HERE="$here" RUN="$2" GATEWAY="${GATEWAY:-$root/target/debug/mqtt-sn-gateway}" \
    ECHO="${ECHO:-$root/target/debug/examples/ble_echo}" PYTHON="${PYTHON:-$root/.venv/bin/python}" \
    </dev/null 2>&1 | tee "$out"
grep -q '^guest: ended with 0' "$out"
