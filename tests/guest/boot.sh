#!/bin/sh
# Boots a kernel of kernel.sh on this machine's own files, which it only reads, and runs PROGRAM in it as root.
# Exit code 0 if that ended well.   Usage: boot.sh KERNEL PROGRAM
#
# The guest inherits no environment but what is named here; paths must have no blanks. It sees nothing of /run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
memory_mib=256
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The guest's memory is a file in /dev/shm, unless there is no room for it, as in many a container.
free_mib=$(df --output=avail -BM /dev/shm 2>/dev/null | tr -dc 0-9)
[ "${free_mib:-0}" -ge $memory_mib ] || export TMPDIR="${TMPDIR:-/tmp}"
"$1" mem=${memory_mib}M uml_dir="$work/" root=/dev/root rootfstype=hostfs rootflags=/ ro quiet \
    con=null con0=null,fd:1 init="$here/init.sh" \
    HERE="$here" RUN="$2" GATEWAY="${GATEWAY:-$root/target/debug/mqtt-sn-gateway}" ECHO="${ECHO:-}" \
    PYTHON="${PYTHON:-$root/.venv/bin/python}" \
    </dev/null 2>&1 | tee "$work/out"
grep -q '^guest: ended with 0' "$work/out"
