"""What runs beside the radio in the guest: the bus, bluetoothd, a broker, the gateway, and the world behind the broker."""

import asyncio
import os
import signal
import subprocess
import time

BUS = "unix:path=/run/bus"
BLUETOOTHD = ["/usr/libexec/bluetooth/bluetoothd", "/usr/lib/bluetooth/bluetoothd"]
ADAPTER = "/org/bluez/hci0"
PORT = 1883
CONFIGURATION = {
    "bus.conf": f"""<busconfig>
  <type>session</type>
  <listen>{BUS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
""",
    # No GATT from an earlier connection: each discovers services again.
    "bluetooth.conf": """[General]
ControllerMode = le
[GATT]
Cache = no
[Policy]
AutoEnable = true
""",
    "mosquitto.conf": f"listener {PORT} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n",
    "gateway.toml": f"""state_dir = "/run/state"
[upstream]
url = "mqtt://127.0.0.1:{PORT}"
[sessions]
retry_interval = "2s"
retry_count = 10
[[ble]]
allow = ["sensor-*"]
""",
}
# Lines of each log that a failure shows.
TAIL = 60


async def until(what: str, true, within_s: float = 20) -> None:
    """Waits until `true()` is."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not in {within_s} s")
        await asyncio.sleep(0.02)


class Program:
    """A program with its output in a log. It can be told something, and waits for more then."""

    def __init__(self, name: str, *command: str, told: str | None = None) -> None:
        self.name = name
        self.log = f"/run/{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if told is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if told is not None:
            self.process.stdin.write(told.encode())
            self.process.stdin.flush()

    def is_running(self) -> bool:
        return self.process.poll() is None

    async def end(self, how: int = signal.SIGTERM, within_s: float = 10) -> int:
        """Its exit code; negative if a signal ended it."""
        self.process.send_signal(how)
        await until(f"{self.name} ends", lambda: not self.is_running(), within_s)
        return self.process.returncode

    def counts(self) -> dict[str, int]:
        """What it holds: open files, threads, KiB of memory."""
        of = f"/proc/{self.process.pid}"
        with open(f"{of}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return {
            "files": len(os.listdir(f"{of}/fd")),
            "threads": int(fields["Threads"]),
            "KiB": int(fields["VmRSS"].split()[0]),
        }


class Rig:
    """The programs, by name."""

    def __init__(self) -> None:
        self.programs: dict[str, Program] = {}
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = BUS
        os.environ["NO_COLOR"] = "1"
        for name, text in CONFIGURATION.items():
            with open(f"/run/{name}", "w", encoding="utf-8") as file:
                file.write(text)

    def start(self, name: str, *command: str, told: str | None = None) -> Program:
        self.programs[name] = Program(name, *command, told=told)
        return self.programs[name]

    async def start_bus(self) -> None:
        self.start("dbus-daemon", "dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--nopidfile")
        await until("the bus", lambda: os.path.exists(BUS.partition("=")[2]))

    async def start_bluetoothd(self) -> None:
        """Waits until the adapter is on."""
        path = next(path for path in BLUETOOTHD if os.path.exists(path))
        # With -d it tells of each step.
        daemon = self.start("bluetoothd", path, "-n", "-d", "-f", "/run/bluetooth.conf")
        for _ in range(200):
            if await self.is_powered():
                return
            assert daemon.is_running(), "bluetoothd has ended"
            await asyncio.sleep(0.1)
        raise AssertionError("bluetoothd shows no adapter that is on")

    async def start_broker(self) -> None:
        self.start("mosquitto", "mosquitto", "-c", "/run/mosquitto.conf")
        with open("/proc/net/tcp", encoding="ascii") as table:
            listening = f":{PORT:04X} 00000000:0000 0A"

            def listens() -> bool:
                table.seek(0)
                return listening in table.read()

            await until("the broker listens", listens)

    def start_gateway(self) -> None:
        self.start("gateway", os.environ["GATEWAY"], "--config", "/run/gateway.toml")

    def advertise(self, service) -> None:
        """Lets the adapter advertise this service, for centrals."""
        commands = f"menu advertise\nuuids {service}\nback\nadvertise on\n"
        self.start("advertise", "bluetoothctl", told=commands)

    async def is_powered(self) -> bool:
        answer = await self._dbus("org.freedesktop.DBus.Properties.Get", "string:org.bluez.Adapter1", "string:Powered")
        return "boolean true" in answer

    async def power(self, on: bool) -> None:
        """Switches the adapter."""
        await self._dbus(
            "org.freedesktop.DBus.Properties.Set",
            "string:org.bluez.Adapter1",
            "string:Powered",
            f"variant:boolean:{'true' if on else 'false'}",
        )

    async def _dbus(self, method: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "dbus-send", f"--bus={BUS}", "--print-reply", "--reply-timeout=5000", "--dest=org.bluez", ADAPTER, method, *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return (await process.communicate())[0].decode()

    def show_logs(self) -> None:
        for name, program in self.programs.items():
            state = "running" if program.is_running() else f"ended with {program.process.returncode}"
            with open(program.log, encoding="utf-8", errors="replace") as log:
                lines = log.read().splitlines()
            print(f"--- {name}, {state}: the last of {len(lines)} lines")
            for line in lines[-TAIL:]:
                print(f"{name}: {line}")


class World:
    """Who publishes and subscribes at the broker: mosquitto's own programs."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, int, bytes]] = []

    async def subscribe(self) -> None:
        """Takes everything that sensors publish, below up/."""
        process = await asyncio.create_subprocess_exec(
            "mosquitto_sub", "-i", "world", "-p", str(PORT), "-q", "2", "-t", "up/#", "-t", "ready", "-F", "%q %x %t",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        asyncio.ensure_future(self._read(process.stdout))
        for _ in range(100):
            await self.publish("ready", b"?", 1)
            if self.messages:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
        self.messages.clear()

    async def _read(self, lines) -> None:
        async for line in lines:
            qos, payload, topic = line.decode().rstrip("\n").split(" ", 2)
            self.messages.append((topic, int(qos), bytes.fromhex(payload)))

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Returns when the broker has it."""
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", "-p", str(PORT), "-q", str(qos), "-t", topic, "-s", stdin=asyncio.subprocess.PIPE
        )
        await process.communicate(payload)
        assert process.returncode == 0, f"mosquitto_pub ended with {process.returncode}"

    async def got(self, expected: list[tuple[str, int, bytes]], within_s: float = 20) -> None:
        """Waits until these have come, and nothing else: in this order for each topic."""
        await got("the world", self.messages, expected, within_s)


async def got(who: str, messages: list, expected: list, within_s: float = 20) -> None:
    """Waits until `messages` are the expected ones, in order for each topic, and forgets them."""

    def by_topic(those) -> dict:
        sorted_out: dict[str, list] = {}
        for topic, qos, payload in those:
            sorted_out.setdefault(topic, []).append((qos, payload))
        return sorted_out

    try:
        await until("", lambda: len(messages) >= len(expected), within_s)
    except AssertionError:
        pass
    # One that came twice has a moment to do so.
    await asyncio.sleep(0.1)
    have = by_topic(messages)
    for topic, wanted in by_topic(expected).items():
        assert have.pop(topic, []) == wanted, (
            f"{who} was to get {len(wanted)} messages at {topic}: {shorten(wanted)}\n"
            f"and got {shorten(by_topic(messages).get(topic, []))}"
        )
    assert not have, f"{who} got what nobody sent: {shorten(list(have.items()))}"
    messages.clear()


def shorten(those: list) -> str:
    text = repr(those)
    return text if len(text) < 600 else f"{text[:300]} … {text[-300:]}"
