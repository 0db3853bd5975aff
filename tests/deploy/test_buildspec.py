"""deploy/buildspec.yml: its own commands, run as CodeBuild runs them, publish a release and an image to MiniStack."""

import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml
from containers import BASE, Containers
from deployment import Role
from ministack import MiniStack
from release import NUMBER, PROGRAM, checkout, git, small_program

PHASES = ["install", "pre_build", "build", "post_build"]
AUTHORITIES = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def script(specification: dict, phases: list[str]) -> str:
    """One script for some phases: a command that fails ends its phase, and the build where the phase says ABORT."""
    lines = []
    for name in phases:
        phase = specification["phases"].get(name, {})
        assert phase.get("on-failure") == "ABORT", f"after a failure in {name} CodeBuild would go on"
        for command in phase["commands"]:
            lines += [f"echo '== {name}'", command, "CODE=$?", f"(exit $CODE) || {{ echo 'failed in {name}' >&2; exit $CODE; }}"]
    return "\n".join(lines)


# What the stack `data` exports to `pipeline`.
EXPORTS = """
Resources:
  Bucket: {Type: "AWS::S3::Bucket"}
Outputs:
  Bucket: {Value: !Ref Bucket, Export: {Name: built-ArtifactsBucket}}
"""


class Built(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        cls.checkout = checkout(cls.folder)
        cls.specification = yaml.safe_load((cls.checkout / "deploy/buildspec.yml").read_text())
        cls.program = small_program(cls.folder, PROGRAM % NUMBER)
        cls.version = f"{NUMBER}-{git(cls.checkout, 'rev-parse', '--short=7', 'HEAD')}"
        cls.aws = MiniStack.shared()
        cls.storage, cls.registry = cls.aws.client("s3"), cls.aws.client("ecr")
        cls.containers = cls.enterClassContext(Containers())

        (cls.folder / "exports.yaml").write_text(EXPORTS)
        cls.bucket = cls.aws.deploy("built-exports", cls.folder / "exports.yaml")["Bucket"]
        cls.storage.put_object(Bucket=cls.bucket, Key="rds-ca.pem", Body=AUTHORITIES.encode())
        cls.aws.deploy("built-pipeline", "pipeline", Name="built", Repository="https://github.com/example/photo-gallery", Tests="none")
        cls.project = cls.aws.client("codebuild").batch_get_projects(names=["built"])["projects"][0]
        cls.role = Role(cls.aws, cls.project["serviceRole"].split("/")[-1])

    def tearDown(self):
        for key in set(self.objects()) - {"rds-ca.pem"}:
            self.storage.delete_object(Bucket=self.bucket, Key=key)
        for image in self.registry.describe_images(repositoryName="built")["imageDetails"]:
            self.registry.batch_delete_image(repositoryName="built", imageIds=[{"imageDigest": image["imageDigest"]}])

    def build(self, folder: Path | None = None, phases=PHASES, **variables: str) -> subprocess.CompletedProcess:
        """Runs the specification's commands in a checkout with what the project and CodeBuild give them, as the project's role."""
        project = {one["name"]: one["value"] for one in self.project["environment"]["environmentVariables"]}
        registry = self.aws.endpoint.removeprefix("http://")
        given = {
            **self.aws.environment(*self.role.key), **self.containers.shims(),
            **{name: str(value) for name, value in self.specification["env"]["variables"].items()}, **project,
            "REPOSITORY_URI": f"{registry}/{project['REPOSITORY_URI'].split('/', 1)[1]}",
            "CODEBUILD_RESOLVED_SOURCE_VERSION": "0123456789abcdef0123456789abcdef01234567",
            "BINARY": str(self.program), "BASE": BASE, **variables,
        }
        given["PATH"] = f"{Path(sys.executable).parent}:{given['PATH']}"
        self.assertEqual(self.specification["env"]["shell"], "bash")
        return subprocess.run(
            ["bash", "-c", script(self.specification, phases)], cwd=folder or self.checkout, env=given, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False)

    def tags(self) -> list[str]:
        images = self.registry.describe_images(repositoryName="built")["imageDetails"]
        return [tag for image in images for tag in image["imageTags"]]

    def objects(self) -> dict[str, str]:
        """The keys in the artifacts bucket, each with the hash of its object."""
        keys = [one["Key"] for one in self.storage.list_objects_v2(Bucket=self.bucket)["Contents"]]
        return {key: hashlib.sha256(self.storage.get_object(Bucket=self.bucket, Key=key)["Body"].read()).hexdigest() for key in keys}

    def nothing_is_published(self):
        self.assertEqual((list(self.objects()), self.tags()), (["rds-ca.pem"], []))

    def test_a_commit_becomes_a_release_and_an_image_and_once_only(self):
        done = self.build()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        archive, release = f"photo-gallery-{self.version}-x86_64.tar.gz", f"releases/{self.version}"
        objects = self.objects()
        self.assertEqual(
            set(objects), {"rds-ca.pem", f"{release}/{archive}", f"{release}/{archive}.sha256", f"{release}/lambda-x86_64.zip"})
        told = self.storage.get_object(Bucket=self.bucket, Key=f"{release}/{archive}.sha256")["Body"].read().decode()
        self.assertEqual(told, f"{objects[f'{release}/{archive}']}  {archive}\n")
        for key in set(objects) - {"rds-ca.pem"}:
            stored = self.storage.head_object(Bucket=self.bucket, Key=key)["Metadata"]
            self.assertEqual(stored, {"sha256": objects[key]}, "as deploy.sh stores and asks for it")
        self.assertEqual(self.tags(), [self.version])
        self.assertIn(f"photo-gallery {NUMBER}\n", done.stdout, "the image's program has run")

        output = self.checkout / self.specification["artifacts"]["base-directory"]
        for pattern in self.specification["artifacts"]["files"]:
            self.assertTrue(fnmatch.filter(os.listdir(output), pattern), f"{pattern} is among the artifacts")
        detail = json.loads((output / "imageDetail.json").read_text())
        self.assertRegex(detail["ImageURI"], rf"/built:{self.version}$")

        again = self.build()
        self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
        self.assertIn("is in the repository already", again.stdout)
        self.assertIn("is in the bucket already", again.stdout)
        self.assertEqual((self.objects(), self.tags()), (objects, [self.version]))

        names = {"VERSION": self.version, "ARCHIVE": archive, "RELEASE": release, "IMAGE": detail["ImageURI"]}
        lost = self.build(phases=["post_build"], ARTIFACTS_BUCKET="no-such-bucket", **names)
        self.assertTrue(lost.stderr.endswith("failed in post_build\n"), lost.stderr)

    def test_sources_without_git_are_known_by_codebuilds_name_of_the_commit(self):
        bare = self.folder / "sources"
        (bare / "deploy").mkdir(parents=True)
        for name in ("Cargo.toml", "deploy/package.sh"):
            shutil.copy(self.checkout / name, bare / name)
        done = self.build(bare, phases=["install", "pre_build"], GIT_CEILING_DIRECTORIES=str(self.folder))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"built:{NUMBER}-0123456 and releases/{NUMBER}-0123456\n", done.stdout)

    def test_tests_that_fail_let_nothing_be_published(self):
        done = self.build(TESTS="some")
        self.assertIn('TESTS is all, quick or none, not "some"\nfailed in pre_build\n', done.stderr)
        self.nothing_is_published()

    def test_the_tests_are_those_that_the_variable_names(self):
        before = (self.checkout / "script/test").read_text()
        try:
            (self.checkout / "script/test").write_text('#!/bin/sh\necho "asked for: $*."\nexit 1\n')
            for tests, asked in (("all", "asked for: ."), ("quick", "asked for: --quick.")):
                done = self.build(TESTS=tests)
                self.assertEqual(done.returncode, 1)
                self.assertIn(asked, done.stdout)
                self.assertTrue(done.stderr.endswith("failed in pre_build\n"), done.stderr)
        finally:
            (self.checkout / "script/test").write_text(before)
        self.nothing_is_published()

    def test_a_build_that_fails_publishes_nothing(self):
        done = self.build(BINARY="/nonexistent")
        self.assertIn("there is no file /nonexistent\nfailed in build\n", done.stderr)
        self.nothing_is_published()


if __name__ == "__main__":
    unittest.main()
