"""A device made with scapy, which sleeps, collects and sleeps again against a gateway.

    sleeper.py <port>

It writes "asleep" when it sleeps and waits for a line on standard input before it collects what was
published to `witness/sleeper` meanwhile: "zero", "one" and "two" at those QoS, in this order. Then the
same once more from another port, and a third time by CONNECT.

Exit status 0: everything was as expected; 3: scapy is missing.
"""

import socket
import sys

from device import ACCEPTED, Device, check, mqttsn

CLIENT_ID = b"scapy-sleeper"
TOPIC = b"witness/sleeper"
SLEEP = 3600
REGISTER, PUBLISH, PUBREL, PINGRESP, DISCONNECT = 0x0A, 0x0C, 0x10, 0x17, 0x18


def connect(device):
    """CONNECT with a clean session, every time."""
    device.send(mqttsn.MQTTSNConnect(cleansess=1, duration=60, client_id=CLIENT_ID))
    check("CONNACK", device.wait(0x05).return_code, ACCEPTED)


def sleep(device):
    """DISCONNECT with a duration; waits until the other side says that there is something."""
    device.send(mqttsn.MQTTSNDisconnect(duration=SLEEP))
    device.wait(DISCONNECT)
    print("asleep", flush=True)
    sys.stdin.readline()


def collect(device, names, last):
    """Takes what comes, in order, until a frame of the type `last` comes, or all three messages."""
    seen = []
    while True:
        frame = mqttsn.MQTTSN(device.socket.recv(65535))
        if frame.type == last:
            return seen
        if frame.type == REGISTER:
            names[frame.tid] = frame.topic_name
            device.send(mqttsn.MQTTSNRegack(tid=frame.tid, mid=frame.mid, return_code=ACCEPTED))
        elif frame.type == PUBLISH:
            check("topic", names.get(frame.tid), TOPIC)
            seen.append((frame.qos, bytes(frame.data)))
            if frame.qos == 1:
                device.send(
                    mqttsn.MQTTSNPuback(tid=frame.tid, mid=frame.mid, return_code=ACCEPTED)
                )
            elif frame.qos == 2:
                device.send(mqttsn.MQTTSNPubrec(mid=frame.mid))
        elif frame.type == PUBREL:
            device.send(mqttsn.MQTTSNPubcomp(mid=frame.mid))
            if last is None:
                return seen
        else:
            sys.exit(f"unexpected {frame.summary()}")


def session(port):
    """Sleep, wake by PINGREQ, by PINGREQ from elsewhere, and by CONNECT."""
    expected = [(0, b"zero"), (1, b"one"), (2, b"two")]
    device = Device(port)
    connect(device)
    device.send(mqttsn.MQTTSNSubscribe(qos=2, mid=2, topic_name=TOPIC))
    suback = device.wait(0x13)
    check("SUBACK", (suback.mid, suback.return_code, suback.qos), (2, ACCEPTED, 2))
    names = {suback.tid: TOPIC}
    sleep(device)
    device.send(mqttsn.MQTTSNPingReq(client_id=CLIENT_ID))
    check("first window", collect(device, names, PINGRESP), expected)

    sleep(device)
    elsewhere = Device(port)
    elsewhere.send(mqttsn.MQTTSNPingReq(client_id=CLIENT_ID))
    check("window at another port", collect(elsewhere, names, PINGRESP), expected)
    device.socket.settimeout(0)
    try:
        sys.exit(f"the old port got {device.socket.recv(65535).hex()}")
    except (BlockingIOError, socket.timeout):
        pass

    sleep(elsewhere)
    connect(elsewhere)
    check("after CONNECT", collect(elsewhere, {}, None), expected)
    elsewhere.send_header(DISCONNECT)
    elsewhere.wait(DISCONNECT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    session(int(sys.argv[1]))
