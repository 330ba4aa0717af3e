"""Sensors with a real bluetoothd and the kernel's Bluetooth between them and the gateway. Run by ble.sh in the guest."""

import asyncio
import fcntl
import os
import struct
import sys
import time
import traceback

from bumble.transport import open_transport

import radio
import rig
import scenarios
import sensor

# Each scenario has this long; nothing of them depends on how fast the machine is.
WITHIN_S = 240


# ioctl of /dev/random.
RNDADDENTROPY = 0x40085203


def stir() -> None:
    """Says that the kernel has randomness: so short after boot in a guest it has none, and whoever asks waits."""
    seed = bytes(range(32))
    with open("/dev/random", "wb") as random:
        fcntl.ioctl(random, RNDADDENTROPY, struct.pack("ii32s", 8 * len(seed), len(seed), seed))


class Stage:
    """What the scenarios have."""

    def __init__(self, air: radio.Air, kernel: radio.KernelController) -> None:
        self.air = air
        self.kernel = kernel
        self.rig = rig.Rig()
        self.world = rig.World()
        self.sensors = [
            sensor.Sensor(air, 1),
            sensor.Sensor(air, 2, careful=True),
            sensor.Sensor(air, 3, largest_mtu=23),
        ]
        # Which the gateway is not to connect to.
        self.stranger = sensor.Sensor(air, 4, name="other")
        self.echo_ms: list[float] = []


async def play(stage: Stage) -> bool:
    for number, scenario in enumerate(scenarios.ALL, 1):
        name = scenario.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            await asyncio.wait_for(scenario(stage), WITHIN_S)
        except Exception as error:  # pylint: disable=broad-except
            print(f"ble: {number}. {name}: FAILED after {time.monotonic() - began:.1f} s")
            traceback.print_exception(error)
            for one in stage.sensors:
                session = one.session
                print(
                    f"ble: {one.name}: connected {one.connection is not None}, {one.connections} connections so far, "
                    f"last packets {[hex(kind) for kind in session.seen[-12:]]}, "
                    f"unread {rig.shorten(session.messages)}, rest of a packet {session.reader.buffer.hex()}"
                )
            print(f"ble: the world, unread: {rig.shorten(stage.world.messages)}")
            stage.rig.show_logs()
            return False
        print(f"ble: {number}. {name}: {time.monotonic() - began:.1f} s", flush=True)
    return True


async def main() -> None:
    stir()
    air = radio.Air()
    async with await open_transport("vhci") as kernel:
        stage = Stage(air, radio.KernelController(kernel.source, kernel.sink, air))
        is_well = await play(stage)
        sys.stdout.flush()
        # Without waiting for what is still under way.
        os._exit(0 if is_well else 1)


if __name__ == "__main__":
    asyncio.run(main())
