#!/usr/bin/env bash
# Lets the distribution's Prometheus scrape a running gateway: every series is taken, the rules of alerts.yml
# and the expressions of the dashboard are evaluated, and what is to fire while the broker is away does. Takes the
# program as its argument. Needs apt-get (for the package, which is unpacked and not installed), curl and python3.
#
#     packaging/test-prometheus.sh target/release/mqtt-sn-gateway
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:?the program}")
work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

say "unpacking Prometheus"
(cd "$work" && apt-get download -q prometheus 2>/dev/null && dpkg -x prometheus_*.deb .)
prometheus=$work/usr/bin/prometheus
promtool=$work/usr/bin/promtool

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
admin=$(port)
ui=$(port)
cat >"$work/gateway.toml" <<EOF
[upstream]
url = "mqtt://127.0.0.1:9"
[[udp]]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:$admin"
EOF
"$program" --config "$work/gateway.toml" 2>"$work/gateway.log" &
pids+=($!)
for _ in $(seq 100); do curl -fsS "http://127.0.0.1:$admin/healthz" >/dev/null 2>&1 && break; sleep 0.1; done

say "promtool on the metrics and the rules"
curl -fsS "http://127.0.0.1:$admin/metrics" | "$promtool" check metrics
"$promtool" check rules packaging/alerts.yml

say "scraping"
# The broker is away: the alert about that is to fire, at once for this test.
sed 's/for: .*/for: 0s/' packaging/alerts.yml >"$work/alerts.yml"
cat >"$work/prometheus.yml" <<EOF
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: ["$work/alerts.yml"]
scrape_configs:
  - job_name: mqtt-sn-gateway
    static_configs: [{ targets: ["127.0.0.1:$admin"] }]
EOF
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$ui" --log.level=warn 2>"$work/prometheus.log" &
pids+=($!)

python3 - "$ui" packaging/grafana.json <<'EOF'
import json, re, sys, time, urllib.parse, urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}/api/v1/"

def ask(path, **query):
    url = base + path + "?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]

def wait(what, right):
    for _ in range(100):
        try:
            found = right()
            if found:
                return found
        except OSError:
            pass
        time.sleep(0.3)
    sys.exit(f"FAILED: {what}")

def target():
    targets = ask("targets")["activeTargets"]
    return targets and targets[0]["health"] == "up" and targets[0]
found = wait("the target does not come up", target)
assert not found["lastError"], found
names = ask("label/__name__/values")
ours = [name for name in names if name.startswith("mqtt_sn_gateway_")]
print(f"{len(ours)} of our metrics, scraped in {1000 * found['lastScrapeDuration']:.1f} ms")
assert len(ours) > 40, ours
wait("the alert about the broker does not fire", lambda: any(
    alert["labels"]["alertname"] == "MqttSnGatewayBrokerAway" and alert["state"] == "firing"
    for alert in ask("alerts")["alerts"]))
print("MqttSnGatewayBrokerAway fires")

dashboard = json.load(open(sys.argv[2]))
expressions = []
def collect(value):
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            expressions.append(value["expr"])
        for inner in value.values():
            collect(inner)
    elif isinstance(value, list):
        for inner in value:
            collect(inner)
collect(dashboard)
for expression in expressions:
    expression = re.sub(r"\$__\w+", "1m", expression)
    expression = re.sub(r"\$\{?\w+\}?", ".*", expression)
    ask("query", query=expression)
print(f"{len(expressions)} expressions of the dashboard are evaluated")
EOF
say "fine"
