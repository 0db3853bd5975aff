"""A MariaDB server of a test's own that stands in for RDS: on a loopback address of its own at MySQL's port, TLS demanded.

Its certificate is for that address, and `authority` is the file of who signed it, as RDS's bundle is for RDS.
"""

import ipaddress
import os
import random
import socket
import subprocess
import time

import pymysql
from ending import Temporary, with_this

PATH = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
PORT = 3306


def free_address() -> str:
    """A loopback address of which MySQL's port is free."""
    for _ in range(50):
        address = str(ipaddress.IPv4Address(0x7F100000 + random.randrange(1, 0xEFFFE)))
        with socket.socket() as listener:
            try:
                listener.bind((address, PORT))
            except OSError:
                continue
            return address
    raise RuntimeError(f"the port {PORT} is taken on all loopback addresses: end the MySQL server that listens on every address")


class Database:
    """The server, ended with the context. Its root user has no password."""

    def __init__(self):
        self.host = free_address()
        self.temporary = Temporary("gallery-database.")
        self.folder = self.temporary.path
        self.authority = self.folder / "certificate.pem"
        self.process: subprocess.Popen | None = None

    @property
    def place(self) -> str:
        """Its address and port."""
        return f"{self.host}:{PORT}"

    def __enter__(self) -> "Database":
        user = ["--user=root"] if os.geteuid() == 0 else []
        environment = {**os.environ, "PATH": PATH}
        key, data = self.folder / "key.pem", self.folder / "data"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=database of tests", "-addext", f"subjectAltName=IP:{self.host}", "-addext", "basicConstraints=CA:FALSE",
             "-keyout", key, "-out", self.authority], check=True, capture_output=True)
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *user, f"--datadir={data}", "--auth-root-authentication-method=normal",
             "--skip-test-db", "--skip-log-bin", "--force"], check=True, capture_output=True, env=environment)
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                with_this(["mariadbd", "--no-defaults", *user, f"--datadir={data}", f"--tmpdir={self.folder}",
                 f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid", f"--bind-address={self.host}", f"--port={PORT}",
                 "--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin", "--skip-name-resolve",
                 f"--ssl-cert={self.authority}", f"--ssl-key={key}", "--require-secure-transport=ON",
                 "--innodb-flush-log-at-trx-commit=0"]), stdout=log, stderr=log, env=environment)
        until = time.monotonic() + 60
        while True:
            try:
                self.connection().close()
                return self
            except pymysql.err.OperationalError:
                if self.process.poll() is not None or time.monotonic() > until:
                    end = (self.folder / "log").read_text(errors="replace")[-3000:]
                    self.__exit__()
                    raise RuntimeError(f"MariaDB does not start; its log ends:\n{end}") from None
                time.sleep(0.1)

    def __exit__(self, *_exception) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
        self.temporary.remove()

    def connection(self, user: str = "root", password: str = "", **options) -> pymysql.Connection:
        """A connection, encrypted, to a server with the right certificate."""
        return pymysql.connect(
            host=self.host, port=PORT, user=user, password=password, autocommit=True, ssl_ca=str(self.authority), ssl_verify_cert=True,
            ssl_verify_identity=True, **options)

    def rows(self, statement: str, **options) -> list[tuple]:
        """What a statement answers."""
        with self.connection(**options) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
