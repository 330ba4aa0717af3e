"""What is tried, in order, in one boot: each scenario leaves the sensors connected and their sessions open."""

import asyncio
import os
import signal
import time

import central
import mqttsn
import rig

# Lengths of payloads: in one piece, at the edge of the length octet, in several pieces.
LENGTHS = [1, 20, 200, 248, 249, 250, 511, 700]
ROUNDS = 100
CYCLES = 50


def payload(number: int, length: int) -> bytes:
    return bytes((number + place) & 0xFF for place in range(length))


def percentiles(times_ms: list[float]) -> str:
    times_ms = sorted(times_ms)
    p50, p99 = times_ms[len(times_ms) // 2], times_ms[len(times_ms) * 99 // 100]
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


async def bluetooth_comes_up(stage) -> None:
    await stage.rig.start_bus()
    await stage.rig.start_bluetoothd()
    await stage.rig.start_broker()
    await stage.world.subscribe()
    for one in [*stage.sensors, stage.stranger]:
        await one.switch_on()


async def raw_echo(stage) -> None:
    """How long a notification and the write that answers it take without a gateway."""
    one = stage.sensors[0]
    echoed = asyncio.Queue()
    one.receive = echoed.put_nowait
    test = "sensors_speak_over_bluetooth"
    program = stage.rig.start("echo", "env", "IN_GUEST=1", os.environ["ECHO"], "--exact", test, "--nocapture")
    await one.linked()
    for number in range(ROUNDS):
        frame = payload(number, 24)
        began = time.monotonic()
        one.send(frame)
        assert await asyncio.wait_for(echoed.get(), 10) == frame
        stage.echo_ms.append((time.monotonic() - began) * 1e3)
    print(f"ble: raw echo, {ROUNDS} frames: {percentiles(stage.echo_ms)}")
    one.receive = one.session.received
    await one.drop()
    await program.end(signal.SIGKILL)


async def end_to_end(stage) -> None:
    """Every QoS, both ways, short and long."""
    stage.rig.start_gateway()
    one = stage.sensors[0]
    await one.linked()
    await talk(stage, one, LENGTHS)


async def talk(stage, one, lengths: list[int]) -> None:
    session = one.session
    await session.connect()
    up, down = f"up/{one.name}", f"down/{one.name}"
    await session.register(up)
    await session.subscribe(down, 2)
    sent = []
    for number, length in enumerate(lengths):
        for qos in (0, 1, 2):
            sent.append((up, qos, payload(number, length)))
            await session.publish(*sent[-1][::2], qos)
    await stage.world.got(sent)
    sent = [(down, qos, payload(number, length)) for number, length in enumerate(lengths) for qos in (0, 1, 2)]
    for topic, qos, octets in sent:
        await stage.world.publish(topic, octets, qos)
    await rig.got(one.name, session.messages, sent)


async def a_small_mtu(stage) -> None:
    """A sensor that takes no more than 20 octets at once gets no more, and puts them together."""
    one = stage.sensors[2]
    await one.linked()
    assert one.connection.att_mtu == 23, f"MTU {one.connection.att_mtu}"
    await talk(stage, one, [1, 13, 14, 60, 300])
    assert max(one.pieces) == 20, f"a piece of {max(one.pieces)} octets was written"


async def two_at_once(stage) -> None:
    """Nothing of one reaches the other, and each gets everything."""
    first, second = stage.sensors[:2]
    await second.linked()
    await talk(stage, second, [5])
    await both_at_once(stage, first, second)


async def both_at_once(stage, first, second) -> None:
    async def publish_all(one) -> list:
        sent = [(f"up/{one.name}", 1, f"{one.name} {number}".encode()) for number in range(30)]
        for topic, qos, octets in sent:
            await one.session.publish(topic, octets, qos)
        return sent

    async def command_all(one) -> list:
        sent = [(f"down/{one.name}", 1, f"for {one.name}: {number}".encode()) for number in range(10)]
        for topic, qos, octets in sent:
            await stage.world.publish(topic, octets, qos)
        return sent

    ups = await asyncio.gather(publish_all(first), publish_all(second))
    await stage.world.got(sum(ups, []))
    downs = await asyncio.gather(command_all(first), command_all(second))
    for one, sent in zip((first, second), downs):
        await rig.got(one.name, one.session.messages, sent)


async def latency(stage) -> None:
    """PUBLISH at QoS 1 to PUBACK, with the gateway and the broker between them."""
    one = stage.sensors[0]
    times_ms = []
    sent = []
    for number in range(ROUNDS):
        sent.append((f"up/{one.name}", 1, payload(number, 17)))
        began = time.monotonic()
        await one.session.publish(sent[-1][0], sent[-1][2], 1)
        times_ms.append((time.monotonic() - began) * 1e3)
    await stage.world.got(sent)
    print(f"ble: PUBLISH to PUBACK, {ROUNDS} times: {percentiles(times_ms)}")
    print(f"ble: raw echo before:           {percentiles(stage.echo_ms)}")


async def a_drop_in_the_middle_of_a_packet(stage) -> None:
    """The beginning of a packet does not spoil what comes after the drop."""
    one = stage.sensors[0]
    session = one.session
    lost = session.publish_packet(f"up/{one.name}", b"never whole", 1, session.next_id())
    one.send(lost[:9])
    # Behind it in the same stream, so that it is over the air.
    await asyncio.sleep(0.2)
    await one.drop()
    await one.linked()
    await session.publish(f"up/{one.name}", b"whole", 1)
    await stage.world.got([(f"up/{one.name}", 1, b"whole")])
    await stage.world.publish(f"down/{one.name}", b"still subscribed", 1)
    await rig.got(one.name, session.messages, [(f"down/{one.name}", 1, b"still subscribed")])


async def a_sensor_sleeps_without_a_connection(stage) -> None:
    """It gets what was published meanwhile, in order, and PINGRESP after it."""
    await sleep_without_a_connection(stage, stage.sensors[0])


async def sleep_without_a_connection(stage, one) -> None:
    session = one.session
    for round_number in range(2):
        await session.sleep(600)
        await one.be_quiet()
        await one.drop()
        sent = [
            (f"down/{one.name}", qos, f"{round_number}: {number} at {qos}".encode())
            for number in range(4)
            for qos in (1, 2)
        ]
        for topic, qos, octets in sent:
            await stage.world.publish(topic, octets, qos)
        await asyncio.sleep(0.5)
        assert not session.messages, f"{session.messages} came to a sensor that is away"
        await one.advertise()
        await one.linked()
        session.seen.clear()
        await session.wake()
        await rig.got(one.name, session.messages, sent)
        assert session.seen[-1] == mqttsn.PINGRESP, f"behind PINGRESP came {session.seen}"
    await session.connect(clean=False)


async def out_of_range(stage) -> None:
    """A command that was under way when a sensor left the range arrives when it is back, once."""
    one = stage.sensors[1]
    stage.air.leave(one.chip)
    await stage.world.publish(f"down/{one.name}", b"come back", 2)
    await one.lost()
    await stage.world.publish(f"down/{one.name}", b"soon", 1)
    await asyncio.sleep(1)
    stage.air.come_back(one.chip)
    await one.linked()
    expected = [(f"down/{one.name}", 2, b"come back"), (f"down/{one.name}", 1, b"soon")]
    await rig.got(one.name, one.session.messages, expected, within_s=40)
    await one.session.publish(f"up/{one.name}", b"here I am", 2)
    await stage.world.got([(f"up/{one.name}", 2, b"here I am")])


async def a_slow_radio(stage) -> None:
    """More is for a sensor than its radio carries at once: everything arrives, once and in order."""
    one = stage.sensors[0]
    stage.kernel.fragment_s = 0.01
    sent = [
        (f"down/{one.name}", qos, payload(number, 600 if number % 5 == 0 else 150))
        for number in range(15)
        for qos in (1, 2)
    ]
    for topic, qos, octets in sent:
        await stage.world.publish(topic, octets, qos)
    await rig.got(one.name, one.session.messages, sent, within_s=60)
    stage.kernel.fragment_s = 0.0


async def many_connections(stage) -> None:
    """Fifty times connected, used and dropped: the gateway holds no more than before."""
    gateway = stage.rig.programs["gateway"]
    before = gateway.counts()

    async def cycle(one) -> None:
        for number in range(CYCLES // 2):
            await one.linked()
            await one.session.publish(f"up/{one.name}", str(number).encode(), 1)
            await one.drop()
        await one.linked()
        await one.session.ping()

    two = stage.sensors[:2]
    await asyncio.gather(*(cycle(one) for one in two))
    await stage.world.got([(f"up/{one.name}", 1, str(number).encode()) for one in two for number in range(CYCLES // 2)])
    after = gateway.counts()
    print(f"ble: the gateway before {CYCLES} connections: {before}, after: {after}")
    for what, slack in (("files", 1), ("threads", 0), ("KiB", 4096)):
        assert after[what] <= before[what] + slack, f"{what} grew: before {before}, after {after}"


async def the_gateway_is_killed(stage) -> None:
    """Its successor takes over the sensors, which BlueZ has kept connected, and their sessions."""
    await stage.rig.programs["gateway"].end(signal.SIGKILL)
    for one in stage.sensors:
        await rig.until(f"{one.name} is not listened to", lambda one=one: not one.subscribed.is_set())
        assert one.connection is not None, f"{one.name} was disconnected"
    stage.rig.start_gateway()
    await all_are_back(stage, b"after kill")


async def sensors_that_are_central(stage) -> None:
    """They connect by themselves to an adapter that advertises, and are served as the others are, also after a drop:
    when the gateway tries to reach them, and when it has given up."""
    stage.rig.advertise(central.GATEWAY)
    first, second = two = [central.Central(stage.air, 11), central.Central(stage.air, 12, largest_mtu=23)]
    for one in two:
        await one.switch_on()
        await one.linked()
        await talk(stage, one, [1, 300])
    await both_at_once(stage, first, second)
    await first.drop()
    await first.linked()
    await first.session.ping()
    await second.be_quiet()
    await second.drop()
    await asyncio.sleep(20)
    await second.advertise()
    await second.linked()
    await second.session.ping()
    await both_at_once(stage, first, second)
    await sleep_without_a_connection(stage, first)
    for one in two:
        await one.session.sleep(600)
        await one.be_quiet()
        await one.drop()
    await stage.rig.programs["advertise"].end(signal.SIGKILL)


async def bluetoothd_dies_and_comes_back(stage) -> None:
    await stage.rig.programs["bluetoothd"].end(signal.SIGKILL)
    for one in stage.sensors:
        await one.lost()
    await stage.rig.start_bluetoothd()
    await all_are_back(stage, b"after bluetoothd")


async def the_adapter_is_switched_off_and_on(stage) -> None:
    """Off means off: the gateway leaves it so."""
    await stage.rig.power(False)
    for one in stage.sensors:
        await one.lost()
    await asyncio.sleep(5)
    assert not await stage.rig.is_powered(), "somebody switched the adapter on again"
    await stage.rig.power(True)
    await all_are_back(stage, b"after power")


async def all_are_back(stage, octets: bytes) -> None:
    for one in stage.sensors:
        await one.linked()
        await one.session.publish(f"up/{one.name}", octets, 1)
        await stage.world.publish(f"down/{one.name}", octets, 1)
        await rig.got(one.name, one.session.messages, [(f"down/{one.name}", 1, octets)])
    await stage.world.got([(f"up/{one.name}", 1, octets) for one in stage.sensors])


async def the_gateway_ends(stage) -> None:
    """It disconnects the sensors and ends well."""
    code = await stage.rig.programs["gateway"].end()
    assert code == 0, f"it ended with {code}"
    for one in stage.sensors:
        await one.lost()
    assert stage.stranger.connections == 0, "somebody connected to the device that is not allowed"


ALL = [
    bluetooth_comes_up,
    raw_echo,
    end_to_end,
    a_small_mtu,
    two_at_once,
    latency,
    a_drop_in_the_middle_of_a_packet,
    a_sensor_sleeps_without_a_connection,
    out_of_range,
    a_slow_radio,
    many_connections,
    the_gateway_is_killed,
    sensors_that_are_central,
    bluetoothd_dies_and_comes_back,
    the_adapter_is_switched_off_and_on,
    the_gateway_ends,
]
