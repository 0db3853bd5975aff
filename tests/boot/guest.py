"""A machine that boots: systemd as its first process, cloud-init with EC2's data source, a metadata service of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import image
from authority import REGION, Authority
from enclosure import RESOLVER, RUN, SWITCH, background, in_group_of, run

METADATA = Path(__file__).with_name("metadata.py")
ZONES = ("a", "b")
PATIENCE = 240


def address_of(number: int) -> str:
    """The address of the machine with a number, in one of two subnets."""
    return f"10.1.{1 + number % 2}.{number}"


class Guest:
    """One machine, which boots when it is made. `number` is the last part of its address, and unique."""

    def __init__(self, number: int, user_data: str, trusted: Authority, role: str, credentials: Path, account: str, tags: dict[str, str]):
        self.name = f"g{number}"
        self.address = address_of(number)
        self.id = f"i-{number:017x}"
        self.folder = RUN / "guests" / self.name
        self.root = self.folder / "root"
        self.metadata_log = self.folder / "metadata.log"
        self._wire(number)
        self._furnish(trusted)
        (self.folder / "user-data").write_text(user_data)
        description = self.folder / "metadata.json"
        description.write_text(json.dumps({
            "id": self.id, "address": self.address, "mac": self._mac(number), "zone": f"{REGION}{ZONES[number % 2]}", "region": REGION,
            "account": account, "role": role, "tags": tags, "credentials": str(credentials), "user_data": str(self.folder / "user-data"),
        }))
        self.metadata = background(
            f"{self.name}-metadata", ["ip", "netns", "exec", self.name, sys.executable, METADATA, description, self.metadata_log])
        self.begun = time.monotonic()
        # Seconds from switching on.
        self.pinged_after = self.done_after = 0.0
        self.process = background(f"{self.name}-console", in_group_of(self.name, [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", f"--network-namespace-path=/run/netns/{self.name}",
            "--resolv-conf=off", "--register=no", "--keep-unit", "--console=read-only", "--kill-signal=SIGRTMIN+3", f"--machine={self.name}"]))

    @staticmethod
    def _mac(number: int) -> str:
        return f"02:00:00:00:00:{number:02x}"

    def _wire(self, number: int) -> None:
        """A network of its own: a port at the switch, and the metadata service's address, which no other machine can reach."""
        inside = ["ip", "-n", self.name]
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", f"p{number}", "type", "veth", "peer", "name", "eth0", "address", self._mac(number), "netns", self.name)
        run("ip", "link", "set", f"p{number}", "master", SWITCH, "up")
        run(*inside, "address", "add", "169.254.169.254/32", "dev", "lo")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"{self.address}/16", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")

    def _furnish(self, trusted: Authority) -> None:
        """A disk of its own over the image, on which the authority is one of the public ones. The journal is kept on it."""
        upper, work = self.folder / "upper", self.folder / "work"
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True)
        run("mount", "-t", "overlay", self.name, "-o", f"lowerdir={image.folder()},upperdir={upper},workdir={work}", self.root)
        with open(self.root / "etc/ssl/certs/ca-certificates.crt", "a") as bundle:
            bundle.write(trusted.file.read_text())
        (self.root / "var/log/journal").mkdir(exist_ok=True)
        resolver = self.root / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.write_text(f"nameserver {RESOLVER}\n")

    def leader(self) -> int:
        """The process that is the machine's first, as seen from outside."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} has not begun to boot:\n{self.console()[-2000:]}")

    def ask(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess:
        """Runs a command on the machine, as root."""
        return subprocess.run(
            ["nsenter", "--target", str(self.leader()), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", *command],
            input=text, stdin=None if text is not None else subprocess.DEVNULL, capture_output=True, text=True,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})

    def tell(self, *command: str, text: str | None = None) -> str:
        """What a command on the machine prints; an error when it fails."""
        done = self.ask(*command, text=text)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def shown(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.tell("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def read(self, path: str) -> str:
        """A file of the machine, empty when it is not there."""
        file = self.root / path.lstrip("/")
        return file.read_text(errors="replace") if file.exists() else ""

    def signals(self) -> list[list[str]]:
        """What CloudFormation was told, call by call."""
        return [line.rstrip("\x1f").split("\x1f") for line in self.read("/var/log/cfn-signal").splitlines()]

    def console(self) -> str:
        """What the machine has printed on its console."""
        return (RUN / "logs" / f"{self.name}-console").read_text(errors="replace")

    def requests(self) -> list[list[str]]:
        """The requests to the metadata service: method, path, status, `token` or `no-token`."""
        return [line.split() for line in self.metadata_log.read_text().splitlines()]

    def answers(self) -> bool:
        """Whether /ping says 200."""
        return subprocess.run(
            ["curl", "-sf", "--max-time", "2", "-o", "/dev/null", f"http://{self.address}:5000/ping"]).returncode == 0

    def wait(self, what: str, holds) -> float:
        """Waits until `holds()`, and tells for how many seconds the machine has been up."""
        while not holds():
            if self.process.poll() is not None or time.monotonic() > self.begun + PATIENCE:
                raise RuntimeError(f"{self.name}: {what} did not come about. {self.plight()}")
            time.sleep(0.1)
        return time.monotonic() - self.begun

    def plight(self) -> str:
        """The ends of its logs, for a failure's message."""
        journal = ""
        if self.process.poll() is None:
            journal = self.ask("journalctl", "--no-pager", "-n", "40", "-u", "photo-gallery", "-u", "cloud-final", "-o", "cat").stdout
        return f"The user data's log:\n{self.read('/var/log/user-data.log')[-3000:]}\nThe journal:\n{journal}\nThe console:\n{self.console()[-1500:]}"

    def troubles(self) -> str:
        """The last warnings and errors of the gallery on it, for a failure's message; also when it is switched off."""
        lines = subprocess.run(
            ["journalctl", f"--directory={self.folder / 'upper/var/log/journal'}", "--no-pager", "-u", "photo-gallery", "-o", "cat"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.splitlines()
        return "\n".join([f"{self.name}:", *[line for line in lines if '"WARN"' in line or '"ERROR"' in line][-30:]])

    def until_pinged(self) -> None:
        """Waits until the gallery answers."""
        self.pinged_after = self.wait("/ping 200", self.answers)

    def until_done(self) -> None:
        """Waits until cloud-init has ended."""
        self.done_after = self.wait("the end of cloud-init", self._is_done)

    def _is_done(self) -> bool:
        return "status: running" not in self.ask("cloud-init", "status").stdout and bool(self.signals())

    def silence_metadata(self, silent: bool) -> None:
        """Lets its metadata service take requests and answer none, or answer again."""
        self.metadata.send_signal(signal.SIGSTOP if silent else signal.SIGCONT)

    def cut_off(self) -> None:
        """Pulls its plug: every process ends at once."""
        os.kill(self.leader(), signal.SIGKILL)
        self.process.wait()
        self._away()

    def power_off(self) -> None:
        """Ends it in order, as a terminated instance ends."""
        self.process.terminate()
        self.process.wait(timeout=120)
        self._away()

    def _away(self) -> None:
        run("ip", "netns", "delete", self.name)
        self.metadata.kill()
        self.metadata.wait()
        run("umount", "--lazy", self.root)
