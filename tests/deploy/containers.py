"""Images and containers without a daemon: Buildah with a storage of its own, and the base that images are built on here.

Buildah's containers need root, which a user who is not root gets from sudo.
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ending import Temporary, with_this
from ministack import CACHE

BASE = "localhost/base:1"
# What gcr.io/distroless/base-nossl is made of, and libgcc-s1, which a program has need of that was not made by deploy/package.sh.
PACKAGES = ["base-files", "ca-certificates", "libc6", "libgcc-s1", "netbase", "tzdata"]


def as_root(command: list[str], **variables: str) -> list[str]:
    """The command as root runs it, with these variables set."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    sudo = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise PermissionError("containers need root: install sudo, or run this as root")
        sudo = ["sudo", "--non-interactive"]
    return [*sudo, "env", *settings, *command]


def base_archive() -> Path:
    """A root file system with the C library, certificates and time zones, fetched once: Debian packages, unpacked and not installed."""
    made = CACHE / "image-base.tar"
    if made.exists():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        debs, root = Path(folder, "debs"), Path(folder, "root")
        debs.mkdir()
        fetch = ["apt-get", "-qq", "download", *PACKAGES]
        if subprocess.run(fetch, cwd=debs, capture_output=True, check=False).returncode:
            subprocess.run(as_root(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"]), check=True)
            subprocess.run(fetch, cwd=debs, check=True)
        for package in sorted(debs.iterdir()):
            subprocess.run(["dpkg", "-x", package, root], check=True)
        certificates = sorted(root.glob("usr/share/ca-certificates/mozilla/*.crt"))
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(file.read_text() for file in certificates))
        part = made.with_suffix(f".{os.getpid()}")
        subprocess.run(["tar", "-c", "--owner=0", "--group=0", "-C", root, "-f", part, "."], check=True)
        part.rename(made)
    return made


class Containers:
    """A storage for images and containers, gone with the context."""

    def __enter__(self) -> "Containers":
        if not shutil.which("buildah"):
            raise FileNotFoundError("buildah is not installed: run script/servers install")
        self.temporary = Temporary("gallery-containers.", as_root)
        self.folder = self.temporary.path
        storage = self.folder / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{self.folder}/run"\ngraphroot = "{self.folder}/images"\n')
        (self.folder / "auth.json").write_text("{}")
        self.settings = {
            "CONTAINERS_STORAGE_CONF": str(storage), "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot",
            "REGISTRY_AUTH_FILE": str(self.folder / "auth.json"), "TMPDIR": str(self.folder),
        }
        try:
            container = self("from", "scratch")
            self("add", "--quiet", container, str(base_archive()), "/")
            self("commit", "--quiet", "--rm", container, BASE)
        except Exception:
            self.temporary.remove()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        self("rm", "--all")
        self.temporary.remove()

    def command(self, *arguments: str) -> list[str]:
        """The command that runs Buildah on this storage."""
        return as_root(with_this(["buildah", *arguments]), **self.settings)

    def __call__(self, *arguments: str) -> str:
        """Runs Buildah and returns what it prints."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"buildah {shlex.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def build(self, context: Path, image: str, *arguments: str) -> None:
        """Builds an image; nothing is fetched from anywhere."""
        self("bud", "--quiet", "--pull-never", "--format", "docker", *arguments, "--tag", image, str(context))

    def size(self, image: str) -> int:
        """The bytes of an image, unpacked."""
        sizes = {name: one["size"] for one in json.loads(self("images", "--json")) for name in one.get("names") or []}
        return self._bytes(sizes[image])

    @staticmethod
    def _bytes(told: str) -> int:
        number, unit = told.split()
        return int(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])

    def shims(self) -> dict[str, str]:
        """The variables under which `docker` is Buildah on this storage."""
        folder = Path(__file__).with_name("shims")
        return {"PATH": f"{folder}:{os.environ['PATH']}", "BUILDAH": shlex.join(self.command())}
