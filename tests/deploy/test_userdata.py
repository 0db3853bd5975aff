"""The user data of the launch templates is a stub of variables and userdata/bootstrap.sh, byte for byte, and fits; how the script gets there."""

import base64
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from cfnlint.decode import cfn_yaml

from deployment import BOOTSTRAP, NAME, Deployment
from ministack import ROOT, STACKS, MiniStack

# What EC2 takes of user data, in bytes, before it is encoded.
LARGEST = 16_384
# Longer than most: a site, its certificate and all that can be set, as many proxies as may be, names of 21 letters and identifiers as long
# as AWS makes them.
LONG_NAME = "a-gallery-of-21-signs"
LONGEST = {
    "SiteUrl": "https://the-photographs-of-a-whole-family.photographs.example.org",
    "CertificateArn": "arn:aws:acm:ap-southeast-2:000000000000:certificate/01234567-89ab-cdef-0123-456789abcdef",
    "Release": "10.20.30-0123abc-dirty-0123456789ab", "Workers": "fleet",
    "MoreProxies": ",".join(f"130.176.{n}.0/24" for n in range(100, 194))[:1200],
    "PhotosDomain": "d111111abcdef8.cloudfront.net", "PhotosKeyPairId": "K2JCJMDEHXQW5F",
    "PhotosPrivateKeySecret": "arn:aws:secretsmanager:ap-southeast-2:000000000000:secret:a-gallery-of-21-signs-photos-private-key-AbCdEf",
}


class UserData(unittest.TestCase):
    """What EC2 hands to machines."""

    @classmethod
    def setUpClass(cls):
        cls.aws = MiniStack().start()
        cls.addClassCleanup(cls.aws.stop)
        cls.deployment = Deployment(cls.aws, {})
        cls.deployment.deploy("data", SiteUrl=LONGEST["SiteUrl"])
        cls.deployment.deploy("web", **LONGEST)

    def scripts(self) -> dict[str, str]:
        """The decoded user data of all launch templates by their groups."""
        groups, templates = self.aws.client("autoscaling"), self.aws.client("ec2")
        found = {}
        for output in ("WebGroup", "WorkerGroup"):
            name = self.deployment.outputs[output]
            [group] = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
            [version] = templates.describe_launch_template_versions(
                LaunchTemplateId=group["LaunchTemplate"]["LaunchTemplateId"], Versions=[group["LaunchTemplate"]["Version"]],
            )["LaunchTemplateVersions"]
            found[output] = base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()
        return found

    def test_both_templates_have_the_script_byte_for_byte_below_their_stub(self):
        for group, script in self.scripts().items():
            self.assertTrue(script.endswith(BOOTSTRAP.read_text()), group)
            self.assertTrue(script.startswith("#!/bin/bash\n"), group)

    def test_the_stub_sets_variables_and_does_nothing_else(self):
        for group, script in self.scripts().items():
            stub = script.removesuffix(BOOTSTRAP.read_text())
            without = re.sub(r"^[A-Z][A-Z0-9_]*=('[^']*'|[A-Za-z0-9]*)$", "", stub.removeprefix("#!/bin/bash\n"), flags=re.MULTILINE)
            self.assertEqual(without.strip(), "", group)

    def test_it_fits_into_what_ec2_takes_even_when_all_is_set_and_names_are_long(self):
        longer = len(LONG_NAME) - len(NAME)
        for group, script in self.scripts().items():
            # Region and name stand in most lines of the stub, and this deployment's are shorter.
            lines = script.removesuffix(BOOTSTRAP.read_text()).count("\n")
            most = len(script.encode()) + lines * (longer + len("ap-southeast-2") - len("us-east-1"))
            self.assertLessEqual(most, LARGEST, group)

    def test_the_script_and_the_stub_are_bash(self):
        for group, script in self.scripts().items():
            checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
            self.assertEqual((checked.returncode, checked.stderr), (0, ""), group)


class Embedding(unittest.TestCase):
    """deploy/embed-userdata.sh on a copy of the tree."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.script, self.template = self.root / "userdata" / "bootstrap.sh", self.root / "deploy" / "stacks" / "web.yaml"
        for file in (BOOTSTRAP, STACKS / "web.yaml", ROOT / "deploy" / "embed-userdata.sh"):
            copy = self.root / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)

    def embed(self) -> subprocess.CompletedProcess:
        return subprocess.run([self.root / "deploy" / "embed-userdata.sh"], capture_output=True, text=True)

    def embedded(self) -> str:
        return cfn_yaml.load(str(self.template))["Mappings"]["Script"]["Bootstrap"]["Text"]

    def test_the_template_holds_the_script_as_it_is(self):
        self.assertEqual(self.embedded(), BOOTSTRAP.read_text())
        done = self.embed()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("already", done.stdout)
        self.assertEqual(self.template.read_bytes(), (STACKS / "web.yaml").read_bytes())

    def test_any_text_comes_through_as_it_is_and_nothing_else_changes(self):
        strange = (
            "#!/bin/bash\n\n\ttab; echo \"${HOME}\" '${!x}' \\\\ \\n\n  # two blanks, and two at the end  \n   \n"
            "key: |\n---\nResources:\n&x *y %z é\n")
        before = self.template.read_text().replace(self.indented(BOOTSTRAP.read_text()), "")
        self.script.write_text(strange)
        done = self.embed()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("is written into", done.stdout)
        self.assertEqual(self.embedded(), strange)
        self.assertEqual(self.template.read_text().replace(self.indented(strange), ""), before)
        self.assertIn("already", self.embed().stdout)

    def indented(self, text: str) -> str:
        return "".join(f"        {line}\n" if line else "\n" for line in text.splitlines())

    def test_a_text_that_would_not_come_through_is_refused_and_nothing_is_written(self):
        before = self.template.read_bytes()
        for text, why in (
            ("echo hello\n", "must begin with #!"), ("#!/bin/bash", "must end with a newline"),
            ("#!/bin/bash\n\n", "must not end with an empty line"),
            ("#!/bin/bash\r\necho\n", "carriage returns"),
        ):
            self.script.write_bytes(text.encode())
            done = self.embed()
            self.assertEqual(done.returncode, 1, text)
            self.assertIn(why, done.stderr)
            self.assertEqual(self.template.read_bytes(), before)

    def test_a_template_without_the_place_is_refused(self):
        self.template.write_text(self.template.read_text().replace("      Text: |\n", "      Words: |\n"))
        done = self.embed()
        self.assertEqual(done.returncode, 1)
        self.assertIn("no single line", done.stderr)


if __name__ == "__main__":
    unittest.main()
