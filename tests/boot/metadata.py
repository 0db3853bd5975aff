"""The instance metadata service of one machine, version 2 only. Runs in the machine's network:

    metadata.py DESCRIPTION.json LOG

The description has: id, address, mac, zone, region, account, role, tags, user_data (a file), credentials (a file with the role's, as the
service tells them; read anew each time). Each request is a line of the log: method, path, status, and whether it had a token.
"""

import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS = ("169.254.169.254", 80)
LONGEST = 21600
VERSIONS = ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2020-10-27", "2021-03-23", "latest"]


class Instance:
    """What the service tells of one machine."""

    def __init__(self, description: dict):
        self.description = description
        self.tokens: dict[str, float] = {}

    def identity(self) -> str:
        """The identity document."""
        about = self.description
        return json.dumps({
            "accountId": about["account"], "architecture": "x86_64", "availabilityZone": about["zone"], "imageId": "ami-0c2023a1b2c3d4e5f",
            "instanceId": about["id"], "instanceType": "t3.small", "pendingTime": "2026-01-01T00:00:00Z", "privateIp": about["address"],
            "region": about["region"], "version": "2017-09-30",
        })

    def leaves(self) -> dict[str, str]:
        """All values by path, below the version."""
        about = self.description
        host = f"ip-{about['address'].replace('.', '-')}.ec2.internal"
        port = f"network/interfaces/macs/{about['mac']}/"
        role = {"Code": "Success", "InstanceProfileArn": f"arn:aws:iam::{about['account']}:instance-profile/{about['role']}"}
        metadata = {
            "ami-id": "ami-0c2023a1b2c3d4e5f", "instance-id": about["id"], "instance-type": "t3.small", "hostname": host,
            "local-hostname": host, "local-ipv4": about["address"], "mac": about["mac"], "security-groups": "web",
            "placement/availability-zone": about["zone"], "placement/region": about["region"],
            "services/domain": "amazonaws.com", "services/partition": "aws", "iam/info": json.dumps(role),
            f"iam/security-credentials/{about['role']}": Path(about["credentials"]).read_text(),
            f"{port}device-number": "0", f"{port}local-ipv4s": about["address"], f"{port}mac": about["mac"],
            f"{port}subnet-ipv4-cidr-block": "10.1.0.0/16", f"{port}vpc-ipv4-cidr-block": "10.1.0.0/16",
            **{f"tags/instance/{name}": value for name, value in about["tags"].items()},
        }
        return {
            "user-data": Path(about["user_data"]).read_text(), "dynamic/instance-identity/document": self.identity(),
            **{f"meta-data/{path}": value for path, value in metadata.items()},
        }

    def token(self, seconds: str | None) -> str | None:
        """A new token, when it is asked for as it must be."""
        if not (seconds and seconds.isdigit() and 1 <= int(seconds) <= LONGEST):
            return None
        token = secrets.token_urlsafe(40)
        self.tokens[token] = time.time() + int(seconds)
        return token

    def admits(self, token: str | None) -> bool:
        """Whether a token was given out and still holds."""
        return self.tokens.get(token or "", 0) > time.time()

    def tell(self, path: str) -> bytes | None:
        """The answer to a path, or nothing where there is none."""
        if path == "/":
            return "\n".join(VERSIONS).encode()
        _version, _, place = path.strip("/").partition("/")
        leaves = self.leaves()
        return leaves[place].encode() if place in leaves else children(leaves, place)


def children(leaves: dict[str, str], place: str) -> bytes | None:
    """The names directly below a place, folders with a slash."""
    prefix = f"{place}/" if place else ""
    names = set()
    for leaf in leaves:
        if leaf.startswith(prefix):
            name, slash, _ = leaf[len(prefix):].partition("/")
            names.add(name + slash)
    return "\n".join(sorted(names)).encode() or None


def handler(instance: Instance, log) -> type:
    """The class that answers requests about an instance."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "EC2ws", ""

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            token = self.headers.get("X-aws-ec2-metadata-token")
            log.write(f"{self.command} {self.path} {status} {'token' if token else 'no-token'}\n")
            self.send_response(status)
            for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words) -> None:
            """Nothing to standard error."""

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path != "/latest/api/token":
                self.answer(404)
            elif self.headers.get("X-Forwarded-For"):
                self.answer(403)
            elif token := instance.token(seconds := self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")):
                self.answer(200, token.encode(), **{"X-aws-ec2-metadata-token-ttl-seconds": seconds})
            else:
                self.answer(400)

        def do_GET(self) -> None:
            if not instance.admits(self.headers.get("X-aws-ec2-metadata-token")):
                self.answer(401)
                return
            body = instance.tell(self.path.split("?")[0])
            if body is None:
                self.answer(404)
            else:
                self.answer(200, body)

    return Handler


def main() -> None:
    """Serves until it is killed."""
    instance = Instance(json.loads(Path(sys.argv[1]).read_text()))
    with open(sys.argv[2], "a", buffering=1) as log:
        ThreadingHTTPServer(ADDRESS, handler(instance, log)).serve_forever()


if __name__ == "__main__":
    main()
