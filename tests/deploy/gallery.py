"""The program itself, run with the settings that the stacks give it, the credentials of a role, and a visitor who uses it.

What runs is TEST_PROGRAM. TEST_MOTO stands in for Rekognition, which MiniStack does not have.
"""

import http.cookiejar
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path

from deployment import Deployment
from ending import Temporary, with_this
from ministack import ROOT
from ports import free_port

PHOTOS = ROOT / "tests" / "photos"
ANN, PASSWORD = "ann@example.org", "Correct-horse-battery-1"
# How long a photo may take from its upload to its labels, and the program to start and to end.
PATIENCE = 40


def told(variable: str) -> str:
    """The value of a variable that script/servers sets."""
    value = os.environ.get(variable)
    if not value:
        raise RuntimeError(f"{variable} is not set: run script/test, or `eval \"$(script/servers start)\"` first")
    return value


def program() -> str:
    """The program under test."""
    value = os.environ.get("TEST_PROGRAM", "")
    if not Path(value).is_file():
        raise RuntimeError(f"TEST_PROGRAM names no program ({value or 'nothing'}): run script/test, or build and set it")
    return value


class Gallery:
    """The program with these settings, in a folder of its own."""

    def __init__(self, settings: dict[str, str]):
        self.temporary = Temporary("gallery-deploy.")
        self.folder = self.temporary.path
        self.settings = {
            **settings, "GALLERY__DATA": f"{self.folder}/data", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_exception) -> None:
        self.temporary.remove()

    def run(self, *arguments: str, typed: str = "", **settings: str) -> str:
        """Runs the program to its end, with these settings more; its standard output, or an error with all it said."""
        done = subprocess.run(
            [program(), *arguments], env={**self.settings, **settings}, cwd=self.folder, input=typed, capture_output=True, text=True,
            timeout=PATIENCE)
        if done.returncode:
            raise RuntimeError(f"photo-gallery {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        self.note(done.stderr)
        return done.stdout

    def note(self, text: str) -> None:
        """Adds to the log of all that ran here."""
        with open(self.file(), "a") as log:
            log.write(text)

    def file(self) -> Path:
        return self.folder / "log"

    def log(self) -> str:
        """What all that ran here has said."""
        return self.file().read_text() if self.file().exists() else ""

    @contextmanager
    def running(self, command: str, **settings: str):
        """`serve` or `work` until the end of the context; the process."""
        with open(self.file(), "a") as log:
            process = subprocess.Popen(
                with_this([program(), command]), env={**self.settings, **settings}, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            status = process.wait(PATIENCE)
            if status:
                raise RuntimeError(f"photo-gallery {command} ended with {status}: {self.log()}")
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def serving(self, **settings: str):
        """A server with these settings more until the end of the context; its address."""
        port = free_port()
        settings |= {"GALLERY__SERVER__BIND": "127.0.0.1", "GALLERY__SERVER__PORT": str(port)}
        with self.running("serve", **settings) as process:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + PATIENCE
            while not answers(f"{url}/ping"):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the server does not start: {self.log()}")
                time.sleep(0.05)
            yield url


def announcement(photo: str, bucket: str) -> str:
    """A message that tells of a photo."""
    return json.dumps({"version": 1, "event": "photo.uploaded", "photo": photo, "bucket": bucket})


def answers(url: str) -> bool:
    """Whether a server says that all is well."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class Visitor:
    """A browser that asks for JSON, at the server with this address."""

    def __init__(self, url: str):
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/x-www-form-urlencoded") -> bytes:
        """The body of an answer that says yes; a path or a whole URL."""
        headers = {"Accept": "application/json", "Sec-Fetch-Site": "none"}
        if body is not None:
            headers["Content-Type"] = kind
        request = urllib.request.Request(urllib.parse.urljoin(self.url, path), data=body, headers=headers)
        try:
            with self.browser.open(request, timeout=PATIENCE) as answer:
                return answer.read()
        except urllib.error.HTTPError as refusal:
            raise RuntimeError(f"{request.get_method()} {path}: {refusal.code} {refusal.read().decode(errors='replace')}") from None

    def json(self, path: str):
        """What a page says, as JSON."""
        return json.loads(self.ask(path))

    def send(self, path: str, **fields: str) -> bytes:
        """Sends a form."""
        return self.ask(path, urllib.parse.urlencode(fields).encode())

    def uploaded(self, file: Path) -> dict:
        """Uploads a photo; the photo as the server tells it."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="photo"; filename="{file.name}"\r\nContent-Type: image/jpeg\r\n\r\n'
        body = head.encode() + file.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        answer = json.loads(self.ask("/photos", body, f"multipart/form-data; boundary={edge}"))
        return answer["results"][0]["photo"]

    def labelled(self, photo: dict, log=lambda: "") -> dict:
        """The photo once it has its labels."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            now = self.json(f"/photos/{photo['id']}")
            if now["state"] == "labelled":
                return now
            if now["state"] == "failed":
                break
            time.sleep(0.1)
        raise RuntimeError(f"the photo was not labelled: {now} {log()}")


def signed_in(url: str, deployment: Deployment) -> Visitor:
    """Ann, whom the operator made an account in the user pool."""
    people, pool = deployment.aws.client("cognito-idp"), deployment.outputs["UserPoolId"]
    if not people.list_users(UserPoolId=pool)["Users"]:
        people.admin_create_user(UserPoolId=pool, Username=ANN, MessageAction="SUPPRESS")
        people.admin_set_user_password(UserPoolId=pool, Username=ANN, Password=PASSWORD, Permanent=True)
    ann = Visitor(url)
    ann.send("/login", email=ANN, password=PASSWORD)
    return ann
