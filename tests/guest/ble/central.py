"""A sensor that is the central: it connects to an adapter that advertises, and has the UART service all the same."""

import asyncio

from bumble import hci
from bumble.core import AdvertisingData, BT_LE_TRANSPORT, UUID

import sensor

# What the adapter advertises for such sensors to find it.
GATEWAY = UUID("6E400000-B5A3-F393-E0A9-E50E24DCCA9E")


class Central(sensor.Sensor):
    """Connects where others advertise."""

    async def advertise(self) -> None:
        self.advertises_again = True
        found = asyncio.get_running_loop().create_future()

        def on_advertisement(advertisement) -> None:
            services = advertisement.data.get(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or []
            if GATEWAY in services and not found.done():
                found.set_result(advertisement.address)

        self.device.on("advertisement", on_advertisement)
        await self.device.start_scanning(legacy=True, own_address_type=hci.OwnAddressType.RANDOM)
        address = await found
        self.device.remove_listener("advertisement", on_advertisement)
        await self.device.stop_scanning(legacy=True)
        await self.device.connect(address, transport=BT_LE_TRANSPORT, own_address_type=hci.OwnAddressType.RANDOM)

    async def be_quiet(self) -> None:
        self.advertises_again = False
