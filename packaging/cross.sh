#!/bin/sh
# Builds the release for an architecture, and prints the target's name: target/NAME/release/mqtt-sn-gateway.
# Needs its compiler for C, in Debian's packages, and Rust's library for it:
#
#   amd64  x86_64-unknown-linux-gnu        gcc-x86-64-linux-gnu
#   arm64  aarch64-unknown-linux-gnu       gcc-aarch64-linux-gnu
#   armhf  armv7-unknown-linux-gnueabihf   gcc-arm-linux-gnueabihf
#
# On a machine of that architecture its own compiler will do.
#
# Usage: cross.sh amd64|arm64|armhf [--install]   With --install, as root, it gets both first.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
amd64) target=x86_64-unknown-linux-gnu compiler=x86_64-linux-gnu-gcc package=gcc-x86-64-linux-gnu ;;
arm64) target=aarch64-unknown-linux-gnu compiler=aarch64-linux-gnu-gcc package=gcc-aarch64-linux-gnu ;;
armhf) target=armv7-unknown-linux-gnueabihf compiler=arm-linux-gnueabihf-gcc package=gcc-arm-linux-gnueabihf ;;
*)
    echo "usage: cross.sh amd64|arm64|armhf [--install]" >&2
    exit 2
    ;;
esac

foreign=true
if [ "$(uname -m)" = "${target%%-*}" ] || [ "$(uname -m)-$1" = armv7l-armhf ]; then
    foreign=false
fi
if [ "${2:-}" = --install ]; then
    {
        if $foreign; then
            apt-get update -q
            apt-get install -q -y --no-install-recommends "$package" "libc6-dev-$1-cross"
        fi
        rustup target add "$target"
    } >&2
fi

# The crates that build C find the compiler by the name of the target; the linker has to be said.
if $foreign; then
    name=$(echo "$target" | tr a-z- A-Z_)
    export "CARGO_TARGET_${name}_LINKER=$compiler"
fi
cargo build --locked --release --target "$target" --bin mqtt-sn-gateway >&2
echo "$target"
