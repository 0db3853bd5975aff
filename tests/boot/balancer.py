"""HAProxy in the place of the Application Load Balancer: its checks, its idle time, and no second try of any request."""

import socket
import time

from enclosure import RUN, owns, service

ADDRESS = "10.1.1.200"
INTERVAL, RISE, FALL = 2, 2, 2
# A target that its checks fail gets no new request, and those it has go on, as with an Application Load Balancer: so there is no
# `on-marked-down shutdown-sessions`, which would cut off what a server that drains is still answering. (To close the connections of
# unhealthy targets is an option of Network Load Balancers.) What a machine had that is gone ends with the idle time, as there.
CONFIG = """\
global
    stats socket {socket} mode 600 level admin
    maxconn 2000
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option forwardfor
frontend site
    bind {address}:80
    default_backend targets
backend targets
    balance roundrobin
    http-reuse safe
    option httpchk
    http-check send meth GET uri /ping hdr User-Agent ELB-HealthChecker/2.0
    http-check expect status 200
    default-server check inter {interval}s rise {rise} fall {fall}
    timeout check 5s
"""


class Balancer:
    """Knows all addresses that machines may come to have; none is a target until it is registered."""

    def __init__(self, targets: dict[str, str]):
        owns(ADDRESS)
        self.socket = RUN / "haproxy.sock"
        config = RUN / "haproxy.cfg"
        lines = [f"    server {name} {address}:5000 disabled source {ADDRESS}" for name, address in targets.items()]
        config.write_text(
            CONFIG.format(socket=self.socket, address=ADDRESS, interval=INTERVAL, rise=RISE, fall=FALL) + "\n".join(lines) + "\n")
        self.process = service("haproxy", ["haproxy", "-db", "-f", config])
        until = time.monotonic() + 10
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"HAProxy does not start:\n{(RUN / 'logs/haproxy').read_text()}")
            time.sleep(0.05)

    def command(self, text: str) -> str:
        """The answer to a command of HAProxy's socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def state(self, name: str) -> str:
        """How a target stands: UP, DOWN, DRAIN, MAINT, or one of these on its way to another."""
        names, *rows = (line.split(",") for line in self.command("show stat").lstrip("# ").splitlines() if line)
        for row in rows:
            one = dict(zip(names, row))
            if one["svname"] == name:
                return one["status"]
        raise KeyError(name)

    def register(self, name: str) -> None:
        """Makes a machine a target, which gets requests when its checks have passed."""
        self.command(f"set server targets/{name} state ready; set server targets/{name} health down")

    def until(self, name: str, state: str, patience: float = 60) -> None:
        """Waits until a target stands so."""
        until = time.monotonic() + patience
        while self.state(name) != state:
            if time.monotonic() > until:
                raise RuntimeError(f"The target {name} is {self.state(name)} and not {state}.")
            time.sleep(0.1)

    def deregister(self, name: str, delay: float) -> None:
        """Sends a machine nothing new, and forgets it when the delay is over."""
        self.command(f"set server targets/{name} state drain")
        time.sleep(delay)
        self.command(f"set server targets/{name} state maint")
