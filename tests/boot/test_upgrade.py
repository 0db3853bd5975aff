"""The next release comes as Auto Scaling brings it: machine by machine, while visitors go on."""

import re
import threading
import time
import unittest

import enclosure
from fleet import fleet, figure, prepare

enclosure.enter(prepare)

# Seconds for which a target that is taken away gets nothing new before its machine ends, as the target group has it.
DEREGISTRATION = 30


class Upgrade(unittest.TestCase):
    def setUp(self) -> None:
        self.gallery = fleet()
        self.old = list(self.gallery.servers)

    def roll(self) -> None:
        """Replaces each server: another boots and becomes a target, one is drained and switched off."""
        ends = []
        for old in self.old:
            self.gallery.servers.extend(self.gallery.launch())
            self.gallery.servers.remove(old)
            self.gallery.balancer.deregister(old.name, DEREGISTRATION)
            ends.append(threading.Thread(target=old.power_off))
            ends[-1].start()
        for end in ends:
            end.join()

    def nobody_failed(self, tally) -> None:
        """That visitors were there, and all got what they wanted."""
        self.assertEqual(tally.failed, [], "\n".join(guest.troubles() for guest in {*self.old, *self.gallery.servers}))
        self.assertGreater(tally.requests, 10 * tally.seconds, tally)
        self.assertGreater(tally.uploads, 10)
        self.assertGreater(tally.assets, 300)

    def test_nobody_notices_the_next_release(self) -> None:
        crowd = self.gallery.crowd()
        try:
            time.sleep(3)
            before = set(crowd.seen)
            deployed = crowd.during(lambda: self.gallery.cloud.release(self.gallery.following))
            figure(f"the next release deployed, its migration with it: {deployed}")
            self.nobody_failed(deployed)
            self.assertEqual(self.gallery.cloud.query("SHOW TABLES IN Photos LIKE 'next_release'").strip(), "next_release")
            # The last photo came through a server that does not know the column.
            self.assertEqual(self.gallery.cloud.query(
                "SELECT next_release FROM Photos.photo ORDER BY created_datetime DESC LIMIT 1").strip(), "99")
            tally = crowd.during(self.roll)
            figure(f"rolling upgrade of two servers: {tally}")
            self.nobody_failed(tally)
        finally:
            crowd.stop()
        sheets = {path for path in crowd.seen - before if re.match(r"/static/gallery\.[0-9a-f]+\.css$", path)}
        self.assertEqual(len(sheets), 1, "visitors saw the next release's style sheet")
        for guest in self.gallery.servers:
            self.assertIn("99.0.0", guest.tell("/opt/photo-gallery/current/photo-gallery", "--version"))
