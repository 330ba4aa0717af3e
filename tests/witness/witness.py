"""Lets scapy and tshark read our frames, and scapy build the same ones.

Frames travel as lines of text, so that neither side needs a library for it:

    witness.py read     in:  <id> <hex>
                        out: <id> scapy <key>=<value> ...
                             <id> tshark <key>=<value> ...
    witness.py build    in:  <id> <key>=<value> ...
                        out: <id> <hex>

Keys are the same for both tools and for the test that calls this. Numbers are decimal, octets are
hexadecimal, an empty field is left out. `complaint` is what tshark finds wrong, spaces replaced.

Exit status 3: scapy or tshark is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

try:
    from scapy.contrib import mqttsn
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import NoPayload, Raw
    from scapy.utils import wrpcap
except ImportError as error:
    print(f"scapy: {error}", file=sys.stderr)
    sys.exit(3)

PORT = 1883
ENCAPSULATED = 0xFE
OCTETS = {"address", "client_id", "topic", "data", "node_id"}

# scapy's field names where they differ from ours.
SCAPY_KEYS = {
    "gw_id": "gateway_id",
    "gw_addr": "address",
    "cleansess": "clean_session",
    "tid_type": "topic_id_type",
    "prot_id": "protocol_id",
    "tid": "topic_id",
    "mid": "msg_id",
    "will_topic": "topic",
    "will_msg": "data",
    "topic_name": "topic",
    "short_topic": "topic",
    "w_node_id": "node_id",
}

TSHARK_KEYS = {
    "mqttsn.msg.type": "type",
    "mqttsn.msg.len": "length",
    "mqttsn.dup": "dup",
    "mqttsn.qos": "qos",
    "mqttsn.retain": "retain",
    "mqttsn.will": "will",
    "mqttsn.clean.session": "clean_session",
    "mqttsn.topic.id.type": "topic_id_type",
    "mqttsn.return.code": "return_code",
    "mqttsn.gw.id": "gateway_id",
    "mqttsn.gw.addr": "address",
    "mqttsn.adv.interv": "duration",
    "mqttsn.keep.alive": "duration",
    "mqttsn.sleep.timer": "duration",
    "mqttsn.radius": "radius",
    "mqttsn.protocol.id": "protocol_id",
    "mqttsn.topic.id": "topic_id",
    "mqttsn.msg.id": "msg_id",
    "mqttsn.topic": "topic",
    "mqttsn.topic.name.or.id": "topic",
    "mqttsn.will.topic": "topic",
    "mqttsn.will.msg": "data",
    "mqttsn.pub.msg": "data",
    "mqttsn.client.id": "client_id",
    "mqttsn.control.info": "radius",
    "mqttsn.wireless.node.id": "node_id",
}


def line(key, tool, fields):
    """One line of output."""
    return " ".join([key, tool] + [f"{name}={value}" for name, value in sorted(fields.items())])


def scapy_fields(frame):
    """What scapy sees in a frame."""
    fields = {}
    prefix = ""
    layer = mqttsn.MQTTSN(frame)
    while not isinstance(layer, NoPayload):
        if isinstance(layer, Raw):
            fields["undecoded"] = layer.load.hex()
            break
        if isinstance(layer, mqttsn.MQTTSN):
            prefix = "forwarder_" if layer.type == ENCAPSULATED else ""
            fields[prefix + "length"] = layer.len
            fields[prefix + "type"] = layer.type
            fields[prefix + "name"] = layer.sprintf("%MQTTSN.type%").replace(" ", "_")
        else:
            for description in layer.fields_desc:
                value = layer.getfieldval(description.name)
                key = SCAPY_KEYS.get(description.name, description.name)
                if value is None or key == "resvd":
                    continue
                if isinstance(value, bytes):
                    value = value.hex()
                if value != "":
                    fields[prefix + key] = value
        layer = layer.payload
    return fields


def tshark_fields(frames):
    """What tshark sees in each of the frames."""
    if shutil.which("tshark") is None:
        print("tshark: command not found", file=sys.stderr)
        sys.exit(3)
    with tempfile.TemporaryDirectory() as directory:
        capture = os.path.join(directory, "frames.pcap")
        envelope = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(
            src="192.0.2.1", dst="192.0.2.2"
        )
        wrpcap(capture, [envelope / UDP(sport=PORT, dport=PORT) / Raw(frame) for frame in frames])
        dissected = subprocess.run(
            ["tshark", "-r", capture, "-d", f"udp.port=={PORT},mqttsn", "-T", "pdml"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
    if dissected.returncode != 0:
        sys.exit(f"tshark: {dissected.stderr.decode(errors='replace')}")
    packets = ElementTree.fromstring(dissected.stdout).findall("packet")
    return [tshark_packet(packet) for packet in packets]


def tshark_packet(packet):
    """The fields of one <packet> element; raw octets, because the text of a field is lossy."""
    fields = {}
    messages = [element for element in packet.iter("field") if element.get("name") == "mqttsn.msg"]
    for message in messages:
        own = [field for field in message.findall("field") if field.get("name") in TSHARK_KEYS]
        values = {}
        for field in own:
            key = TSHARK_KEYS[field.get("name")]
            octets = field.get("value", "")
            values[key] = octets if key in OCTETS else int(octets, 16)
        # SUBSCRIBE and UNSUBSCRIBE have one field for name and id.
        if values.get("topic_id_type") == 1 and "topic" in values:
            values["topic_id"] = int(values.pop("topic"), 16)
        prefix = "forwarder_" if values.get("type") == ENCAPSULATED else ""
        fields.update({prefix + key: value for key, value in values.items() if value != ""})
    complaints = [
        field.get("show", "")
        for field in packet.iter("field")
        if field.get("name") == "_ws.expert.message"
    ]
    if complaints:
        fields["complaint"] = ";".join(complaints).replace(" ", "_")
    return fields


def build(fields):
    """The frame that scapy makes of our fields."""
    frame = b""
    if "forwarder_type" in fields:
        header = mqttsn.MQTTSNEncaps(
            radius=int(fields["forwarder_radius"]),
            w_node_id=bytes.fromhex(fields.get("forwarder_node_id", "")),
        )
        frame = bytes(mqttsn.MQTTSN(type=ENCAPSULATED) / header)
    message_type = int(fields["type"])
    header = mqttsn.MQTTSN(type=message_type)
    body = header.guess_payload_class(b"")
    names = {description.name for description in body.fields_desc}
    values = {}
    for name in names:
        key = SCAPY_KEYS.get(name, name)
        if key in fields:
            values[name] = bytes.fromhex(fields[key]) if key in OCTETS else int(fields[key])
    if "short_topic" in names and fields["topic_id_type"] != "2":
        values.pop("short_topic", None)
    if len(values) == 0:
        # Header only; scapy would fill in the fields of an empty form.
        return frame + bytes(mqttsn.MQTTSN(type=message_type, len=2))
    return frame + bytes(header / body(**values))


def main():
    """Reads lines, writes lines."""
    lines = [text.split() for text in sys.stdin.read().splitlines()]
    if sys.argv[1:] == ["read"]:
        keys = [words[0] for words in lines]
        frames = [bytes.fromhex(words[1]) for words in lines]
        dissected = tshark_fields(frames)
        if len(dissected) != len(frames):
            sys.exit(f"tshark read {len(dissected)} of {len(frames)} packets")
        for key, frame, seen in zip(keys, frames, dissected):
            print(line(key, "scapy", scapy_fields(frame)))
            print(line(key, "tshark", seen))
    elif sys.argv[1:] == ["build"]:
        for key, *fields in lines:
            print(key, build(dict(field.split("=", 1) for field in fields)).hex())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
