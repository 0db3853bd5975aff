"""What a test starts ends with its process, however that ends: by itself, by ^C, SIGTERM or SIGKILL."""

import signal
import subprocess
import tempfile
from pathlib import Path

# SIGTERM ends the tests as ^C does, which unittest does not take for the failure of one test among others.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# Waits for the end of its standard input, which is the end of who holds the other end of it. What dies then may still write.
REMOVE = 'cat; for _ in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 0.2; done'


def with_this(command: list[str]) -> list[str]:
    """The command, killed when the thread that starts it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


class Temporary:
    """A folder, gone at the end of this process or with `remove`."""

    def __init__(self, prefix: str, as_root=lambda command: command):
        """`as_root` makes the command that removes the folder one that may remove root's files."""
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._remover = subprocess.Popen(
            as_root(["sh", "-c", REMOVE, "sh", str(self.path)]), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)

    def remove(self) -> None:
        """Removes the folder, once."""
        self._remover.stdin.close()
        self._remover.wait()
