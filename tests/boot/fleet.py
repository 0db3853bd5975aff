"""The gallery as the tests find it: an account with this release deployed, two servers and a worker that booted from their launch
templates, a load balancer before the servers. It is made when it is first asked for, once for all tests."""

import atexit
import fcntl
import functools
import itertools
import os
import sys
import threading
import time

import balancer
import enclosure
import image
import releases
from cloud import Cloud
from guest import Guest, address_of
from visitors import PASSWORD, Crowd, Visitor

PERSON = "ann@example.org"
FIGURES: list[str] = []


def prepare() -> None:
    """What is made outside, where there is a network, and kept."""
    alone()
    image.make()
    releases.make()


def alone() -> None:
    """Waits until no other run is under way, and keeps others waiting until this process ends: each takes away file systems and releases
    that it has no use for, and times of both would be false."""
    image.CACHE.mkdir(parents=True, exist_ok=True)
    lock = os.open(image.CACHE / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("tests/boot: another run is under way; this one waits for its end", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)


def figure(text: str) -> None:
    """Notes a measurement; all are printed at the end."""
    FIGURES.append(text)


@atexit.register
def print_figures() -> None:
    """Prints all measurements."""
    if FIGURES:
        print("\nFigures:", *FIGURES, sep="\n  ", flush=True)


class Fleet:
    """Servers by name, the worker, and those who start and end them as Auto Scaling does."""

    def __init__(self):
        begun = time.monotonic()
        enclosure.furnish()
        self.numbers = itertools.count(11)
        self.cloud = Cloud(balancer.ADDRESS)
        figure(f"account, network and data made in {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        self.this, self.following = releases.folders()
        self.cloud.store_collector()
        self.cloud.release(self.this, "Collector=yes")
        figure(f"release deployed in {time.monotonic() - begun:.0f} s")
        self.balancer = balancer.Balancer({f"g{number}": address_of(number) for number in range(11, 40)})
        self.worker = self.boot(self.cloud.user_data("worker"), "worker")
        self.servers = self.launch(2)
        self.done(self.worker, "worker")
        self.site = self.cloud.web["SiteUrl"]

    def boot(self, user_data: str, role: str) -> Guest:
        """A machine that boots from these user data, in a place of its own."""
        name, credentials = self.cloud.machine(role)
        return Guest(next(self.numbers), user_data, self.cloud.public, name, credentials, self.cloud.account, {"Name": f"gallery-{role}"})

    def done(self, guest: Guest, role: str) -> None:
        """Waits for the end of a machine's user data."""
        guest.until_done()
        figure(f"{guest.name}, {role}: user data done {guest.done_after:.1f} s after switching on")

    def launch(self, count: int = 1) -> list[Guest]:
        """Servers of the newest launch template, side by side, which have signalled. As with Auto Scaling they are targets from the
        beginning, and whoever waits for their signals takes it that the load balancer sends them requests."""
        guests = [self.boot(self.cloud.user_data("web"), "web") for _ in range(count)]
        for guest in guests:
            self.balancer.register(guest.name)
        watches = [threading.Thread(target=guest.until_pinged) for guest in guests]
        for one in watches:
            one.start()
        for guest in guests:
            self.done(guest, "web")
        for one in watches:
            one.join()
        for guest in guests:
            figure(f"{guest.name}, web: /ping 200 {guest.pinged_after:.1f} s after switching on")
            if self.balancer.state(guest.name) != "UP":
                raise RuntimeError(f"{guest.name} has signalled, and the load balancer says it is {self.balancer.state(guest.name)}.")
        return guests

    @functools.cached_property
    def visitor(self) -> Visitor:
        """Somebody who has signed up at the site and confirmed by the pool's operator."""
        visitor = Visitor(self.site)
        status, _, answer = visitor.form("/signup", email=PERSON, password=PASSWORD, nickname="Ann")
        if status != 202:
            raise RuntimeError(f"signing up: {status} {answer!r}")
        self.cloud.client("cognito-idp").admin_confirm_sign_up(UserPoolId=self.cloud.data["UserPoolId"], Username=PERSON)
        status, _, answer = visitor.form("/login", email=PERSON, password=PASSWORD)
        if status != 204:
            raise RuntimeError(f"signing in: {status} {answer!r}")
        return visitor

    def crowd(self) -> Crowd:
        """Visitors who go on until they are stopped."""
        return Crowd(self.visitor)


@functools.cache
def made() -> Fleet | Exception:
    """The one fleet, or why there is none."""
    try:
        return Fleet()
    except Exception as error:  # It is raised where the fleet is asked for.
        return error


def fleet() -> Fleet:
    """The one fleet."""
    one = made()
    if isinstance(one, Exception):
        raise one
    return one
