"""deploy/Dockerfile: what the image holds, how it runs, and how large it is. The repository it goes to is MiniStack's."""

import json
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from containers import BASE, Containers, as_root
from ending import with_this
from ministack import MiniStack
from release import checkout, package, stripped_program

IMAGE = "localhost/photo-gallery:test"
LARGEST = 80_000_000
# What deploy/package.sh builds is no larger than this; the program of the tests, made for debugging, is.
LARGEST_PROGRAM = 60_000_000
PING = "import urllib.request as url; said = url.urlopen('http://127.0.0.1:5000/ping'); print(said.status, said.read().decode())"


def alone(command: list[str]) -> list[str]:
    """The command, with a network of its own, and all that it starts killed when it ends."""
    return as_root(with_this([
        "unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]))


class Running:
    """A container with a network of its own, in which what the image's configuration says is run."""

    def __init__(self, containers: Containers, image: str):
        self.containers = containers
        self.container = containers("from", "--pull-never", image)
        self.configuration = json.loads(containers("inspect", "--type", "image", image))["Docker"]["config"]
        self.log = containers.folder / f"{self.container}.log"

    def __enter__(self) -> "Running":
        run = self.command(*self.configuration["Entrypoint"], *self.configuration["Cmd"])
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                alone(run), stdout=log, stderr=log)
        self.program = self._program()
        return self

    def command(self, *arguments: str) -> list[str]:
        """The command that runs another in the container."""
        return self.containers.command("run", self.container, "--", *arguments)

    def _descendants(self) -> list[int]:
        parents = {}
        for folder in Path("/proc").iterdir():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (ValueError, OSError):
                continue
        found = [self.process.pid]
        for process in found:
            found += [child for child, parent in parents.items() if parent == process]
        return found

    def _program(self) -> int:
        """The process that runs the image's program."""
        entrypoint = self.configuration["Entrypoint"]
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for process in self._descendants():
                try:
                    if Path(f"/proc/{process}/cmdline").read_text().split("\0")[: len(entrypoint)] == entrypoint:
                        return process
                except OSError:
                    continue
            time.sleep(0.05)
        raise RuntimeError(f"the container does not start: {self.log.read_text()}")

    def inside(self, *command: str) -> subprocess.CompletedProcess:
        """Runs a command in the container's network."""
        return subprocess.run(
            as_root(["nsenter", f"--net=/proc/{self.program}/ns/net", *command]), capture_output=True, text=True, check=False)

    def health(self) -> subprocess.CompletedProcess:
        """Runs the image's health check once, in the container."""
        kind, *check = self.configuration["Healthcheck"]["Test"]
        assert kind == "CMD", "the image has no shell"
        return self.inside(*self.command(*check))

    def until_healthy(self) -> None:
        until = time.monotonic() + 30
        while (seen := self.health()).returncode:
            if time.monotonic() > until:
                raise RuntimeError(f"never healthy: {seen.stdout}{seen.stderr}\n{self.log.read_text()}")
            time.sleep(0.2)

    def stop(self) -> int:
        """Tells the program to stop as Docker would, and returns how it ended."""
        told = signal.Signals[self.configuration["StopSignal"]] if "StopSignal" in self.configuration else signal.SIGTERM
        subprocess.run(as_root(["kill", f"-{told.value}", str(self.program)]), check=True)
        return self.process.wait(timeout=60)

    def __exit__(self, *_exception) -> None:
        if self.process.poll() is None:
            subprocess.run(as_root(["kill", "-KILL", str(self.program)]), check=False)
            self.process.wait(timeout=60)
        self.containers("rm", self.container)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        cls.checkout = checkout(folder)
        cls.program = stripped_program(folder)
        made = package(cls.checkout, "--binary", cls.program)
        assert made.returncode == 0, made.stderr
        [cls.archive] = (cls.checkout / "target/dist").glob("*.tar.gz")
        cls.containers = cls.enterClassContext(Containers())
        cls.containers.build(
            cls.checkout, IMAGE, "--file", str(cls.checkout / "deploy/Dockerfile"), "--build-arg", f"BASE={BASE}",
            "--build-arg", "RELEASE=archive", "--build-arg", f"ARCHIVE={cls.archive.relative_to(cls.checkout)}",
            "--build-arg", "VERSION=1.2.3-test")
        cls.configuration = json.loads(cls.containers("inspect", "--type", "image", IMAGE))["Docker"]["config"]

    def files(self, image: str) -> dict[str, str]:
        """The paths in an image, each with its mode and owner."""
        container = self.containers("from", "--pull-never", image)
        try:
            root = self.containers("mount", container)
            listed = subprocess.run(
                as_root(["find", root, "-mindepth", "1", "-printf", r"%P\t%M %U:%G\n"]), capture_output=True, text=True, check=True)
            return dict(line.split("\t") for line in listed.stdout.splitlines())
        finally:
            self.containers("rm", container)

    def test_it_adds_the_program_its_licences_and_a_folder_for_data_to_its_base_and_nothing_else(self):
        base, image = self.files(BASE), self.files(IMAGE)
        added = {path: how for path, how in image.items() if path not in base}
        self.assertEqual(added, {
            "data": "drwxr-xr-x 10001:10001",
            "usr/local": "drwxr-xr-x 0:0",
            "usr/local/bin": "drwxr-xr-x 0:0",
            "usr/local/bin/photo-gallery": "-rwxr-xr-x 0:0",
            "usr/share/doc/photo-gallery": "drwxr-xr-x 0:0",
            "usr/share/doc/photo-gallery/LICENSES": "-rw-r--r-- 0:0",
            "usr/share/doc/photo-gallery/NOTICE": "-rw-r--r-- 0:0",
        })
        self.assertEqual({path for path in base if path not in image}, set())

    def test_its_configuration_says_how_it_runs(self):
        wanted = {
            "User": "10001:10001", "ExposedPorts": {"5000/tcp": {}}, "Volumes": {"/data": {}}, "WorkingDir": "/data",
            "Entrypoint": ["/usr/local/bin/photo-gallery"], "Cmd": ["serve"], "StopSignal": "SIGTERM",
        }
        self.assertEqual({name: self.configuration.get(name) for name in wanted}, wanted)
        labels = self.configuration["Labels"]
        self.assertEqual(labels["org.opencontainers.image.version"], "1.2.3-test")
        self.assertEqual(labels["org.opencontainers.image.licenses"], "MIT OR Apache-2.0")
        names = {setting.split("=")[0] for setting in self.configuration["Env"]}
        self.assertEqual(names - {"PATH"}, {"GALLERY__DATA", "GALLERY__SERVER__BIND"}, "no secret is set")

    def test_it_is_small(self):
        others = self.containers.size(IMAGE) - self.program.stat().st_size
        self.assertLess(others, LARGEST - LARGEST_PROGRAM)

    def test_it_serves_as_nobody_in_particular_is_healthy_and_stops_in_order(self):
        with Running(self.containers, IMAGE) as running:
            running.until_healthy()
            self.assertRegex(running.inside("python3", "-c", PING).stdout, "^200 .*pong!")
            status = Path(f"/proc/{running.program}/status").read_text()
            self.assertEqual(re.search(r"Uid:\s+(\d+)\s+(\d+)\s+(\d+)", status).groups(), ("10001",) * 3)
            self.assertEqual(running.stop(), 0, running.log.read_text())
            self.assertIn("http://0.0.0.0:5000", running.log.read_text())

    def test_its_health_check_fails_where_nobody_serves(self):
        kind, *check = self.configuration["Healthcheck"]["Test"]
        self.assertEqual(kind, "CMD")
        container = self.containers("from", "--pull-never", IMAGE)
        try:
            done = subprocess.run(
                alone(self.containers.command("run", container, "--", *check)), capture_output=True, text=True, check=False)
            # Buildah may lose what a short program says, and not how it ends: 2 would be a command that is not known.
            self.assertEqual(done.returncode, 1, done.stderr)
        finally:
            self.containers("rm", container)

    def test_what_is_built_from_is_the_sources_and_never_a_gallerys_own_data(self):
        file = self.checkout.parent / "Everything"
        file.write_text("FROM scratch\nCOPY . /context/\n")
        self.containers.build(self.checkout, "localhost/context:1", "--file", str(file))
        files = [Path(path).relative_to("context") for path in self.files("localhost/context:1") if path != "context"]
        self.assertEqual(
            {path.parts[0] for path in files},
            {"Cargo.lock", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "benches", "build.rs", "deploy", "migrations",
             "models", "src", "static", "target", "templates"})
        self.assertEqual(
            {str(path) for path in files if path.parts[0] in ("deploy", "target")},
            {"deploy", "deploy/licenses.py", "deploy/package.sh", "target", "target/dist",
             str(self.archive.relative_to(self.checkout))})
        sources = self.checkout.parent / "context"
        for path in files:
            if (self.checkout / path).is_file():
                (sources / path).parent.mkdir(parents=True, exist_ok=True)
                (sources / path).symlink_to(self.checkout / path)
        done = subprocess.run(
            ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"],
            cwd=sources, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"Cargo finds all it builds from: {done.stderr}")

    def test_a_repository_of_immutable_tags_takes_it_once(self):
        aws = MiniStack.shared()
        registry = aws.client("ecr")
        registry.create_repository(repositoryName="photo-gallery-image", imageTagMutability="IMMUTABLE")
        there = f"{aws.endpoint.removeprefix('http://')}/photo-gallery-image:1.2.3-test"
        self.containers("push", "--quiet", "--tls-verify=false", "--creds", "AWS:test", IMAGE, there)
        [found] = registry.describe_images(repositoryName="photo-gallery-image")["imageDetails"]
        self.assertEqual(found["imageTags"], ["1.2.3-test"])
        container = self.containers("from", "scratch")
        self.containers("config", "--label", "other=yes", container)
        self.containers("commit", "--quiet", "--rm", "--format", "docker", container, "localhost/other:1")
        with self.assertRaisesRegex(RuntimeError, "immutable"):
            self.containers("push", "--quiet", "--tls-verify=false", "--creds", "AWS:test", "localhost/other:1", there)
        [still] = registry.describe_images(repositoryName="photo-gallery-image")["imageDetails"]
        self.assertEqual(still["imageDigest"], found["imageDigest"])


if __name__ == "__main__":
    unittest.main()
