#!/usr/bin/env python3
"""Free loopback ports, from below the range out of which systems give ports to clients.

As a program it prints as many as it is asked for: tests/deploy/ports.py COUNT
"""

import random
import socket
import sys


def free_ports(count: int) -> list[int]:
    """As many free ports."""
    found = []
    for port in random.sample(range(20000, 32000), 2000):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"of 2000 loopback ports between 20000 and 32000 not {count} are free")


def free_port() -> int:
    """A free port."""
    return free_ports(1)[0]


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1])))
