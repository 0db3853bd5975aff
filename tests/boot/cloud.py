"""AWS, as machines find it by its own host names: MiniStack, which evaluates their rights, with moto's Rekognition and a MariaDB for RDS.

The stacks are made by deploy/deploy.sh as an operator runs it, without a word about any emulator.
"""

import base64
import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from datetime import datetime, timezone
from pathlib import Path

import boto3

from authority import NAMES, REGION, Authority
from enclosure import RESOLVER, RUN, owns, run, service

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo-gallery"
AWS, REKOGNITION, DATABASE = "10.1.0.10", "10.1.0.11", "10.1.0.12"
NAME = "gallery"
STACKS = ["network", "data", "migrate", "messaging", "web"]
# What a password may hold, for whoever writes it into a file, a URL or a shell's command.
ODD_PASSWORD = """a%40b&c@d/e"f'g\\h$HOME `i` j;k #l=\\"m"""


def operator() -> dict[str, str]:
    """The environment of somebody who may do everything in the account."""
    return {
        **os.environ, "PATH": f"{CACHE / 'python-deploy' / 'bin'}:{os.environ['PATH']}", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CA_BUNDLE": str(RUN / "public" / "authority.pem"),
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
    }


def await_it(what: str, holds, patience: float = 60) -> None:
    """Waits until `holds()`."""
    until = time.monotonic() + patience
    while not holds():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} did not come about in {patience:.0f} s")
        time.sleep(0.1)


