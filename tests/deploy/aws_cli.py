"""The AWS CLI in a process that is started once: a call of it takes a tenth of the time that a new process takes to load it.

`AwsCli` makes a folder with a program `aws`, which hands its arguments, environment, folder and standard streams to the server; the
server forks, and the child is the AWS CLI of this Python environment, unchanged. Put the folder before others on PATH.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
from pathlib import Path

from ending import Temporary, with_this

CLIENT = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({place!r})
socket.send_fds(server, [b"."], [0, 1, 2])
asked = json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}).encode()
server.sendall(asked)
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.makefile("rb").read() or 255))
"""


# What calls of these services need is read before the server forks.
SERVICES = ("cloudformation", "s3", "sts", "lambda", "secretsmanager")
PARTS = ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")


class AwsCli:
    """The server, ended with the context; `folder` is what to put on PATH."""

    def __init__(self):
        self._temporary = Temporary("gallery-aws.")
        self.folder = self._temporary.path
        self._place = str(self.folder / "socket")
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "AwsCli":
        program = self.folder / "aws"
        program.write_text(CLIENT.format(python=sys.executable, place=self._place))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self._process = subprocess.Popen(with_this([sys.executable, __file__, self._place]))
        while not os.path.exists(self._place):
            if self._process.poll() is not None:
                raise RuntimeError("the server of the AWS CLI does not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_exception) -> None:
        self._process.kill()
        self._process.wait()
        self._temporary.remove()

    def calls(self) -> str:
        """The arguments of all calls so far."""
        return (self.folder / "calls").read_text()


def answer(connection: socket.socket, cli, calls: Path) -> None:
    """Becomes the AWS CLI for one call, and tells its exit status."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    asked = json.loads(connection.makefile("rb").read())
    with open(calls, "a") as told:
        told.write(json.dumps(asked["arguments"]) + "\n")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # Where the CLI's own data lies: it sets this when it is loaded.
    data = os.environ["AWS_DATA_PATH"]
    os.environ.clear()
    os.environ.update(asked["environment"], AWS_DATA_PATH=data)
    os.chdir(asked["folder"])
    try:
        status = cli.main(asked["arguments"])
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(status or 0).encode())


def serve(place: str) -> None:
    """Loads the AWS CLI, then forks for each call."""
    import awscli.clidriver

    cli = awscli.clidriver.create_clidriver()
    loader = cli.session.get_component("data_loader")
    for part in PARTS:
        for service in set(SERVICES) & set(loader.list_available_services(part)):
            loader.load_service_model(service, part)
    loader.load_data("endpoints")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place + ".new")
        listener.listen(16)
        os.rename(place + ".new", place)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                try:
                    answer(connection, cli, Path(place).with_name("calls"))
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(0)
            connection.close()


if __name__ == "__main__":
    serve(sys.argv[1])
