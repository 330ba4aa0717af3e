"""The air: Bluetooth LE controllers of bumble on a simulated link. One of them is the kernel's hci0, the others
are chips of sensors.

bumble's own link has neither distance nor a limit, and its controller leaves out what a host does only now and
then. They are here: a chip can leave radio range, and the kernel's controller takes time to send, cancels connecting,
filters what it reported before, and starts afresh on reset, as real ones do.
"""

import asyncio
import collections

from bumble import controller, hci, link

# What Linux asks for when nobody says otherwise.
SUPERVISION_TIMEOUT_S = 0.42


class Air(link.LocalLink):
    """Carries packets between the controllers that are in range of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[controller.Controller] = set()

    def leave(self, chip: controller.Controller) -> None:
        """Takes a chip out of range: nothing reaches it or comes from it. Both ends of its connections find out
        when the supervision timeout is over."""
        self.away.add(chip)
        asyncio.get_running_loop().call_later(SUPERVISION_TIMEOUT_S, self._time_out, chip)

    def come_back(self, chip: controller.Controller) -> None:
        self.away.discard(chip)

    def _time_out(self, chip: controller.Controller) -> None:
        if chip not in self.away:
            return
        for connection in list(chip.le_connections.values()):
            for other in self.controllers - {chip}:
                for far in list(other.le_connections.values()):
                    if far.peer_address == connection.self_address:
                        other.on_le_disconnected(far, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
            chip.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def reaches(self, address: hci.Address) -> bool:
        return self.find_le_controller(address) not in self.away

    def send_advertising_pdu(self, sender_controller, packet) -> None:
        if sender_controller not in self.away:
            super().send_advertising_pdu(sender_controller, packet)

    def send_acl_data(self, sender_controller, destination_address, transport, data) -> None:
        # A connection keeps the address that it was made with. (A central takes a new random one for each scan, and
        # bumble's link would name that one as the sender.)
        receiver = self.find_le_controller(destination_address)
        connection = sender_controller.le_connections.get(destination_address)
        if receiver is None or connection is None or not {sender_controller, receiver}.isdisjoint(self.away):
            return
        asyncio.get_running_loop().call_soon(
            receiver.on_link_acl_data, connection.self_address, transport, data
        )

    def send_ll_control_pdu(self, sender_address, receiver_address, packet) -> None:
        if self.reaches(sender_address) and self.reaches(receiver_address):
            super().send_ll_control_pdu(sender_address, receiver_address, packet)


class KernelController(controller.Controller):
    """The radio behind the kernel's virtual HCI device. Each fragment, of at most 27 octets, takes `fragment_s` to
    send."""

    def __init__(self, source, sink, air: Air) -> None:
        # No public address, as bumble's link goes by random ones: bluetoothd makes up a static random one.
        super().__init__("kernel", host_source=source, host_sink=sink, link=air)
        # With either of these features the kernel waits for an event that bumble's controller never sends (LE
        # Enhanced Connection Complete), for 4 s and with all other commands behind it.
        self.le_features &= ~(hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING)
        self.reported: set[tuple[hci.Address, bytes]] = set()
        self.fragment_s = 0.0
        self.waiting: collections.deque = collections.deque()

    def on_hci_reset_command(self, command):
        self.le_scan_enable = False
        self.pending_le_connection = None
        self.le_connections.clear()
        return super().on_hci_reset_command(command)

    def on_hci_le_set_scan_enable_command(self, command):
        self.reported.clear()
        return super().on_hci_le_set_scan_enable_command(command)

    def on_advertising_pdu(self, pdu) -> None:
        connecting = self.pending_le_connection is not None
        if not connecting and self.filter_duplicates:
            seen = (pdu.advertiser_address, bytes(pdu.data))
            if seen in self.reported:
                return
            if self.le_scan_enable:
                self.reported.add(seen)
        super().on_advertising_pdu(pdu)

    def on_hci_acl_data_packet(self, packet) -> None:
        connection = self.find_connection_by_handle(packet.connection_handle)
        if self.fragment_s == 0 and not self.waiting:
            self._transmit(connection, packet)
            return
        self.waiting.append((connection, packet))
        if len(self.waiting) == 1:
            asyncio.get_running_loop().call_later(self.fragment_s, self._transmit_next)

    def _transmit_next(self) -> None:
        self._transmit(*self.waiting.popleft())
        if self.waiting:
            asyncio.get_running_loop().call_later(self.fragment_s, self._transmit_next)

    def _transmit(self, connection, packet) -> None:
        # What cannot be sent stays in the buffers, and the host gets no credit for it. Another connection may have
        # the same handle by now.
        current = self.find_connection_by_handle(packet.connection_handle)
        if current is not None and current is connection and self.link.reaches(connection.peer_address):
            super().on_hci_acl_data_packet(packet)

    def on_hci_le_create_connection_cancel_command(self, command):
        pending = self.pending_le_connection
        self.pending_le_connection = None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        cancelled = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        # After the command's own answer.
        asyncio.get_running_loop().call_soon(self.send_hci_packet, cancelled)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