class Cloud:
    """An account with the gallery's network and data, before its first release."""

    def __init__(self, balancer: str):
        self.public = Authority(RUN / "public", "public")
        self.rds = Authority(RUN / "rds", "RDS")
        for address in (AWS, REKOGNITION, DATABASE):
            owns(address)
        self._resolver(balancer)
        self._emulators()
        self._stacks_below()
        self._database()

    def _resolver(self, balancer: str) -> None:
        addresses = {
            "amazonaws.com": AWS, f"rekognition.{REGION}.amazonaws.com": REKOGNITION, f"{REGION}.rds.amazonaws.com": DATABASE,
            f"{REGION}.elb.amazonaws.com": balancer, "amazoncognito.com": AWS,
        }
        service("dnsmasq", [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", f"--listen-address={RESOLVER}", "--bind-interfaces", "--no-resolv",
            "--no-hosts", "--user=root", "--pid-file=", *(f"--address=/{name}/{address}" for name, address in addresses.items())])

    def _emulators(self) -> None:
        certificate, key = self.public.certificate("aws", *NAMES)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}
        folder = RUN / "ministack"
        folder.mkdir()
        service("ministack", [sys.executable, ROOT / "tests/deploy/ministack.py"], cwd=folder, env={
            **kept, "BIND_HOST": AWS, "GATEWAY_PORT": "4566", "MINISTACK_HOST": f"sqs.{REGION}.amazonaws.com", "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(certificate), "MINISTACK_SSL_KEY": str(key), "TMPDIR": str(folder)})
        service("moto", [
            CACHE / "python-servers/bin/moto_server", "-H", REKOGNITION, "-p", "443", "--ssl", "--ssl-cert", certificate, "--ssl-key", key])
        identity = self.client("sts").get_caller_identity
        await_it("MiniStack's answer", functools.partial(answered, identity))
        self.account = identity()["Account"]

    def client(self, service: str):
        """A client of the account's owner."""
        return boto3.client(
            service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test", verify=str(RUN / "public/authority.pem"))

    def outputs(self, stack: str) -> dict[str, str]:
        """The outputs of one of the stacks."""
        one = self.client("cloudformation").describe_stacks(StackName=f"{NAME}-{stack}")["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in one["Outputs"]}

    def deploy(self, *arguments: str, stacks: list[str]) -> None:
        """Runs deploy.sh for some of the stacks."""
        only = [word for stack in stacks for word in ("--only", stack)]
        done = subprocess.run(
            [ROOT / "deploy/deploy.sh", "--name", NAME, *only, *arguments], env=operator(), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"deploy.sh ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _stacks_below(self) -> None:
        """The network and what lives longest, with a password for the servers' account that is hard to write down."""
        self.deploy("DeletionProtection=no", stacks=STACKS[:2])
        self.data = self.outputs("data")
        self.client("secretsmanager").put_secret_value(SecretId=self.data["WebUserSecret"], SecretString=ODD_PASSWORD)

    def _database(self) -> None:
        """What RDS would have made by then: a server whose certificate is for the endpoint's name, with the master's account."""
        folder = RUN / "mariadb"
        folder.mkdir()
        certificate, key = self.rds.certificate("database", self.data["DatabaseHost"])
        common = ["--no-defaults", "--user=root", f"--datadir={folder / 'data'}", f"--tmpdir={folder}"]
        run("mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db")
        service("mariadb", [
            "mariadbd", *common, f"--bind-address={DATABASE}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}",
            "--skip-log-bin", f"--ssl-cert={certificate}", f"--ssl-key={key}", f"--ssl-ca={self.rds.file}", "--require-secure-transport=ON",
            "--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin"])
        await_it("MariaDB", (folder / "socket").exists)
        master = json.loads(self.client("secretsmanager").get_secret_value(SecretId=self.data["DatabaseMasterSecret"])["SecretString"])
        self.query(
            "DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES;"
            f"CREATE USER '{master['username']}'@'%' IDENTIFIED BY '{master['password']}';"
            f"GRANT ALL ON *.* TO '{master['username']}'@'%' WITH GRANT OPTION")

    def query(self, statement: str) -> str:
        """What a statement answers to the database server's own root."""
        return run("mariadb", "--no-defaults", "--user=root", f"--socket={RUN / 'mariadb/socket'}", "--batch", "--skip-column-names", input=statement)

    def release(self, folder: Path, *parameters: str) -> None:
        """Brings the account to a release: deploy.sh stores it, migrates the database and sets up the launch templates."""
        self.deploy("--release", str(folder), "--rds-ca", str(self.rds.file), "Workers=fleet", *parameters, stacks=STACKS[2:])
        self.web = self.outputs("web")

    def user_data(self, role: str) -> str:
        """What the newest launch template of the web or the worker fleet gives its machines, decoded."""
        group = self.web["WebGroup" if role == "web" else "WorkerGroup"]
        groups = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        template = groups[0]["LaunchTemplate"]
        versions = self.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"], Versions=[str(template["Version"])])["LaunchTemplateVersions"]
        return base64.b64decode(versions[0]["LaunchTemplateData"]["UserData"]).decode()

    def machine(self, role: str) -> tuple[str, Path]:
        """The role of the web or the worker fleet's machines, and a file with its credentials as the metadata service tells them."""
        name = self.web["InstanceRoleName" if role == "web" else "WorkerRoleName"]
        file = RUN / f"{name}.json"
        # They last an hour; the service has new ones long before.
        if not file.exists() or time.time() > file.stat().st_mtime + 1200:
            # MiniStack lets the account's root assume each role, whatever its trust policy says.
            got = self.client("sts").assume_role(
                RoleArn=f"arn:aws:iam::{self.account}:role/{name}", RoleSessionName="machine", DurationSeconds=3600)
            keys, part = got["Credentials"], file.with_suffix(".part")
            part.write_text(json.dumps({
                "Code": "Success", "LastUpdated": stamp(datetime.now(timezone.utc)), "Type": "AWS-HMAC", "AccessKeyId": keys["AccessKeyId"],
                "SecretAccessKey": keys["SecretAccessKey"], "Token": keys["SessionToken"],
                "Expiration": stamp(keys["Expiration"].astimezone(timezone.utc))}))
            part.replace(file)
        return name, file

    def store_collector(self) -> None:
        """What an operator puts into the bucket for COLLECTOR=yes; here a program that only says where it was told to listen."""
        archive = RUN / "aws-otel-collector.tar.gz"
        program = b'#!/bin/sh\n[ "$1" = --config ] && grep -o "127.0.0.1:4317" "$2" && exec sleep infinity\n'
        with tarfile.open(archive, "w:gz") as packed:
            entry = tarfile.TarInfo("aws-otel-collector")
            entry.size, entry.mode = len(program), 0o755
            packed.addfile(entry, io.BytesIO(program))
        self.client("s3").upload_file(str(archive), self.data["ArtifactsBucket"], archive.name)


def stamp(time_of: datetime) -> str:
    """A time as the metadata service writes it."""
    return time_of.strftime("%Y-%m-%dT%H:%M:%SZ")


def answered(question) -> bool:
    """Whether a question has an answer by now."""
    try:
        question()
    except Exception:  # Whatever keeps an emulator that is starting from answering.
        return False
    return True
