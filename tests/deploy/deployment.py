"""All stacks of a gallery on MiniStack, and what of them a machine sees: its user data, and its role's credentials."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

from ministack import REGION, ROOT, MiniStack

NAME = "photo-gallery"
BOOTSTRAP = ROOT / "userdata" / "bootstrap.sh"
VERSION = "0.1.0-a1b2c3d"
RELEASE = {"Release": VERSION, "ReleaseSha256": "0" * 64, "RdsCaSha256": "0" * 64}
AWS = Path(sys.executable).with_name("aws")


class Deployment:
    """The stacks below `web`, deployed; `web` comes with the workers that are asked for."""

    def __init__(self, aws: MiniStack, artifacts: dict[str, bytes] | None = None, **parameters: str):
        """`artifacts` are the objects of the artifacts bucket."""
        self.aws = aws
        self.parameters = {"Name": NAME, **RELEASE, **parameters}
        self.outputs: dict[str, str] = {}
        self.deploy("network")
        self.deploy("data")
        for key, body in (artifacts or {}).items():
            aws.client("s3").put_object(Bucket=self.outputs["ArtifactsBucket"], Key=key, Body=body)
        self.deploy("messaging")

    def deploy(self, stack: str, **parameters: str) -> None:
        """Creates or updates a stack with those of the parameters that it declares."""
        given = {**self.parameters, **parameters}
        template = (ROOT / "deploy" / "stacks" / f"{stack}.yaml").read_text()
        declared = {name: value for name, value in given.items() if f"\n  {name}:\n" in template.split("\nResources:")[0]}
        self.outputs.update(self.aws.deploy(f"{NAME}-{stack}", stack, **declared))

    def role(self, name: str) -> "Role":
        """The role of this name, assumed."""
        return Role(self.aws, name)

    def machine(self, group: str) -> dict[str, str]:
        """The shell variables above the script in the user data of the group's launch template."""
        found = self.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.outputs[group]])
        template = found["AutoScalingGroups"][0]["LaunchTemplate"]
        ec2 = self.aws.client("ec2")
        versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"])
        text = base64.b64decode(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]).decode()
        return variables(text.removesuffix(BOOTSTRAP.read_text()))


def variables(script: str) -> dict[str, str]:
    """What a script of assignments sets."""
    told = subprocess.run(
        ["bash", "-c", f"set -a\n{script}\nexec env -0"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in told.stdout.split("\0") if "=" in line)


def lines(text: str) -> dict[str, str]:
    """Lines NAME=value."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


class Role:
    """A role with credentials of it, which the account itself gets by being trusted for a moment."""

    def __init__(self, aws: MiniStack, name: str):
        self.aws, self.name = aws, name
        found = aws.client("iam").get_role(RoleName=name)["Role"]
        self.arn, self.trust = found["Arn"], found["AssumeRolePolicyDocument"]
        account = {"Effect": "Allow", "Principal": {"AWS": self.arn.split(":")[4]}, "Action": "sts:AssumeRole"}
        self._trust({**self.trust, "Statement": [account]})
        session = aws.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="test")["Credentials"]
        self._trust(self.trust)
        self.key = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
        self.clients = {}

    def _trust(self, document: dict) -> None:
        self.aws.client("iam").update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(document))

    def client(self, service: str):
        """A client with the role's rights."""
        if service not in self.clients:
            self.clients[service] = self.aws.client(service, *self.key)
        return self.clients[service]

    def environment(self) -> dict[str, str]:
        """The variables that give another program the role's rights."""
        key, secret, token = self.key
        return {
            "AWS_ENDPOINT_URL": self.aws.endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
        }

    def statements(self) -> list[dict]:
        """The statements of all policies of the role, actions and resources as lists."""
        iam = self.aws.client("iam")
        documents = [
            iam.get_role_policy(RoleName=self.name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=self.name)["PolicyNames"]
        ]
        for policy in iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            documents.append(iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"])
        return [
            {**statement, "Action": listed(statement["Action"]), "Resource": listed(statement["Resource"])}
            for document in documents for statement in document["Statement"]
        ]

    def allows(self, action: str, resource: str) -> bool:
        """Whether the role may do something in a request that has no condition keys of its own."""
        answer = self.aws.client("iam").simulate_principal_policy(
            PolicySourceArn=self.arn, ActionNames=[action], ResourceArns=[resource])
        return answer["EvaluationResults"][0]["EvalDecision"] == "allowed"

    def decisions(self) -> list[dict]:
        """What was decided over requests with the role's rights."""
        return [one for one in self.aws.decisions() if f":assumed-role/{self.name}/" in one["principal"]]


def listed(value) -> list[str]:
    """A text or a list of texts, as a list."""
    return [value] if isinstance(value, str) else value
