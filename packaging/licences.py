#!/usr/bin/env python3
"""Prints the licences of all libraries that are linked into the program, each text once, for packages of it."""

import json
import subprocess
import sys
from pathlib import Path

NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"]
# C that is built into a crate, by the folder below the crate.
INSIDE = {"libdbus-sys": ["vendor/dbus"]}


def linked():
    """Ids of the packages that the program is built of, without what only builds or tests it."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    tree = ["cargo", "tree", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}"]
    tree += [word for target in TARGETS for word in ("--target", target)]
    lines = subprocess.run(tree, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    # "name v1.2.3"; macros work in the compiler and are not linked.
    wanted = {tuple(line.split()[:2]) for line in lines if line and "(proc-macro)" not in line}
    for package in metadata["packages"]:
        if package["source"] and (package["name"], "v" + package["version"]) in wanted:
            yield package


def texts(package):
    folder = Path(package["manifest_path"]).parent
    for place in [folder] + [folder / inside for inside in INSIDE.get(package["name"], [])]:
        for path in sorted(place.iterdir()):
            if path.is_file() and path.name.upper().startswith(NAMES):
                yield path.read_text(encoding="utf-8", errors="replace").strip()


def main():
    users, without = {}, []
    for package in sorted(linked(), key=lambda package: (package["name"], package["version"])):
        title = f"{package['name']} {package['version']}"
        found = list(texts(package))
        for text in found:
            users.setdefault(text, []).append(title)
        if not found:
            authors = ", ".join(package["authors"]) or "its authors"
            without.append(f"{title}: {package['license']}, by {authors}")
    rule = "=" * 100
    print("mqtt-sn-gateway contains these libraries, under the licences below their names.")
    for text, titles in users.items():
        print(f"\n{rule}\n{', '.join(titles)}\n{rule}\n\n{text}")
    if without:
        print(f"\n{rule}\nThese come without the text of their licence\n{rule}\n")
        print("\n".join(without))
    if not users:
        sys.exit("no licences were found: are the sources of the libraries there?")


main()
