#!/usr/bin/env python3
"""Prints the licences of the program and of every crate that is compiled into it, each text once.

The licences of most crates ask that their text goes along with the binary. Asks Cargo which crates those are.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

TARGET = "x86_64-unknown-linux-gnu"
TEXT = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)([-._].*)?", re.IGNORECASE)
RULE = "=" * 100


def compiled_in(metadata):
    """The packages that the program is linked with, itself first: no tools of the build, and no tests."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    found = [metadata["resolve"]["root"]]
    for identity in found:
        for dependency in nodes[identity]["deps"]:
            linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            is_macro = any("proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"])
            if linked and not is_macro and dependency["pkg"] not in found:
                found.append(dependency["pkg"])
    root, *others = (packages[identity] for identity in found)
    return [root, *sorted(others, key=lambda package: (package["name"], package["version"]))]


def texts_of(package):
    """What a package's folder says about its licence, by file name."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and TEXT.fullmatch(file.name))
    return [file.read_text(encoding="utf-8", errors="replace").strip() for file in files]


def main():
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={TARGET}"]
    asked = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if asked.returncode:
        sys.exit("licenses.py: cargo metadata failed: see above")
    packages = compiled_in(json.loads(asked.stdout))
    owners = {}
    print("This program is made of the following, under these licences; their texts follow.\n")
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {package['license'] or 'see below'}")
        for text in texts_of(package):
            owners.setdefault(text, []).append(name)
    for text, names in owners.items():
        print(f"\n{RULE}\n{', '.join(names)}\n{RULE}\n\n{text}")


if __name__ == "__main__":
    main()
