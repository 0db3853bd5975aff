"""A worker machine finishes what servers take in."""

import json
import time
import unittest

import enclosure
from fleet import fleet, figure, prepare

enclosure.enter(prepare)


class Worker(unittest.TestCase):
    def test_it_labels_a_photo_that_a_server_was_given(self) -> None:
        gallery = fleet()
        self.assertIn("GALLERY__WORKER__BESIDE_SERVER=false", gallery.cloud.user_data("web"))
        visitor = gallery.visitor
        begun = time.monotonic()
        photo = visitor.upload()
        told = photo
        while told["state"] != "labelled" and time.monotonic() < begun + 90:
            time.sleep(0.5)
            status, _, answer = visitor.ask("GET", f"/photos/{photo['id']}", Accept="application/json")
            self.assertEqual(status, 200)
            told = json.loads(answer)
        figure(f"a photo has its labels {time.monotonic() - begun:.1f} s after its upload began")
        self.assertEqual(told["state"], "labelled", told)
        self.assertGreater(len(told["labels"]), 0)
