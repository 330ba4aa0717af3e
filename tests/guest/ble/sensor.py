"""A sensor: a Nordic UART peripheral made with bumble, on a chip of its own, with an MQTT-SN client behind it."""

import asyncio
import time

from bumble import controller, device, gatt, hci
from bumble.core import AdvertisingData, UUID
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

import mqttsn
import radio

SERVICE = UUID("6E400001-B5A3-F393-E0A9-E50E24DCCA9E")
RX = UUID("6E400002-B5A3-F393-E0A9-E50E24DCCA9E")
TX = UUID("6E400003-B5A3-F393-E0A9-E50E24DCCA9E")
ADVERTISING_INTERVAL_MS = 100
# Of an attribute, whatever the MTU (Bluetooth Core 5.4, 3.F.3.2.9).
LONGEST_VALUE = 512


class Sensor:
    """`subscribed` is set while a central listens to it; `pieces` has the length of every write that came.

    One that is `careful` indicates instead of notifying, and takes only writes with a response.
    """

    def __init__(
        self, air: radio.Air, number: int, name: str = "sensor", largest_mtu: int = 517, careful: bool = False
    ) -> None:
        self.name = f"{name}-{number}"
        self.air = air
        self.chip = controller.Controller(self.name, link=air)
        self.device = device.Device(
            name=self.name,
            address=hci.Address(f"F0:11:22:33:44:{number:02X}"),
            host=Host(self.chip, AsyncPipeSink(self.chip)),
        )
        self.device.gatt_server.max_mtu = largest_mtu
        properties = gatt.Characteristic.Properties
        says, takes = properties.NOTIFY, properties.WRITE | properties.WRITE_WITHOUT_RESPONSE
        self.tell = self.device.notify_subscriber
        if careful:
            says, takes = properties.INDICATE, properties.WRITE
            self.tell = self.device.indicate_subscriber
        self.tx = gatt.Characteristic(TX, says, gatt.Characteristic.READABLE)
        self.tx.on("subscription", self._on_subscription)
        rx = gatt.Characteristic(
            RX, takes, gatt.Characteristic.WRITEABLE, gatt.CharacteristicValue(write=self._on_write)
        )
        self.device.add_service(gatt.Service(SERVICE, [rx, self.tx]))
        self.device.on("connection", self._on_connection)

        self.connection = None
        self.connections = 0
        self.subscribed = asyncio.Event()
        self.gone = asyncio.Event()
        self.gone.set()
        self.advertises_again = True
        self.pieces: list[int] = []
        self.outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.session = mqttsn.Session(self.name, self.outgoing.put_nowait)
        self.receive = self.session.received
        self.sender = asyncio.ensure_future(self._send())

    def say(self, what: str) -> None:
        print(f"[{time.monotonic():9.3f}] {self.name}: {what}", flush=True)

    async def switch_on(self) -> None:
        await self.device.power_on()
        await self.advertise()

    async def advertise(self) -> None:
        self.advertises_again = True
        # bumble's link has no scan response of its own: the name is in the advertisement, which it fills.
        data = [
            (AdvertisingData.FLAGS, b"\x06"),
            (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, bytes(SERVICE)),
            (AdvertisingData.COMPLETE_LOCAL_NAME, self.name.encode()),
        ]
        await self.device.start_advertising(
            advertising_data=bytes(AdvertisingData(data)),
            advertising_interval_min=ADVERTISING_INTERVAL_MS,
            advertising_interval_max=ADVERTISING_INTERVAL_MS,
            own_address_type=hci.OwnAddressType.RANDOM,
        )

    async def be_quiet(self) -> None:
        """Does not advertise, now and after the next drop."""
        self.advertises_again = False
        await self.device.stop_advertising()

    async def drop(self) -> None:
        """Ends the connection from this side."""
        if self.connection is not None:
            await self.connection.disconnect()
        await asyncio.wait_for(self.gone.wait(), 10)

    async def linked(self, within_s: float = 60) -> None:
        """Waits until a central listens."""
        try:
            await asyncio.wait_for(self.subscribed.wait(), within_s)
        except asyncio.TimeoutError:
            raise AssertionError(f"{self.name}: nobody connected and subscribed in {within_s} s") from None

    async def lost(self, within_s: float = 20) -> None:
        """Waits until the connection is gone."""
        try:
            await asyncio.wait_for(self.gone.wait(), within_s)
        except asyncio.TimeoutError:
            raise AssertionError(f"{self.name}: still connected after {within_s} s") from None

    def send(self, octets: bytes) -> None:
        """Octets as they are, in pieces as long as they may be."""
        self.outgoing.put_nowait(octets)

    def _on_connection(self, connection) -> None:
        self.say("connected")
        self.connection = connection
        self.connections += 1
        self.gone.clear()
        connection.on("disconnection", self._on_disconnection)

    def _on_disconnection(self, reason: int) -> None:
        self.say(f"disconnected, reason {reason:#04x}")
        self.connection = None
        self.subscribed.clear()
        self.gone.set()
        # It may be in the middle of something that nobody will confirm.
        self.sender.cancel()
        while not self.outgoing.empty():
            self.outgoing.get_nowait()
        self.sender = asyncio.ensure_future(self._send())
        self.session.link_lost()
        if self.advertises_again:
            asyncio.ensure_future(self.advertise())

    def _on_subscription(self, _connection, notify: bool, indicate: bool) -> None:
        if notify or indicate:
            self.say(f"subscribed to, MTU {self.connection.att_mtu}")
            self.subscribed.set()
        else:
            self.subscribed.clear()

    # Not a coroutine: what is written is taken in order.
    def _on_write(self, _connection, value: bytes) -> None:
        self.pieces.append(len(value))
        self.receive(bytes(value))

    async def _send(self) -> None:
        while True:
            octets = await self.outgoing.get()
            while octets and self.connection is not None:
                most = min(self.connection.att_mtu - 3, LONGEST_VALUE)
                await self.tell(self.connection, self.tx, octets[:most])
                octets = octets[most:]
