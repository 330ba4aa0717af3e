#!/usr/bin/env bash
# Many devices through the gateway to several brokers, in both modes; every promise that can be checked
# from the devices is (see `mqtt-sn-gateway simulate --help`). Not a part of the tests that run for every
# change: it fetches a broker from npm and takes some minutes.
#
#   tests/brokers.sh [mosquitto] [rumqttd] [aedes]       all of them without arguments
set -euo pipefail
cd "$(dirname "$0")/.."

brokers=("$@")
[ ${#brokers[@]} -gt 0 ] || brokers=(mosquitto rumqttd aedes)
cargo build --locked --release --quiet
gateway="$PWD/target/release/mqtt-sn-gateway"
work="$(mktemp -d)"
children=()
stop() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait
    children=()
}
trap 'stop; rm -rf "$work"' EXIT

port=28830
failed=0

# Starts a broker on $port. rumqttd is the one inside the gateway.
start_broker() {
    case "$1" in
    mosquitto)
        printf 'listener %s 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n' "$port" \
            > "$work/mosquitto.conf"
        PATH="$PATH:/usr/sbin" mosquitto -c "$work/mosquitto.conf" > "$work/broker.log" 2>&1 &
        ;;
    aedes)
        if [ ! -d "$work/node_modules/aedes" ]; then
            (cd "$work" && npm init -y > /dev/null && npm install --silent aedes@1)
            cat > "$work/broker.mjs" <<'JS'
import { Aedes } from 'aedes'
import { createServer } from 'node:net'
const broker = await Aedes.createBroker()
createServer(broker.handle).listen(Number(process.argv[2]), '127.0.0.1')
JS
        fi
        node "$work/broker.mjs" "$port" > "$work/broker.log" 2>&1 &
        ;;
    rumqttd) return ;;
    *)
        echo "tests/brokers.sh: no broker is called $1; there are mosquitto, rumqttd and aedes" >&2
        exit 2
        ;;
    esac
    children+=($!)
    sleep 1
}

for broker in "${brokers[@]}"; do
    for mode in aggregating transparent; do
        port=$((port + 2))
        start_broker "$broker"
        url="mqtt://127.0.0.1:$port"
        [ "$broker" != rumqttd ] || url=embedded
        cat > "$work/gateway.toml" <<TOML
state_dir = "state-$broker-$mode"
[upstream]
url = "$url"
mode = "$mode"
[embedded_broker]
listen = "127.0.0.1:$port"
[[udp]]
listen = "127.0.0.1:$((port + 1))"
[log]
level = "info"
TOML
        "$gateway" --config "$work/gateway.toml" > "$work/gateway.log" 2>&1 &
        children+=($!)
        sleep 2
        echo "== $broker, $mode"
        if ! "$gateway" simulate --gateway "127.0.0.1:$((port + 1))" -n 40 --rate 200 -q 0,1,2 \
            --sleepers 30 --sleep 4 --will 20 --keep-alive 10 -d 20s; then
            failed=1
            tail -n 20 "$work/gateway.log" "$work/broker.log" 2>/dev/null || true
        fi
        stop
    done
done
exit $failed
