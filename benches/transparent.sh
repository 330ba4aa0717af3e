#!/usr/bin/env bash
# Measures transparent mode beside aggregating mode against a real mosquitto: memory of the gateway, rate
# at which devices connect, processor time per message at QoS 0. Takes about two minutes.
#
#   benches/transparent.sh [DEVICES]       10000 without it
set -euo pipefail
cd "$(dirname "$0")/.."

devices="${1:-10000}"
# A socket for each device here, and for each connection in the gateway and in the broker.
ulimit -n "$(ulimit -Hn)"
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt $((devices + 100)) ]; then
    echo "benches/transparent.sh: only $(ulimit -n) open files are allowed; raise the limit" \
        "(ulimit -Hn, LimitNOFILE) or name fewer devices" >&2
    exit 1
fi
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

cat > "$work/load.py" <<'PY'
import os, select, socket, sys, time

port, devices, gateway, mode = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
RATE, SECONDS = 2000, 10


def cpu():
    fields = open(f"/proc/{gateway}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident():
    for line in open(f"/proc/{gateway}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


poll = select.epoll()
sockets, by_fd = [], {}
for number in range(devices):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # New client ids from one address are limited: each thousand has an address of its own.
    one.bind((f"127.0.{1 + number // 100}.1", 0))
    one.connect(("127.0.0.1", port))
    one.setblocking(False)
    poll.register(one.fileno(), select.EPOLLIN)
    sockets.append(one)
    by_fd[one.fileno()] = number

# CONNECT, clean, keep-alive 600 s; no more than 500 without an answer, again after 3 s.
waiting, done, refused, next_one = {}, set(), 0, 0
begin = time.monotonic()
while len(done) < devices and time.monotonic() - begin < 120:
    now = time.monotonic()
    while len(waiting) < 500 and next_one < devices:
        waiting[next_one] = 0
        next_one += 1
    for number, since in waiting.items():
        if now - since > 3:
            ident = b"device-%05d" % number
            sockets[number].send(bytes([6 + len(ident), 4, 4, 1, 2, 88]) + ident)
            waiting[number] = now
    for fd, _ in poll.poll(0.05):
        number = by_fd[fd]
        answer = sockets[number].recv(100)
        if answer[:2] == b"\x03\x05" and answer[2] == 0:
            waiting.pop(number, None)
            done.add(number)
        elif answer[:2] == b"\x03\x05":
            refused += 1
            if number in waiting:
                waiting[number] = now
connected = time.monotonic() - begin
time.sleep(3)

# PUBLISH at QoS 0 to the short topic "ab", from one device after the other.
before, start, sent = cpu(), time.monotonic(), 0
while (elapsed := time.monotonic() - start) < SECONDS:
    while sent < elapsed * RATE:
        sockets[sent % devices].send(b"\x17\x0c\x02ab\0\0temperature=21.5")
        sent += 1
    time.sleep(0.002)
time.sleep(0.5)
per_message = (cpu() - before) / sent * 1e6
print(
    f"{mode:<12} {len(done):>10} {resident():>14.1f} {len(done) / connected:>16.0f} {per_message:>14.1f}"
    + (f"   ({refused} refusals)" if refused else ""),
    flush=True,
)
PY

printf '%-12s %10s %14s %16s %14s\n' mode devices 'resident MiB' 'connects per s' 'µs a message'
port=28900
for mode in aggregating transparent; do
    port=$((port + 2))
    printf 'listener %s 127.0.0.1\nallow_anonymous true\nmax_connections -1\n' "$port" > "$work/mosquitto.conf"
    PATH="$PATH:/usr/sbin" mosquitto -c "$work/mosquitto.conf" > "$work/broker.log" 2>&1 &
    children+=($!)
    cat > "$work/gateway.toml" <<TOML
state_dir = "state-$mode"
[upstream]
url = "mqtt://127.0.0.1:$port"
mode = "$mode"
version = "5"
[sessions]
max_clients = $((devices + 100))
[[udp]]
listen = "127.0.0.1:$((port + 1))"
[log]
level = "warn"
TOML
    sleep 1
    "$gateway" --config "$work/gateway.toml" > "$work/gateway.log" 2>&1 &
    pid=$!
    children+=($pid)
    sleep 2
    python3 "$work/load.py" "$((port + 1))" "$devices" "$pid" "$mode"
    stop
done
