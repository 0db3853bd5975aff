#!/usr/bin/env python3
"""Starts MiniStack, the emulator of AWS that evaluates policies, with what it lacks (`emulator`).

As a program it runs the emulator in the foreground, with the environment's settings (BIND_HOST, GATEWAY_PORT, USE_SSL and so on):

    GATEWAY_PORT=4566 tests/deploy/ministack.py

In tests:

    with MiniStack() as aws:
        outputs = aws.deploy("photo-gallery-network", "network", Nat="none")
        aws.client("ec2").describe_vpcs(VpcIds=[outputs["VpcId"]])
"""

import atexit
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from ending import Temporary, with_this
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
STACKS = ROOT / "deploy" / "stacks"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo-gallery"
PYTHON = CACHE / "python-ministack" / "bin" / "python"
EMULATOR = Path(__file__).resolve().with_name("emulator")
SETTINGS = {
    "BIND_HOST": "127.0.0.1", "AUTH": "true", "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "LAMBDA_EXECUTOR": "local",
}
REGION = "us-east-1"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
# The most that a template may have when it is sent in the request itself; a larger one goes by way of S3.
LARGEST_BODY = 51_200


class StackFailed(Exception):
    """A stack did not come to where it was to go; the text holds the reasons its events give."""


def command() -> list[str]:
    """The command that runs the emulator."""
    if not PYTHON.exists():
        raise FileNotFoundError(f"MiniStack is not installed in {PYTHON.parent}: run script/servers install")
    return [str(PYTHON), "-I", str(EMULATOR)]


