"""deploy/package.sh: what it packs, under which version, and what it refuses to pack."""

import hashlib
import re
import subprocess
import tarfile
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

from release import NUMBER, PROGRAM, checkout, git, package, small_program

LARGE = '#include <stdio.h>\nchar much[61000000] = {1};\nint main(void) { puts("photo-gallery %s"); return much[1]; }\n'
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


class Packaged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = Path(cls.temporary.name)
        cls.checkout = checkout(cls.folder)
        cls.program = small_program(cls.folder, PROGRAM % NUMBER)
        cls.authorities = cls.folder / "authorities.pem"
        cls.authorities.write_text(CERTIFICATE)

    def packed(self, *arguments, **variables) -> Path:
        """The folder that a run filled which succeeded."""
        output = Path(tempfile.mkdtemp(dir=self.folder))
        done = package(self.checkout, "--binary", self.program, "--output", output, *arguments, **variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.said = done.stdout
        return output

    def refusal(self, program: Path, *arguments) -> str:
        """The one sentence of a run that refused, and left nothing behind."""
        output = self.folder / "refused"
        done = package(self.checkout, "--binary", program, "--output", output, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertFalse(output.exists())
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def version(self) -> str:
        done = package(self.checkout, "--print-version")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_the_archive_holds_the_program_and_its_licences(self):
        output = self.packed()
        version = f"{NUMBER}-{git(self.checkout, 'rev-parse', '--short=7', 'HEAD')}"
        archive = output / f"photo-gallery-{version}-x86_64.tar.gz"
        self.assertEqual(
            sorted(file.name for file in output.iterdir()), sorted([archive.name, f"{archive.name}.sha256", "lambda-x86_64.zip"]))
        with tarfile.open(archive) as members:
            told = [(one.name, one.mode, one.uid, one.gid, one.mtime) for one in members]
            date = int(git(self.checkout, "log", "-1", "--format=%ct"))
            self.assertEqual(told, [
                ("LICENSES", 0o644, 0, 0, date), ("NOTICE", 0o644, 0, 0, date), ("photo-gallery", 0o755, 0, 0, date)])
            self.assertEqual(members.extractfile("photo-gallery").read(), self.program.read_bytes())
            self.assertEqual(members.extractfile("NOTICE").read(), (self.checkout / "NOTICE").read_bytes())
            licences = members.extractfile("LICENSES").read().decode()
        self.assertIn(f"photo-gallery {NUMBER}: MIT OR Apache-2.0\n", licences)
        for crate in ("actix-web", "sqlx-mysql", "ring", "rten"):
            self.assertRegex(licences, rf"(?m)^{crate} [0-9.]+: ")
        self.assertNotRegex(licences, r"(?m)^(proptest|reqwest|syn|cc) [0-9.]+: ")
        self.assertIn("Copyright 2015-2025 Brian Smith", licences)

    def test_the_checksum_is_one_that_sha256sum_checks(self):
        output = self.packed()
        [told] = output.glob("*.sha256")
        checked = subprocess.run(["sha256sum", "--strict", "-c", told.name], cwd=output, capture_output=True, text=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout), (0, f"{told.stem}: OK\n"))

    def test_lambdas_zip_holds_an_executable_bootstrap_and_the_databases_authorities_when_given(self):
        for arguments, names in (([], ["bootstrap"]), (["--rds-ca", self.authorities], ["bootstrap", "rds-ca.pem"])):
            with zipfile.ZipFile(self.packed(*arguments) / "lambda-x86_64.zip") as members:
                self.assertEqual(members.namelist(), names)
                self.assertEqual(members.getinfo("bootstrap").external_attr >> 16, 0o100755)
                self.assertEqual(members.read("bootstrap"), self.program.read_bytes())
                if arguments:
                    self.assertEqual(members.getinfo("rds-ca.pem").external_attr >> 16, 0o100644)
                    self.assertEqual(members.read("rds-ca.pem").decode(), CERTIFICATE)

    def test_the_same_tree_makes_the_same_bytes(self):
        def hashes(output):
            return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in output.iterdir()}

        first = hashes(self.packed("--rds-ca", self.authorities))
        time.sleep(2)  # a zip's times have steps of two seconds
        self.assertEqual(first, hashes(self.packed("--rds-ca", self.authorities, TZ="Asia/Tokyo", LC_ALL="C")))
        changed = hashes(self.packed("--rds-ca", self.authorities, SOURCE_DATE_EPOCH="1700000000"))
        self.assertFalse(set(first.values()) & set(changed.values()), "the date stands in the archives")

    def test_the_version_tells_what_is_not_committed(self):
        committed = self.version()
        self.assertRegex(committed, rf"^{re.escape(NUMBER)}-[0-9a-f]{{7}}$")
        changed, index = self.checkout / "NOTICE", (self.checkout / ".git/index").read_bytes()
        before = changed.read_text()
        seen = set()
        try:
            for text in ("one change", "another change"):
                changed.write_text(before + text)
                self.assertRegex(self.version(), rf"^{re.escape(committed)}-dirty-[0-9a-f]{{7}}$")
                seen.add(self.version())
            changed.write_text(before)
            (self.checkout / "src/new.rs").write_text("")
            seen.add(self.version())
        finally:
            changed.write_text(before)
            (self.checkout / "src/new.rs").unlink(missing_ok=True)
        self.assertEqual(len(seen), 3, "each state has its own version")
        self.assertEqual(self.version(), committed)
        self.assertEqual((self.checkout / ".git/index").read_bytes(), index, "looking changes nothing")

    def test_sources_without_git_need_the_commits_name(self):
        bare = self.folder / "bare"
        bare.mkdir()
        files = ["deploy", "Cargo.toml"]
        subprocess.run(["cp", "-r", *(self.checkout / name for name in files), bare], check=True)
        without = package(bare, "--print-version", GIT_CEILING_DIRECTORIES=str(self.folder))
        self.assertEqual(without.returncode, 1)
        self.assertIn("is no git checkout, so the version is not known: name the commit with --commit", without.stderr)
        named = package(bare, "--commit", "0123456789abcdef0123456789abcdef01234567", "--print-version")
        self.assertEqual(named.stdout, f"{NUMBER}-0123456\n")
        wrong = package(bare, "--commit", "main", "--print-version")
        self.assertIn('--commit wants a commit\'s name like a1b2c3d, not "main"', wrong.stderr)

    def test_it_tells_what_it_made(self):
        self.packed()
        self.assertRegex(
            self.said, r"^photo-gallery \S+ for x86_64 with glibc 2\.34 or newer; the newest symbol it needs is GLIBC_2\.\d+\n")
        self.assertRegex(self.said, r"(?m)^ +\d+\.\d MB  lambda-x86_64\.zip$")

    def test_a_program_that_needs_a_newer_c_library_is_refused(self):
        mutant = small_program(self.folder, "#include <time.h>\n" + PROGRAM.replace("return", "timespec_get(0, 1); return") % NUMBER)
        newest = r"needs GLIBC_2\.\d+ \(\w+( \w+){0,2}\): it would not start on glibc 2\.%s$"
        self.assertRegex(self.refusal(mutant, "--glibc", "2.15"), newest % 15)
        self.assertRegex(self.refusal(self.program, "--glibc", "2.2"), newest % 2)

    def test_a_program_that_needs_another_library_is_refused(self):
        mutant = small_program(self.folder, PROGRAM % NUMBER, "-Wl,--no-as-needed", "-l:libresolv.so.2")
        self.assertIn("needs libresolv.so.2, which not every machine has", self.refusal(mutant))

    def test_a_program_that_the_image_could_not_run_is_told_of(self):
        shared = small_program(self.folder, PROGRAM % NUMBER, "-Wl,--no-as-needed", "-l:libgcc_s.so.1")
        done = package(self.checkout, "--binary", shared, "--output", self.folder / "shared")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("needs libgcc_s.so.1, which Amazon Linux and Lambda have and the Dockerfile's image has not", done.stderr)

    def test_a_program_that_is_too_large_is_told_of(self):
        large = small_program(self.folder, LARGE % NUMBER)
        done = package(self.checkout, "--binary", large, "--output", self.folder / "large")
        self.assertRegex(done.stderr, r"the program is 6\d MB large, more than 60: an image of it would be larger than 80 MB")
        self.assertEqual(package(self.checkout, "--binary", self.program, "--output", self.folder / "small").stderr, "")

    def test_a_program_of_another_version_is_refused(self):
        mutant = small_program(self.folder, PROGRAM % "9.9")
        self.assertIn(f'says it is "photo-gallery 9.9", and Cargo.toml says {NUMBER}', self.refusal(mutant))

    def test_a_program_that_does_not_run_is_refused(self):
        mutant = small_program(self.folder, '#include <stdio.h>\nint main(void) { puts("no."); return 3; }\n')
        self.assertIn("does not run here: no.", self.refusal(mutant))

    def test_what_is_no_program_is_refused(self):
        script = self.folder / "script"
        script.write_text("#!/bin/sh\n")
        self.assertIn("is no x86_64 program", self.refusal(script))
        self.assertIn("there is no file", self.refusal(self.folder / "nothing"))

    def test_authorities_that_are_none_are_refused(self):
        refusal = self.refusal(self.program, "--rds-ca", self.program)
        self.assertIn("is no PEM file with certificates: take https://truststore.pki.rds.amazonaws.com/", refusal)

    def test_a_wrong_option_is_answered_with_the_options(self):
        done = package(self.checkout, "--glibz", "2.34")
        self.assertEqual(done.returncode, 2)
        self.assertIn('there is no option "--glibz"', done.stderr)
        for option in ("--output DIR", "--glibc VERSION", "--rds-ca FILE", "--binary FILE", "--commit", "--print-version"):
            self.assertIn(option, done.stderr)
        self.assertIn("--output wants a value", package(self.checkout, "--output").stderr)

    def test_help_tells_the_options(self):
        done = package(self.checkout, "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        taken = set(re.findall(r"--[a-z-]+(?=[ |)])", re.search(r"while \[ \$# -gt 0 \].*?esac", (self.checkout / "deploy/package.sh").read_text(), re.S)[0]))
        self.assertLessEqual({"--output", "--glibc", "--rds-ca", "--binary", "--commit", "--print-version"}, taken)
        for option in taken - {"--help"}:
            self.assertRegex(done.stdout, rf"(?m)^    {option} ")


if __name__ == "__main__":
    unittest.main()
