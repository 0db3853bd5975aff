"""Templates, scripts and the Dockerfile pass their linters, warnings and all."""

import re
import subprocess
import sys
import unittest
from pathlib import Path

from ministack import ROOT
from release import files

BIN = Path(sys.executable).parent
SHELLS = (b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh")


def shell_scripts() -> list[Path]:
    """All shell scripts of the project: by their name or by their first line."""
    return [file for file in map(ROOT.joinpath, files()) if is_text(file) and (file.suffix == ".sh" or first_line(file) in SHELLS)]


def is_text(file: Path) -> bool:
    """Whether it is a file of its own, which a deleted one and a link are not."""
    return file.is_file() and not file.is_symlink()


def conflicts(text: bytes) -> list[bytes]:
    """The lines that a merge leaves where it cannot decide."""
    return re.findall(rb"^(?:<{7}|>{7}|\|{7}) .*$|^={7}$", text, re.MULTILINE)


def first_line(file: Path) -> bytes:
    """A file's first line."""
    with open(file, "rb") as opened:
        return opened.readline().rstrip()


class Lint(unittest.TestCase):
    """What linters say of the deployment."""

    def clean(self, *command: "str | Path"):
        """Asserts that a linter finds nothing."""
        done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, ""))

    def finds(self, fault: str, text: str, *command: "str | Path"):
        """Asserts that a linter, which reads standard input, finds a fault."""
        done = subprocess.run([BIN / command[0], *command[1:]], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(fault, done.stdout)

    def test_templates(self):
        command = ["cfn-lint", "--non-zero-exit-code", "informational", "--include-checks", "W"]
        self.clean(*command, "--", *sorted(ROOT.glob("deploy/stacks/*.yaml")))
        self.finds("W2001", "Parameters:\n  Name:\n    Type: String\nResources:\n  Topic:\n    Type: AWS::SNS::Topic\n", *command, "-")

    def test_shell_scripts(self):
        scripts = shell_scripts()
        for known in ("deploy/deploy.sh", "userdata/bootstrap.sh", "script/test", "script/servers", ".ci/run"):
            self.assertIn(ROOT / known, scripts)
        command = ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", "--severity=style"]
        self.clean(*command, *scripts)
        self.finds("SC2086", "#!/bin/bash\necho $1\n", *command, "-")
        for script in scripts:
            with self.subTest(script=script.name):
                subprocess.run(["bash", "-n", script], check=True)

    def test_no_merge_is_left_undecided(self):
        self.assertEqual(len(conflicts(b"a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n")), 3)
        for name in files():
            if is_text(ROOT / name):
                with self.subTest(name):
                    self.assertEqual(conflicts((ROOT / name).read_bytes()), [])

    def test_the_dockerfile(self):
        self.clean("hadolint", ROOT / "deploy/Dockerfile")
        self.finds("DL3006", "FROM debian\n", "hadolint", "-")

    def test_programs_are_executable_and_what_they_source_is_not(self):
        for script in [*ROOT.glob("deploy/*.sh"), *ROOT.glob("script/*"), ROOT / ".ci/run"]:
            sourced = script.read_text().startswith("# shellcheck shell=bash")
            with self.subTest(script=script.name):
                self.assertEqual(bool(script.stat().st_mode & 0o111), not sourced)


if __name__ == "__main__":
    unittest.main()
