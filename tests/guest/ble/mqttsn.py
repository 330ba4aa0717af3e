"""MQTT-SN 1.2 as a sensor speaks it: packets back to back on a stream, and one client's session."""

import asyncio
import struct

CONNECT, CONNACK = 0x04, 0x05
REGISTER, REGACK = 0x0A, 0x0B
PUBLISH, PUBACK, PUBCOMP, PUBREC, PUBREL = 0x0C, 0x0D, 0x0E, 0x0F, 0x10
SUBSCRIBE, SUBACK = 0x12, 0x13
PINGREQ, PINGRESP, DISCONNECT = 0x16, 0x17, 0x18

PROTOCOL_ID = 1
DUP, CLEAN_SESSION = 0x80, 0x04


def packet(kind: int, body: bytes = b"") -> bytes:
    """A packet with its length in one octet or, from 256 on, three (5.2.1)."""
    if len(body) + 2 < 256:
        return bytes([len(body) + 2, kind]) + body
    return b"\x01" + struct.pack(">HB", len(body) + 4, kind) + body


class Reader:
    """Takes a stream in pieces and finds the packets in it."""

    def __init__(self) -> None:
        self.buffer = b""

    def feed(self, octets: bytes) -> list[tuple[int, bytes]]:
        """Type and body of each packet that is complete now."""
        self.buffer += octets
        found = []
        while len(self.buffer) >= 4 or (self.buffer and self.buffer[0] != 1):
            long = self.buffer[0] == 1
            length = struct.unpack(">H", self.buffer[1:3])[0] if long else self.buffer[0]
            head = 4 if long else 2
            if length < head:
                raise ValueError(f"no packet begins like this: {self.buffer[:16].hex()}")
            if len(self.buffer) < length:
                break
            found.append((self.buffer[head - 1], self.buffer[head:length]))
            self.buffer = self.buffer[length:]
        return found


