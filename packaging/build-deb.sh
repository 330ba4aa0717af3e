#!/bin/sh
# Makes a Debian package in target/debian. Needs cargo-deb (`cargo install --locked cargo-deb`), and for another
# architecture what packaging/cross.sh needs.
#
#   packaging/build-deb.sh                 for this machine
#   packaging/build-deb.sh arm64           for another: amd64, arm64 or armhf
#   packaging/build-deb.sh --prepared      for this machine, of the target/release/mqtt-sn-gateway that is there
set -eu
cd "$(dirname "$0")/.."

# Man pages and completions, the licences of what is linked in, and the configuration of the package.
rm -rf target/package
cargo run --quiet --locked --example pages -- target/package
packaging/licences.py >target/package/third-party-licences
gzip -9n target/package/third-party-licences
packaging/config.sh >target/package/gateway.toml

case "${1:-}" in
"") exec cargo deb --locked ;;
--prepared) exec cargo deb --locked --no-build ;;
*)
    target=$(packaging/cross.sh "$1")
    exec cargo deb --locked --no-build --target "$target"
    ;;
esac
