"""The machines' file system: Debian 12 with systemd, cloud-init and the AWS CLI, which is as near to Amazon Linux 2023 as can be had."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo-gallery" / "boot"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring")
PACKAGES = [
    "systemd", "systemd-sysv", "dbus", "cloud-init", "curl", "ca-certificates", "python3", "iproute2", "netbase", "procps", "passwd",
    "awscli", "tar", "gzip",
]
# Files of the image that differ from what the packages bring. A container has no DMI by which cloud-init knows EC2, so it is told; there
# is no network to configure, since the switch's port is there already; and nobody signs in at a console.
CLOUD = """\
datasource_list: [Ec2]
datasource: {Ec2: {max_wait: 60, timeout: 10, strict_id: false}}
network: {config: disabled}
locale: false
ssh_deletekeys: false
ssh_genkeytypes: []
disable_root: true
"""
MASKED = [
    "console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "systemd-networkd-wait-online.service",
]
# Amazon's images have it, and what it was called with is what the tests look at.
SIGNAL = """\
#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done | tr '\\n' '\\037' >>/var/log/cfn-signal
echo >>/var/log/cfn-signal
"""


def folder() -> Path:
    """Where the file system lies, which is named by what it is made of."""
    made_of = repr([PACKAGES, CLOUD, MASKED, SIGNAL]).encode()
    return CACHE / f"root-{hashlib.sha256(made_of).hexdigest()[:12]}"


def make() -> None:
    """Makes the file system unless it is there."""
    root, part = folder(), folder().with_suffix(".part")
    if root.exists():
        return
    # On other distributions than Debian its keys are a package of their own.
    if not list(KEYS.parent.glob(f"{KEYS.name}.*")):
        sys.exit("tests/boot: Debian's keys are missing: apt-get install --no-install-recommends debian-archive-keyring")
    print(f"tests/boot: making the machines' file system in {root}", file=sys.stderr)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob("root-*"):
        shutil.rmtree(old)
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(part)],
        capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"tests/boot: mmdebstrap could not make the machines' file system:\n{done.stderr[-3000:]}")
    shape(part)
    part.rename(root)


def shape(root: Path) -> None:
    """Makes the packages' file system an image that boots as an instance of EC2."""
    (root / "etc/cloud/cloud.cfg.d/99-ec2.cfg").write_text(CLOUD)
    source = root / "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2.py"
    text = source.read_text()
    known = "def identify_platform():\n"
    if known not in text:
        sys.exit(f"tests/boot: cloud-init is another than this was made for: {source} has no identify_platform()")
    source.write_text(text.replace(known, known + "    return CloudNames.AWS\n"))
    (root / "etc/machine-id").write_text("")
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    signal = root / "opt/aws/bin/cfn-signal"
    signal.parent.mkdir(parents=True)
    signal.write_text(SIGNAL)
    signal.chmod(0o755)
