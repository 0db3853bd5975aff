"""Runs test modules of this folder, each in a process of its own and several at a time; without names all.

    python tests/deploy/modules.py [MODULE...]

What a module says is printed in one piece when it has ended. The exit status is 0 when every module ran tests and all passed.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ending import Temporary

FOLDER = Path(__file__).resolve().parent
# Each has an emulator or two beside it, which wait for the disk as often as they compute.
AT_ONCE = min(4, max(2, os.cpu_count() or 1))
# These take the longest, so they begin first; the order changes nothing else.
LONG = ("test_deploy", "test_buildspec", "test_image", "test_rights")


@dataclass
class Module:
    """A module that runs."""

    name: str
    said: Path
    process: subprocess.Popen
    began: float

    def end(self) -> bool:
        """Prints what it said; whether it ran tests and all passed."""
        said, seconds = self.said.read_text(errors="replace"), time.monotonic() - self.began
        print(f"-- {self.name}: {seconds:.0f} s, exit status {self.process.returncode}\n{said}", flush=True)
        return self.process.returncode == 0 and re.search(r"^Ran [1-9]\d* tests? in ", said, re.MULTILINE) is not None


def start(name: str, folder: Path) -> Module:
    """Starts a module, whose temporary files lie in the folder; it ends when this process does."""
    said, temporary = folder / f"{name}.log", folder / name
    temporary.mkdir()
    with open(said, "wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "unittest", "-v", name], cwd=FOLDER,
            env={**os.environ, "TMPDIR": str(temporary)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return Module(name, said, process, time.monotonic())


def run(names: list[str], folder: Path) -> bool:
    """Runs all of them; whether all passed."""
    waiting, running, passed = sorted(names, key=lambda name: (name not in LONG, name)), [], True
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            running.append(start(waiting.pop(0), folder))
        time.sleep(0.05)
        for module in [one for one in running if one.process.poll() is not None]:
            running.remove(module)
            passed &= module.end()
    return passed


def main() -> None:
    names = sys.argv[1:] or [file.stem for file in FOLDER.glob("test_*.py")]
    temporary = Temporary("gallery-tests.")
    try:
        sys.exit(0 if run(names, temporary.path) else 1)
    finally:
        temporary.remove()


if __name__ == "__main__":
    main()
