"""The release of this checkout, and the one after it: with another style sheet, one more table, one more column, and a higher number.

Both are made by deploy/package.sh and kept by what they are made of, since each takes minutes to build.
"""

import hashlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from image import CACHE

ROOT = Path(__file__).resolve().parents[2]
# What a release is made of.
SOURCES = [
    "Cargo.toml", "Cargo.lock", "build.rs", "src", "static", "templates", "migrations", "models", "LICENSE-APACHE", "LICENSE-MIT", "NOTICE",
    "deploy/package.sh", "deploy/licenses.py", "benches",
]
KEPT = 4


def sources() -> list[str]:
    """The files of this checkout that a release is made of, committed or not."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SOURCES],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


def content() -> str:
    """A hash of all of them, and of how the next release is made of them."""
    digest = hashlib.sha256(inspect.getsource(advance).encode())
    for name in sources():
        digest.update(name.encode() + b"\0" + hashlib.sha256((ROOT / name).read_bytes()).digest())
    return digest.hexdigest()[:12]


def folders() -> tuple[Path, Path]:
    """Where this checkout's release lies and the next one."""
    kept = CACHE / "releases" / content()
    return kept / "this", kept / "next"


def make() -> None:
    """Makes both releases unless they are there."""
    this, following = folders()
    if this.exists() and following.exists():
        os.utime(this.parent)
        return
    this.parent.mkdir(parents=True, exist_ok=True)
    old = sorted(this.parent.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-KEPT]
    for folder in old:
        shutil.rmtree(folder)
    for made, shape in ((this, lambda _: None), (following, advance)):
        if not made.exists():
            package(made, shape)


def package(made: Path, shape) -> None:
    """Packages a copy of this checkout after `shape(copy)`; always in the same folder, so that all but the gallery itself is built once."""
    print(f"tests/boot: building the release in {made}; this takes some minutes", file=sys.stderr)
    copy = CACHE / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    for name in sources():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    shape(copy)
    part = made.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    done = subprocess.run(
        [copy / "deploy/package.sh", "--output", part, "--commit", made.parent.name], capture_output=True, text=True)
    shutil.rmtree(copy)
    if done.returncode != 0:
        sys.exit(f"tests/boot: deploy/package.sh ended with {done.returncode}:\n{done.stdout}{done.stderr[-3000:]}")
    part.rename(made)


def replaced(file: Path, pattern: str, by: str) -> None:
    """Replaces the one place of a file that matches."""
    text, count = re.subn(pattern, by, file.read_text(), count=1, flags=re.MULTILINE)
    if count != 1:
        sys.exit(f"tests/boot: {file} has no place like {pattern}")
    file.write_text(text)


def advance(copy: Path) -> None:
    """Makes a checkout the next release's."""
    for file in ("Cargo.toml", "Cargo.lock"):
        replaced(copy / file, r'(name = "photo-gallery"\nversion = ")[^"]+', r"\g<1>99.0.0")
    with open(copy / "static/gallery.css", "a") as sheet:
        sheet.write("\n:root { --release: next }\n")
    steps = len(list((copy / "migrations").glob("*.sql")))
    step = f"{steps + 1:04}_next.sql"
    (copy / "migrations" / step).write_text(
        "CREATE TABLE next_release (id BIGINT NOT NULL PRIMARY KEY);\nALTER TABLE photo ADD COLUMN next_release BIGINT NOT NULL DEFAULT 99;\n")
    last = sorted((copy / "migrations").glob("*.sql"))[-2].name
    replaced(copy / "src/catalog/schema.rs", rf'^(.*include_str!\("../../migrations/{last}"\)\),)$',
             rf'\g<1>\n        ("next release", include_str!("../../migrations/{step}")),')
