"""A machine that cannot become what it should says why and starts nothing; mended, it comes up."""

import re
import shlex
import unittest

import enclosure
from fleet import fleet, prepare

enclosure.enter(prepare)

SCRIPT = "/root/user-data"


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.gallery = fleet()
        cls.whole = cls.gallery.cloud.user_data("web")
        cls.guest = cls.gallery.boot(changed(cls.whole, "RELEASE_SHA256", "0" * 64), "web")
        cls.guest.until_done()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.cut_off()

    def again(self, user_data: str) -> tuple[int, list[str]]:
        """What other user data end with on the machine, and what CloudFormation is told."""
        self.guest.tell("tee", SCRIPT, text=user_data)
        code = self.guest.ask("bash", SCRIPT).returncode
        return code, self.guest.signals()[-1]

    def refused(self, user_data: str, sentence: str) -> None:
        """That they fail with a sentence, and that nothing runs."""
        code, words = self.again(user_data)
        self.assertEqual((code, words[:3]), (1, ["-e", "1", "-r"]))
        self.assertRegex(words[3], sentence)
        self.assertIn(words[3], self.guest.read("/var/log/user-data.log"))
        self.nothing_runs()

    def nothing_runs(self) -> None:
        self.assertNotEqual(self.guest.ask("systemctl", "is-active", "photo-gallery").stdout.strip(), "active")
        self.assertFalse(self.guest.answers())

    def test_1_a_release_that_is_not_the_one_meant_is_not_started(self) -> None:
        self.assertIn("status: error", self.guest.ask("cloud-init", "status").stdout)
        [words] = self.guest.signals()
        self.assertEqual(words[:3], ["-e", "1", "-r"])
        self.assertRegex(words[3], "has the SHA-256 [0-9a-f]{64}, and not 0{64}")
        self.nothing_runs()
        self.assertNotEqual(self.guest.ask("test", "-e", "/opt/photo-gallery/current").returncode, 0)

    def test_2_each_missing_variable_is_named(self) -> None:
        for name in ("ROLE", "STACK_NAME", "RESOURCE", "RELEASE", "RELEASE_SHA256", "RDS_CA", "RDS_CA_SHA256", "SETTINGS", "SECRETS"):
            with self.subTest(name):
                self.refused(changed(self.whole, name, ""), f"^The variable {name} is missing")
        self.refused(changed(self.whole, "ROLE", "database"), "^ROLE must be web or worker, not database")
        self.refused(changed(self.whole, "RELEASE", "s3://bucket"), "^RELEASE must be s3://")

    def test_3_what_cannot_be_fetched_is_named(self) -> None:
        bucket = self.gallery.cloud.data["ArtifactsBucket"]
        self.refused(changed(self.whole, "RELEASE", f"s3://{bucket}/releases/1.0.0-fffffff/none.tar.gz"), "1.0.0-fffffff/none.tar.gz cannot be fetched")

    def test_4_a_secret_that_cannot_be_read_keeps_the_program_from_starting(self) -> None:
        other = self.gallery.cloud.data["DatabaseMasterSecret"]
        self.refused(changed(self.whole, "SECRETS", f"DATABASE_PASSWORD={other}"), "does not start: .*The secret DATABASE_PASSWORD cannot be read")

    def test_5_authorities_that_are_not_those_meant_are_not_believed(self) -> None:
        self.guest.tell("rm", "-f", "/etc/photo-gallery/rds-ca.pem")
        self.refused(changed(self.whole, "RDS_CA_SHA256", "0" * 64), "rds-ca.pem has the SHA-256 [0-9a-f]{64}, and not 0{64}")
        self.assertEqual(self.guest.read("/etc/photo-gallery/rds-ca.pem"), "")

    def test_6_a_silent_metadata_service_is_named_and_nobody_is_told(self) -> None:
        told = len(self.guest.signals())
        self.guest.silence_metadata(True)
        self.addCleanup(self.guest.silence_metadata, False)
        self.guest.tell("tee", SCRIPT, text=self.whole)
        self.assertEqual(self.guest.ask("bash", SCRIPT).returncode, 1)
        self.assertTrue(self.guest.read("/var/log/user-data.log").rstrip().endswith("IMDSv2 tells no region."))
        self.assertEqual(len(self.guest.signals()), told)
        self.nothing_runs()

    def test_7_mended_user_data_bring_it_up_without_another_boot(self) -> None:
        code, words = self.again(self.whole)
        self.assertEqual((code, words[:2]), (0, ["-e", "0"]), self.guest.plight())
        self.assertTrue(self.guest.answers())

    def test_8_an_absent_collector_stops_nothing(self) -> None:
        self.guest.tell("rm", "/usr/local/lib/photo-gallery/aws-otel-collector")
        client, bucket = self.gallery.cloud.client("s3"), self.gallery.cloud.data["ArtifactsBucket"]
        client.delete_object(Bucket=bucket, Key="aws-otel-collector.tar.gz")
        self.addCleanup(self.gallery.cloud.store_collector)
        code, words = self.again(self.whole)
        self.assertEqual((code, words[:2]), (0, ["-e", "0"]), self.guest.plight())
        self.assertIn("The collector is not there: traces are not collected.", self.guest.read("/var/log/user-data.log"))


def changed(user_data: str, name: str, value: str) -> str:
    """User data in which a variable has another value."""
    text, count = re.subn(rf"^{name}=('[^']*'|\S*)$", lambda _: f"{name}={shlex.quote(value)}", user_data, count=1, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"the user data set no {name}")
    return text