class Session:
    """One client. `send` takes the octets of a packet; `received` is called with those that come.

    `messages` has what was published to it, (topic, QoS, payload), in order, a QoS 2 message once; `seen` the type
    of every packet that came.
    """

    def __init__(self, client_id: str, send) -> None:
        self.client_id = client_id
        self.send = send
        self.reader = Reader()
        self.messages: list[tuple[str, int, bytes]] = []
        self.seen: list[int] = []
        self.names: dict[int, str] = {}
        self.ids: dict[str, int] = {}
        self.answers: dict[tuple[int, int], asyncio.Future] = {}
        self.half_received: set[int] = set()
        self.last_id = 0
        self.arrival = asyncio.Event()

    def link_lost(self) -> None:
        """What was in the middle of something ends, and so does the rest of a packet."""
        self.reader = Reader()
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"{self.client_id}: the link was lost"))

    def received(self, octets: bytes) -> None:
        for kind, body in self.reader.feed(octets):
            self.seen.append(kind)
            if kind == PUBLISH:
                self.on_publish(body)
            elif kind == PUBREL:
                self.half_received.discard(struct.unpack(">H", body)[0])
                self.send(packet(PUBCOMP, body))
            elif kind == REGISTER:
                topic_id, message_id = struct.unpack(">HH", body[:4])
                self.name(topic_id, body[4:].decode())
                self.send(packet(REGACK, struct.pack(">HHB", topic_id, message_id, 0)))
            else:
                self.on_answer(kind, body)
            self.arrival.set()

    def on_publish(self, body: bytes) -> None:
        flags, topic_id, message_id = struct.unpack(">BHH", body[:5])
        qos = flags >> 5 & 3
        if qos == 2:
            self.send(packet(PUBREC, struct.pack(">H", message_id)))
            if message_id in self.half_received:
                return
            self.half_received.add(message_id)
        self.messages.append((self.names.get(topic_id, f"#{topic_id}"), qos, body[5:]))
        if qos == 1:
            self.send(packet(PUBACK, struct.pack(">HHB", topic_id, message_id, 0)))

    def on_answer(self, kind: int, body: bytes) -> None:
        # Where in the body the message id is.
        place = {REGACK: 2, PUBACK: 2, SUBACK: 3, PUBREC: 0, PUBCOMP: 0}.get(kind)
        key = (kind, 0 if place is None else struct.unpack(">H", body[place : place + 2])[0])
        answer = self.answers.get(key)
        if answer is not None and not answer.done():
            answer.set_result(body)

    async def ask(self, octets: bytes, kind: int, message_id: int = 0, within_s: float = 20) -> bytes:
        """Sends a packet and returns the body of the answer to it."""
        answer = self.answers[kind, message_id] = asyncio.get_running_loop().create_future()
        try:
            self.send(octets)
            return await asyncio.wait_for(answer, within_s)
        except asyncio.TimeoutError:
            raise AssertionError(
                f"{self.client_id}: no answer of type {kind:#04x} to {octets[:32].hex()} in {within_s} s"
            ) from None
        finally:
            del self.answers[kind, message_id]

    def next_id(self) -> int:
        self.last_id = self.last_id % 0xFFFF + 1
        return self.last_id

    def name(self, topic_id: int, topic: str) -> None:
        self.names[topic_id] = topic
        self.ids[topic] = topic_id

    def accepted(self, what: str, code: int) -> None:
        assert code == 0, f"{self.client_id}: {what} was refused with {code}"

    async def connect(self, clean: bool = True, keep_alive_s: int = 600) -> None:
        flags = CLEAN_SESSION if clean else 0
        body = struct.pack(">BBH", flags, PROTOCOL_ID, keep_alive_s) + self.client_id.encode()
        self.accepted("CONNECT", (await self.ask(packet(CONNECT, body), CONNACK))[0])

    async def register(self, topic: str) -> None:
        message_id = self.next_id()
        body = struct.pack(">HH", 0, message_id) + topic.encode()
        answer = await self.ask(packet(REGISTER, body), REGACK, message_id)
        self.accepted("REGISTER", answer[4])
        self.name(struct.unpack(">H", answer[:2])[0], topic)

    async def subscribe(self, topic: str, qos: int) -> None:
        message_id = self.next_id()
        body = struct.pack(">BH", qos << 5, message_id) + topic.encode()
        answer = await self.ask(packet(SUBSCRIBE, body), SUBACK, message_id)
        self.accepted("SUBSCRIBE", answer[5])
        self.name(struct.unpack(">H", answer[1:3])[0], topic)

    def publish_packet(self, topic: str, payload: bytes, qos: int, message_id: int) -> bytes:
        return packet(PUBLISH, struct.pack(">BHH", qos << 5, self.ids[topic], message_id) + payload)

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Returns when the message has been acknowledged as its QoS asks for."""
        message_id = self.next_id() if qos else 0
        octets = self.publish_packet(topic, payload, qos, message_id)
        if qos == 0:
            self.send(octets)
        elif qos == 1:
            self.accepted("PUBLISH", (await self.ask(octets, PUBACK, message_id))[4])
        else:
            await self.ask(octets, PUBREC, message_id)
            await self.ask(packet(PUBREL, struct.pack(">H", message_id)), PUBCOMP, message_id)

    async def sleep(self, duration_s: int) -> None:
        await self.ask(packet(DISCONNECT, struct.pack(">H", duration_s)), DISCONNECT)

    async def disconnect(self) -> None:
        await self.ask(packet(DISCONNECT), DISCONNECT)

    async def wake(self) -> None:
        """PINGREQ with the client id: what was kept comes, then PINGRESP (6.14)."""
        await self.ask(packet(PINGREQ, self.client_id.encode()), PINGRESP)

    async def ping(self) -> None:
        await self.ask(packet(PINGREQ), PINGRESP)
