#!/usr/bin/env bash
# Everything that has to hold before a change lands. Takes a few minutes; needs what tests/setup.sh
# installs (mosquitto, tshark, scapy, bluez, mandoc, systemd-analyze, Chromium, a kernel for tests/guest and more).
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --check

step "the protocol alone: no default features, and no tokio in its graph"
cargo build --locked --lib --no-default-features
if cargo tree --locked --no-default-features -e normal --prefix none | grep -E '^(tokio|mio|socket2) '; then
    echo "IO has crept into the library without default features" >&2
    exit 1
fi

step "without the built-in broker"
cargo check --locked --no-default-features --features gateway

step "lints"
cargo clippy --locked --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --lib

if cargo deny --version >/dev/null 2>&1; then
    step "licences, sources and duplicates of dependencies"
    cargo deny --offline check bans licenses sources
else
    echo "cargo-deny is not installed: dependencies were not checked against deny.toml"
fi

step "tests"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked
    cargo test --locked --doc
else
    cargo test --locked
fi