class MiniStack:
    """An emulator of its own on a free loopback port, ended with the context or the process.

    `rds_server` (HOST:PORT) names a MySQL server whose root has no password: DB instances have its address, and their
    master users are made on it.
    """

    _shared: "MiniStack | None" = None

    def __init__(self, rds_server: str | None = None, **settings: str):
        self.settings = {**settings, **({"RDS_SERVER": rds_server} if rds_server else {})}
        self.endpoint = ""
        self.folder: Path | None = None
        self.temporary: Temporary | None = None
        self.process: subprocess.Popen | None = None
        self.templates = ""
        self.clients: dict[tuple, object] = {}

    @classmethod
    def shared(cls) -> "MiniStack":
        """The one emulator of this process, started when it is first asked for."""
        if cls._shared is None:
            cls._shared = cls().start()
            atexit.register(cls._shared.stop)
        return cls._shared

    def __enter__(self) -> "MiniStack":
        return self.start()

    def __exit__(self, *_exception) -> None:
        self.stop()

    def start(self) -> "MiniStack":
        """Starts the emulator and waits until it answers."""
        port = free_port()
        self.temporary = Temporary("gallery-ministack.")
        self.folder = self.temporary.path
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}
        environment = {
            **kept, **SETTINGS, "GATEWAY_PORT": str(port), "TMPDIR": str(self.folder),
            "DECISIONS": str(self.folder / "decisions"), **self.settings,
        }
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                with_this(command()), env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.endpoint = f"http://127.0.0.1:{port}"
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > until:
                    end = self.log()[-3000:]
                    self.stop()
                    raise RuntimeError(f"MiniStack does not start; its log ends:\n{end}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends the emulator at once and removes its folder."""
        self.clients.clear()
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.temporary:
            self.temporary.remove()
            self.temporary = self.folder = None

    def log(self) -> str:
        """What the emulator has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def decisions(self) -> list[dict]:
        """What was decided over requests so far: of each its principal, action, resource, and whether it was allowed."""
        file = self.folder / "decisions"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def environment(self, key: str = "test", secret: str = "test", token: str | None = None) -> dict[str, str]:
        """The variables by which other programs reach the emulator, without any other AWS setting of this process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept, "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, **({"AWS_SESSION_TOKEN": token} if token else {}),
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self, service: str, key: str = "test", secret: str = "test", token: str | None = None):
        """A boto3 client: the account's root, or whom the given credentials stand for. Kept, for each takes long to make."""
        import boto3
        from botocore.config import Config

        who = (service, key, secret, token)
        if who not in self.clients:
            self.clients[who] = boto3.client(
                service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret,
                aws_session_token=token, config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))
        return self.clients[who]

    def deploy(self, name: str, template: "str | Path", **parameters: str) -> dict[str, str]:
        """Creates or updates the stack `name` and returns its outputs.

        `template` is the name of one of deploy/stacks or a path. On an update, parameters that are not given keep their values.
        """
        file = template if isinstance(template, Path) else STACKS / f"{template}.yaml"
        stacks = self.client("cloudformation")
        before = self._stack(name)
        request = {
            "StackName": name, "Capabilities": CAPABILITIES, **self._template(file),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        }
        if before is None:
            stacks.create_stack(**request)
            return self._outputs(name, "CREATE_COMPLETE")
        declared = {one["ParameterKey"] for one in stacks.get_template_summary(**self._template(file))["Parameters"]}
        request["Parameters"] += [
            {"ParameterKey": one["ParameterKey"], "UsePreviousValue": True}
            for one in before.get("Parameters", []) if one["ParameterKey"] in declared - parameters.keys()
        ]
        try:
            stacks.update_stack(**request)
        except stacks.exceptions.ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            return self.outputs(name)
        return self._outputs(name, "UPDATE_COMPLETE")

    def _template(self, file: Path) -> dict[str, str]:
        """The template as a request takes it: in itself, or by way of S3."""
        body = file.read_text()
        if len(body.encode()) <= LARGEST_BODY:
            return {"TemplateBody": body}
        storage = self.client("s3")
        if not self.templates:
            storage.create_bucket(Bucket="templates")
            self.templates = "templates"
        storage.put_object(Bucket=self.templates, Key=file.name, Body=body.encode())
        return {"TemplateURL": f"{self.endpoint}/{self.templates}/{file.name}"}

    def _stack(self, name: str) -> dict | None:
        stacks = self.client("cloudformation")
        try:
            return stacks.describe_stacks(StackName=name)["Stacks"][0]
        except stacks.exceptions.ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None

    def outputs(self, name: str) -> dict[str, str]:
        """The outputs of a stack."""
        return {one["OutputKey"]: one["OutputValue"] for one in (self._stack(name) or {}).get("Outputs", [])}

    def _outputs(self, name: str, wanted: str) -> dict[str, str]:
        status = self._settled(name)
        if status != wanted:
            raise StackFailed(f"the stack {name} is {status}, not {wanted}:\n" + "\n".join(self.reasons(name)))
        return self.outputs(name)

    def _settled(self, name: str) -> str:
        """Waits until nothing of the stack is in progress and returns its status."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            stack = self._stack(name)
            status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.1)
        raise StackFailed(f"the stack {name} was {status} for two minutes")

    def reasons(self, name: str) -> list[str]:
        """Why resources of a stack failed, as its events say, the first first."""
        events = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        return [
            f"{event['LogicalResourceId']} ({event['ResourceType']}) {event['ResourceStatus']}: {event['ResourceStatusReason']}"
            for event in reversed(events) if event.get("ResourceStatusReason") and "FAILED" in event["ResourceStatus"]
        ]

    def delete(self, name: str) -> None:
        """Deletes a stack and waits until it is gone."""
        stack = self._stack(name)
        if stack is None:
            return
        self.client("cloudformation").delete_stack(StackName=name)
        status = self._settled(stack["StackId"])
        if status != "DELETE_COMPLETE":
            raise StackFailed(f"the stack {name} is {status}:\n" + "\n".join(self.reasons(stack["StackId"])))


def main() -> None:
    """Becomes the emulator, in the foreground."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.execv(command()[0], command())


if __name__ == "__main__":
    main()
