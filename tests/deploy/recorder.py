"""A program for Lambda that stands in for the gallery's: it writes down what it is invoked with, and how it was started."""

import json
import sys
import time
from pathlib import Path

from release import lambda_archive

PROGRAM = """#!{python} -I
import json, os, urllib.request

invocations = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(invocations + "next") as given:
        event, request = json.load(given), given.headers["Lambda-Runtime-Aws-Request-Id"]
    authorities = os.environ.get("GALLERY__CATALOG__MYSQL__SSL_CA", "")
    records = event.get("Records", [])
    with open({file!r}, "a") as file:
        settings = {{name: value for name, value in os.environ.items() if not name.startswith("AWS_")}}
        print(json.dumps({{"release": {release!r}, "event": event, "handler": os.environ["_HANDLER"], "settings": settings,
                           "authorities": os.path.exists(authorities) and open(authorities).read()}}), file=file)
    failed = [{{"itemIdentifier": record["messageId"]}} for record in records if "fail" in record.get("body", "")]
    answer = json.dumps({{"message": "recorded", "batchItemFailures": failed}}).encode()
    urllib.request.urlopen(urllib.request.Request(invocations + request + "/response", answer, method="POST"))
"""


class Recorder:
    """The program's archive, as the artifacts bucket holds one of each release, and what was written down."""

    def __init__(self, file: Path):
        self.file = file

    def archive(self, release: str) -> bytes:
        """The archive of a release."""
        program = PROGRAM.format(python=sys.executable, file=str(self.file), release=release)
        return lambda_archive(program.encode(), b"authorities")

    def invocations(self) -> list[dict]:
        """All invocations so far: the release of the program, the event, the handler's name, the settings, the text of the authorities' file."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def messages(self) -> list[str]:
        """The bodies of all messages that came in events of a queue, also those that came again."""
        return [record["body"] for one in self.invocations() for record in one["event"].get("Records", [])]

    def until(self, enough, seconds: float = 30) -> list[dict]:
        """Waits until what was written down is enough, or for so long; what was written down."""
        end = time.monotonic() + seconds
        while not enough() and time.monotonic() < end:
            time.sleep(0.1)
        return self.invocations()
