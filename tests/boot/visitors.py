"""Visitors of the site: they sign up, look at pages with all that pages name, and upload pictures, over connections that are kept."""

import http.client
import itertools
import json
import random
import re
import socket
import threading
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "photos" / "chelsea.jpg"
PASSWORD = "Correct-horse-battery-1"
ASSET = re.compile(r'(?:href|src)="(/static/[^"]+)"')
PHOTO = re.compile(r'href="(/photos/[0-9a-f-]{36})"')
# A visitor's pause between two requests, in seconds.
PAUSE = 0.04


@dataclass
class Tally:
    """What visitors got while something happened."""

    requests: int = 0
    uploads: int = 0
    assets: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0
    slowest: float = 0

    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0

    def __str__(self) -> str:
        kinds = f"{self.uploads} uploads, {self.assets} assets"
        return f"{len(self.failed)} failed of {self.requests} requests ({kinds}) in {self.seconds:.0f} s, the slowest {self.slowest:.1f} s"


class Broken(Exception):
    """An answer is not what a browser needs."""


class Visitor:
    """A browser: one connection, which it opens anew when the other side has closed it between two requests, and cookies."""

    def __init__(self, site: str):
        self.place = urllib.parse.urlsplit(site)
        self.connection: http.client.HTTPConnection | None = None
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
        """Status, headers and body of an answer, redirects not followed."""
        sent = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.connection is not None and closed(self.connection):
            self.leave()
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.place.hostname, self.place.port or 80, timeout=60)
        try:
            self.connection.request(method, path, body, sent)
            answer = self.connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.leave()
            raise
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]
        return answer.status, dict(answer.headers), content

    def leave(self) -> None:
        """Closes the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def form(self, path: str, **fields: str) -> tuple[int, dict, bytes]:
        """The answer to a form, in JSON."""
        return self.ask("POST", path, urllib.parse.urlencode(fields).encode(), Accept="application/json",
                        **{"Content-Type": "application/x-www-form-urlencoded"})

    def upload(self) -> dict:
        """Uploads a picture that nobody has uploaded before, and returns the photo."""
        bound = uuid.uuid4().hex
        body = (f'--{bound}\r\nContent-Disposition: form-data; name="photo"; filename="cat.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'.encode()
                + picture() + f"\r\n--{bound}--\r\n".encode())
        status, _, content = self.ask(
            "POST", "/photos", body, Accept="application/json", **{"Content-Type": f"multipart/form-data; boundary={bound}"})
        told = json.loads(content) if status in (200, 201) else {}
        if [result["status"] for result in told.get("results", [])] != [201]:
            raise Broken(f"POST /photos: {status} {content[:200]!r}")
        return told["results"][0]["photo"]

    def page(self, path: str) -> str:
        """A whole page."""
        status, _, content = self.ask("GET", path)
        text = content.decode()
        if status != 200 or not text.rstrip().endswith("</html>"):
            raise Broken(f"GET {path}: {status} {text[:120]!r} ... {text[-60:]!r}")
        return text

    def asset(self, path: str) -> None:
        """Fetches what a page names."""
        status, _, content = self.ask("GET", path, Accept="*/*")
        if status != 200 or not content:
            raise Broken(f"GET {path}: {status}")


def closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the other side has closed an idle connection."""
    if connection.sock is None:
        return True
    connection.sock.settimeout(0)
    try:
        return connection.sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.sock.settimeout(60)


def picture() -> bytes:
    """The bytes of a JPEG unlike any other: a comment of its own behind the first marker."""
    original, comment = PICTURE.read_bytes(), uuid.uuid4().bytes
    return original[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + original[2:]


class Crowd:
    """Visitors who come and go on, each in a thread of its own, until told to stop; what they get goes to the tally of the moment."""

    def __init__(self, signed_in: Visitor, readers: int = 6, writers: int = 2):
        self.site = signed_in.place.geturl()
        self.cookies = signed_in.cookies
        self.tally = Tally()
        self.lock = threading.Lock()
        # When the request began that a visitor waits for.
        self.waiting: dict[int, float] = {}
        self.stopped = threading.Event()
        self.seen: set[str] = set()
        self.threads = [threading.Thread(target=self._read, daemon=True) for _ in range(readers)]
        self.threads += [threading.Thread(target=self._write, daemon=True) for _ in range(writers)]
        for thread in self.threads:
            thread.start()

    def _visitor(self) -> Visitor:
        visitor = Visitor(self.site)
        visitor.cookies = dict(self.cookies)
        return visitor

    def _count(self, kind: str, action) -> object:
        """Does one request and notes how it went, in the tally of the moment in which it ends."""
        result = failure = None
        visitor = threading.get_ident()
        with self.lock:
            self.waiting[visitor] = time.monotonic()
        try:
            result = action()
        except Exception as error:  # Whatever it is, a visitor has not got the answer.
            failure = f"{time.strftime('%T')} {kind}: {type(error).__name__} {error}"
        with self.lock:
            seconds = time.monotonic() - self.waiting.pop(visitor)
            tally = self.tally
            tally.slowest = max(tally.slowest, seconds)
            tally.requests += 1
            tally.uploads += kind == "upload"
            tally.assets += kind == "asset"
            if failure:
                tally.failed.append(failure)
        self.stopped.wait(PAUSE * random.uniform(0.5, 1.5))
        return result

    def _read(self) -> None:
        visitor = self._visitor()
        places = itertools.cycle(["/photos", "/labels", "/account", "/unfinished"])
        while not self.stopped.is_set():
            place = next(places)
            page = self._count("page", lambda: visitor.page(place))
            if not isinstance(page, str):
                continue
            found = PHOTO.findall(page)
            if found:
                chosen = random.choice(found)
                page += self._count("page", lambda: visitor.page(chosen)) or ""
            for asset in sorted(set(ASSET.findall(page))):
                self.seen.add(asset)
                self._count("asset", lambda path=asset: visitor.asset(path))
        visitor.leave()

    def _write(self) -> None:
        visitor = self._visitor()
        while not self.stopped.is_set():
            self._count("upload", visitor.upload)
            self.stopped.wait(0.5)
        visitor.leave()

    def during(self, event) -> Tally:
        """The tally of what visitors got while an event lasted, and for two seconds after it; what they were waiting for at either
        end is in it."""
        tally = self.tally = Tally()
        begun = time.monotonic()
        event()
        time.sleep(2)
        end = time.monotonic()
        tally.seconds = end - begun
        while self._wait_since_before(end):
            time.sleep(0.05)
        self.tally = Tally()
        return tally

    def _wait_since_before(self, moment: float) -> bool:
        """Whether a visitor still waits for what was asked for before a moment."""
        with self.lock:
            return any(begun < moment for begun in self.waiting.values())

    def stop(self) -> None:
        """Sends everybody home."""
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=70)
