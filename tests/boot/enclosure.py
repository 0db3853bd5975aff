"""The place in which machines boot: name spaces of the kernel's own, whose end leaves nothing behind.

`enter()` begins this process anew in name spaces of mounts, processes and networks. There /run is memory, and the network is a switch of
its own that nothing of this machine is connected to: so an address like the metadata service's is only what we give it. When the process
ends, in whichever way, the kernel ends all others in there and takes mounts, links and files away.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

INSIDE = "GALLERY_BOOT_INSIDE"
RUN = Path("/run/gallery-boot")
SWITCH = "vpc"
# The niceness of what stands for AWS.
PRIORITY = -15
RESOLVER = "10.1.0.2"
# Processes that end with the inside, kept here because Python warns of each that it forgets while it runs.
BACKGROUND: list[subprocess.Popen] = []
PROGRAMS = {
    "unshare": "util-linux", "setpriv": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "mount": "mount", "openssl": "openssl", "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container", "dnsmasq": "dnsmasq-base", "haproxy": "haproxy", "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core", "mariadb": "mariadb-client-core",
}


def require() -> None:
    """Ends this process with a sentence when it could not do its work."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if os.geteuid() != 0:
        sys.exit("tests/boot: booting machines needs root: run it as root")
    if missing:
        sys.exit(f"tests/boot: install these first: apt-get install --no-install-recommends {' '.join(missing)}")


def enter(prepare) -> None:
    """Goes on inside, after `prepare()` has been called outside, where there is a network; outside, ends as the inside does."""
    if os.environ.get(INSIDE):
        return
    require()
    prepare()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GALLERY_", "MINISTACK_"))}
    sys.stdout.flush()
    sys.stderr.flush()
    # ^C goes to the inside too, which ends in order; and when this process is killed, so is all of the inside.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inside = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
         "env", "--default-signal=INT", sys.executable, *sys.orig_argv[1:]],
        env={**kept, INSIDE: f"gallery-boot-{os.getpid()}"})
    signal.signal(signal.SIGTERM, lambda *_: inside.kill())
    code = inside.wait()
    remove_groups()
    os._exit(code if code >= 0 else 128 - code)


def groups() -> list[Path]:
    """The control groups, one in each hierarchy that systemd uses, below which machines have theirs."""
    places = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        places[controllers] = place.strip("/")
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options = line.split()[:4]
        if kind == "cgroup2":
            found.append(Path(folder) / places.get("", ""))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            found.append(Path(folder) / places["name=systemd"])
    return found


def remove_groups() -> None:
    """Removes the control groups of this run's machines, and of runs that were killed; those in use stay."""
    for above in groups():
        for group in above.glob("gallery-boot-*"):
            for folder, _, _ in os.walk(group, topdown=False):
                for _ in range(20):
                    try:
                        os.rmdir(folder)
                    except OSError:
                        time.sleep(0.05 if group.name == f"gallery-boot-{os.getpid()}" else 0)
                    else:
                        break


def in_group_of(name: str, command: list) -> list:
    """A command that runs in control groups of its own."""
    join = 'for group in $1; do mkdir -p "$group" && echo $$ >"$group/cgroup.procs" || exit; done; shift; exec "$@"'
    own = " ".join(str(above / os.environ[INSIDE] / name) for above in groups())
    return ["sh", "-c", join, "sh", own, *command]


def run(*command: str, **options) -> str:
    """What a command prints; an error with all that it said when it fails."""
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def furnish() -> None:
    """Lays the switch, with this process at it, and makes /run and the resolver its own. To be called once, inside."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("tests/boot: told to end"))
    run("mount", "-t", "tmpfs", "-o", "mode=755", "gallery-boot", "/run")
    (RUN / "logs").mkdir(parents=True)
    Path("/run/netns").mkdir()
    run("mount", "-t", "overlay", "overlay", "-o", over("/var"), "/var")
    resolver = RUN / "resolv.conf"
    resolver.write_text(f"nameserver {RESOLVER}\n")
    run("mount", "--bind", resolver, Path("/etc/resolv.conf").resolve() if Path("/etc/resolv.conf").exists() else "/etc/resolv.conf")
    run("ip", "link", "set", "lo", "up")
    # With an address of its own: else it has the lowest of its ports', and whenever that port's machine comes or goes, all others send
    # to an address that nobody has any more, for as long as they remember it.
    run("ip", "link", "add", SWITCH, "address", "02:00:00:00:01:00", "type", "bridge")
    run("ip", "link", "set", SWITCH, "up")
    owns(RESOLVER)


def over(folder: str) -> str:
    """The options of a mount that lays memory over a folder, so that nothing is written into it."""
    upper, work = RUN / "over" / folder.strip("/"), RUN / "over" / f"{folder.strip('/')}.work"
    for one in (upper, work):
        one.mkdir(parents=True)
    return f"lowerdir={folder},upperdir={upper},workdir={work}"


def owns(address: str) -> None:
    """Gives this side of the switch an address."""
    run("ip", "address", "add", f"{address}/16", "dev", SWITCH)


def background(name: str, command: list, **options) -> subprocess.Popen:
    """Starts a process that logs to logs/NAME and ends with the inside."""
    with open(RUN / "logs" / name, "ab") as log:
        process = subprocess.Popen([str(one) for one in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    BACKGROUND.append(process)
    return process


def service(name: str, command: list, **options) -> subprocess.Popen:
    """Starts what stands for a part of AWS: it goes before all else, as AWS is no slower because this machine is busy. The kernel shares
    time out among sessions first, so that a niceness counts for little but in a session of its own, which has one too."""
    process = background(name, command, start_new_session=True, **options)
    os.setpriority(os.PRIO_PROCESS, process.pid, PRIORITY)
    session = Path(f"/proc/{process.pid}/autogroup")
    if session.exists():
        session.write_text(str(PRIORITY))
    return process
