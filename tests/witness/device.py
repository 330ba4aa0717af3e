"""A device made with scapy, which plays a session against a gateway and checks every answer.

    device.py <port>

Exit status 0: everything was as expected; 3: scapy is missing.
"""

import socket
import sys

try:
    from scapy.contrib import mqttsn
except ImportError as error:
    print(f"scapy: {error}", file=sys.stderr)
    sys.exit(3)

ACCEPTED = 0
TOPIC = b"witness/scapy"


class Device:
    """A socket, and the frames that came while another one was waited for."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(30)
        self.pending = []

    def send(self, body, message_type=None):
        """Sends one message."""
        header = mqttsn.MQTTSN() if message_type is None else mqttsn.MQTTSN(type=message_type)
        self.socket.send(bytes(header / body) if body is not None else bytes(header))

    def send_header(self, message_type):
        """Sends a message without a body; scapy would fill in the fields of an empty one."""
        self.socket.send(bytes(mqttsn.MQTTSN(type=message_type, len=2)))

    def wait(self, message_type):
        """The next frame of a type; others are kept for later."""
        for position, frame in enumerate(self.pending):
            if frame.type == message_type:
                return self.pending.pop(position)
        while True:
            octets = self.socket.recv(65535)
            frame = mqttsn.MQTTSN(octets)
            assert frame.len == len(octets), f"{octets.hex()}: length {frame.len}"
            if frame.type == message_type:
                return frame
            self.pending.append(frame)


def check(what, got, expected):
    """Ends the program if an answer is wrong."""
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")


def session(device):
    """Everything once."""
    device.send(mqttsn.MQTTSNSearchGW(radius=1))
    check("GWINFO", device.wait(0x02).gw_id, 1)

    device.send(mqttsn.MQTTSNConnect(cleansess=1, duration=60, client_id=b"scapy"))
    check("CONNACK", device.wait(0x05).return_code, ACCEPTED)

    device.send(mqttsn.MQTTSNRegister(tid=0, mid=1, topic_name=TOPIC))
    regack = device.wait(0x0B)
    check("REGACK", (regack.mid, regack.return_code), (1, ACCEPTED))
    tid = regack.tid

    device.send(mqttsn.MQTTSNSubscribe(qos=2, mid=2, topic_name=TOPIC))
    suback = device.wait(0x13)
    expected = (2, ACCEPTED, 2, tid)
    check("SUBACK", (suback.mid, suback.return_code, suback.qos, suback.tid), expected)

    device.send(mqttsn.MQTTSNPublish(qos=0, tid=tid, mid=0, data=b"zero"))
    echo = device.wait(0x0C)
    check("PUBLISH at QoS 0", (echo.qos, echo.tid, echo.data), (0, tid, b"zero"))

    device.send(mqttsn.MQTTSNPublish(qos=1, tid=tid, mid=3, data=b"one"))
    puback = device.wait(0x0D)
    check("PUBACK", (puback.tid, puback.mid, puback.return_code), (tid, 3, ACCEPTED))
    echo = device.wait(0x0C)
    check("PUBLISH at QoS 1", (echo.qos, echo.tid, echo.data), (1, tid, b"one"))
    device.send(mqttsn.MQTTSNPuback(tid=tid, mid=echo.mid, return_code=ACCEPTED))

    device.send(mqttsn.MQTTSNPublish(qos=2, tid=tid, mid=4, data=b"two"))
    check("PUBREC", device.wait(0x0F).mid, 4)
    device.send(mqttsn.MQTTSNPubrel(mid=4))
    check("PUBCOMP", device.wait(0x0E).mid, 4)
    echo = device.wait(0x0C)
    check("PUBLISH at QoS 2", (echo.qos, echo.tid, echo.data), (2, tid, b"two"))
    device.send(mqttsn.MQTTSNPubrec(mid=echo.mid))
    check("PUBREL", device.wait(0x10).mid, echo.mid)
    device.send(mqttsn.MQTTSNPubcomp(mid=echo.mid))

    device.send(mqttsn.MQTTSNUnsubscribe(mid=5, topic_name=TOPIC))
    check("UNSUBACK", device.wait(0x15).mid, 5)

    device.send_header(0x16)
    device.wait(0x17)
    device.send_header(0x18)
    device.wait(0x18)
    check("frames that nobody waited for", [frame.type for frame in device.pending], [])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    session(Device(int(sys.argv[1])))
