"""A checkout to make releases from, and programs to put into them."""

import io
import os
import re
import subprocess
import tempfile
import zipfile
from pathlib import Path

from ministack import ROOT

NUMBER = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
# A program in the gallery's place, which says a version.
PROGRAM = '#include <stdio.h>\nint main(void) { puts("photo-gallery %s"); return 0; }\n'
# Not committed, by the project's own .gitignore, and not to leave this machine: what a gallery in the checkout has.
SECRETS = ["data/secret", "data/photos/original", "target/debug/photo-gallery"]


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a checkout, as a committer of its own, whatever this user's settings are."""
    command = ["git", "-c", "safe.directory=*", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false", *arguments]
    settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def files() -> list[str]:
    """The paths of the project's files, committed or not, in the checkout that the tests lie in, whoever owns it."""
    return [name for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0") if name]


def checkout(folder: Path) -> Path:
    """A checkout of the project as it is now, with everything committed, and with a gallery's data beside the sources."""
    made = folder / "checkout"
    made.mkdir()
    there = "\0".join(name for name in files() if os.path.lexists(ROOT / name))
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=os.fsencode(there), capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=made, input=packed, check=True)
    git(made, "init", "-q")
    git(made, "add", "--all")
    git(made, "commit", "-q", "-m", "The project as it is")
    for name in SECRETS:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("not to leave this machine")
    return made


def stripped_program(folder: Path) -> Path:
    """The gallery's program without what only debuggers read."""
    program = os.environ.get("TEST_PROGRAM") or str(ROOT / "target/debug/photo-gallery")
    if not os.path.exists(program):
        raise FileNotFoundError(f"there is no {program}: script/test builds it, or TEST_PROGRAM names another")
    made = folder / "photo-gallery"
    subprocess.run(["strip", "--strip-all", "-o", made, program], check=True)
    return made


def small_program(folder: Path, source: str, *options: str) -> Path:
    """A program of a few lines of C in the gallery's place."""
    made = Path(tempfile.mkdtemp(dir=folder)) / "photo-gallery"
    subprocess.run(["cc", "-x", "c", "-", "-o", made, *options], input=source.encode(), check=True)
    return made


def package(folder: Path, *arguments: "str | Path", **variables: str) -> subprocess.CompletedProcess:
    """Runs a checkout's deploy/package.sh."""
    return subprocess.run(
        [folder / "deploy/package.sh", *arguments], env=os.environ | variables, capture_output=True, text=True, check=False)


def lambda_archive(program: bytes, authorities: bytes) -> bytes:
    """What Lambda gets: the program under the name that it wants, which it may execute, and the authorities of RDS beside it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        archive.writestr(bootstrap, program)
        archive.writestr("rds-ca.pem", authorities)
    return packed.getvalue()
