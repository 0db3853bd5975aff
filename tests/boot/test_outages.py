"""What visitors notice when a server is restarted, when its program is killed, and when a whole machine is gone."""

import time
import unittest

import enclosure
from balancer import FALL, INTERVAL
from fleet import fleet, figure, prepare

enclosure.enter(prepare)


class Outages(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.gallery = fleet()
        cls.crowd = cls.gallery.crowd()
        time.sleep(3)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.crowd.stop()

    def setUp(self) -> None:
        for guest in self.gallery.servers:
            self.gallery.balancer.until(guest.name, "UP")
        calm = self.crowd.during(lambda: time.sleep(3))
        self.assertEqual(calm.failed, [], "visitors fail before anything happens")
        self.busy(calm)

    def busy(self, tally) -> None:
        """That there were visitors enough for an event to be noticed."""
        self.assertGreater(tally.requests, 10 * tally.seconds, tally)
        self.assertGreater(tally.uploads, 0)
        self.assertGreater(tally.assets, tally.requests / 4)

    def allowed(self, tally) -> float:
        """What one of two servers may cost that dies unannounced: half of the requests until the checks notice, and what was in hand."""
        return tally.rate() / 2 * (INTERVAL * FALL + 1) + len(self.crowd.threads)

    def test_a_restart_fails_nobody(self) -> None:
        server = self.gallery.servers[0]
        before = server.shown("photo-gallery", "MainPID")
        tally = self.crowd.during(lambda: (server.tell("systemctl", "restart", "photo-gallery"), self.gallery.balancer.until(server.name, "UP")))
        figure(f"restart of a server's program: {tally}")
        self.assertNotEqual(server.shown("photo-gallery", "MainPID"), before)
        self.busy(tally)
        self.assertEqual(tally.failed, [], "\n".join(guest.troubles() for guest in self.gallery.servers))

    def test_a_killed_program_fails_few(self) -> None:
        server = self.gallery.servers[0]

        def kill() -> None:
            server.tell("kill", "-9", server.shown("photo-gallery", "MainPID")["MainPID"])
            time.sleep(8)

        tally = self.crowd.during(kill)
        figure(f"kill -9 of a server's program: {tally}, allowed {self.allowed(tally):.0f}")
        self.busy(tally)
        self.assertLessEqual(len(tally.failed), self.allowed(tally), tally.failed[:5])

    def test_a_machine_that_is_gone_fails_few_and_is_replaced(self) -> None:
        server = self.gallery.servers.pop()

        def cut_off() -> None:
            server.cut_off()
            time.sleep(10)

        tally = self.crowd.during(cut_off)
        figure(f"a whole machine gone: {tally}, allowed {self.allowed(tally):.0f}")
        self.busy(tally)
        self.assertLessEqual(len(tally.failed), self.allowed(tally), tally.failed[:5])
        self.gallery.balancer.deregister(server.name, 0)
        replaced = self.crowd.during(lambda: self.gallery.servers.extend(self.gallery.launch()))
        figure(f"another machine in its place: {replaced}")
        self.busy(replaced)
        self.assertEqual(replaced.failed, [], "\n".join(guest.troubles() for guest in self.gallery.servers))
