#!/usr/bin/env python3
"""Boots a Debian with the package in QEMU and runs packaging/test/vm.sh there: systemd, its sandbox, udev, a radio
that is plugged in, upgrade. As root; needs debootstrap and qemu-system-x86. It takes some minutes, less with
ACCEL=kvm where that works. Before a release, by hand, after packaging/test-deb.sh.

Usage: packaging/test-vm.py target/debian/mqtt-sn-gateway_0.1.0-1_amd64.deb
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = Path(os.environ.get("WORK", HERE.parent / "target/package-test"))
# Lasts longer than any machine needs for it.
LIMIT = 3600
UNIT = """\
[Unit]
After=multi-user.target mosquitto.service
[Service]
Type=idle
ExecStart=/bin/sh /vm.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
"""


def run(*command):
    subprocess.run([str(word) for word in command], check=True)


def image(deb):
    """A disk with Debian, the package and the test."""
    root, disk = WORK / "vm", WORK / "vm.ext4"
    run(HERE / "test/debian.sh", WORK / "base")
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "-a", WORK / "base", root)
    shutil.copy(deb, root / "package.deb")
    shutil.copy(HERE / "test/vm.sh", root / "vm.sh")
    (root / "etc/systemd/system/vm-test.service").write_text(UNIT)
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("vm\n")
    run("chroot", root, "dpkg", "-i", "/package.deb")
    run("chroot", root, "systemctl", "enable", "vm-test.service")
    run("chroot", root, "systemctl", "mask", "serial-getty@ttyS0.service", "getty@tty1.service")
    disk.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "3G")
    return root, disk


class Machine:
    """QEMU, its console, and its monitor."""

    def __init__(self, root, disk):
        kernel, = (root / "boot").glob("vmlinuz-*")
        initrd, = (root / "boot").glob("initrd.img-*")
        monitor = WORK / "monitor"
        monitor.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", os.environ.get("ACCEL", "tcg"), "-cpu", "max", "-m", "768", "-smp", "2", "-display", "none", "-nic", "none",
             "-kernel", kernel, "-initrd", initrd, "-no-reboot",
             "-append", "root=/dev/vda rw console=ttyS0 quiet loglevel=3 systemd.show_status=false",
             "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe", "-device", "qemu-xhci",
             "-chardev", "pty,id=air", "-monitor", f"unix:{monitor},server=on,wait=off", "-serial", "stdio"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.monitor = monitor
        self.line = None

    def order(self, text):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.monitor))
            monitor.sendall(f"{text}\n".encode())
            time.sleep(1)

    def lines(self):
        for line in self.process.stdout:
            line = line.strip()
            if "char device redirected to" in line:
                self.line = line.split(" to ")[1].split()[0]
            if line:
                print(line, flush=True)
            yield line


def main():
    # Stopped from outside, it takes the machine with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    deb = Path(sys.argv[1]).resolve()
    WORK.mkdir(parents=True, exist_ok=True)
    root, disk = image(deb)
    machine = Machine(root, disk)
    end = time.monotonic() + LIMIT
    ended, radios = False, []
    try:
        for line in machine.lines():
            if line == "vm: plug":
                machine.order("device_add usb-serial,id=radio,chardev=air,serial=SN0001,always-plugged=on")
            elif line == "vm: unplug":
                # Its message has arrived; that it hears of that is part of it.
                radios[-1].wait(timeout=300)
                machine.order("device_del radio")
            elif line.startswith("vm: publish "):
                program = [root / "usr/bin/mqtt-sn-gateway", "pub", "--serial", machine.line, "--framing", "slip",
                           "-i", "radio", "-t", "radio/" + line.split()[2], "-q", "1", "-r", "--retry", "5s", "--retries", "20",
                           "-m", "hello"]
                radios.append(subprocess.Popen(program))
            elif line.startswith("vm: ended with "):
                ended = line.endswith(" 0")
            if time.monotonic() > end:
                sys.exit("it takes too long")
    finally:
        for process in [machine.process, *radios]:
            process.kill()
    if not ended or any(radio.wait() != 0 for radio in radios):
        sys.exit("the test in the machine failed")


main()
