"""deploy.sh and destroy.sh from nothing to everything and back, against MiniStack and a MariaDB in RDS's place.

The release is the program that is tested, packed by package.sh; the stack migrate's function runs it for real.
"""

import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

import yaml
from aws_cli import AwsCli
from database import Database
from ministack import REGION, ROOT, MiniStack
from release import stripped_program

NAME = "photos"
STACKS = ["network", "data", "migrate", "messaging", "web", "edge", "ops", "pipeline"]
CERTIFICATE = f"arn:aws:acm:{REGION}:000000000000:certificate/0a1b2c3d-0000-4000-8000-000000000000"
BROKEN = "  Broken:\n    Type: AWS::EC2::Subnet\n    Properties:\n      VpcId: !GetAtt Vpc.Nowhere\n"
VERSION, NEXT, BUILT, PLAIN = "0.1.0-1234567", "0.1.0-89abcde", "0.1.0-5555555", "0.1.0-6666666"


class Operator:
    """Somebody at a terminal with a folder of their own, the AWS CLI, and the right of the account's root or none."""

    def __init__(self, cli: AwsCli, folder: Path, aws: MiniStack | None, deploy: Path = ROOT / "deploy"):
        self.cli, self.aws, self.deploy_folder = cli, aws, deploy
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        # The templates are linted by a test of its own.
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "cfn-lint").symlink_to("/bin/true")
        (self.folder / "tmp").mkdir()
        environment = aws.environment() if aws else {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment.pop("AWS_ENDPOINT_URL", None)
        self.environment = {
            **environment, "PATH": f"{self.folder}/bin:{cli.folder}:{environment['PATH']}", "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder), "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Runs one of the programs on the emulator."""
        place = ["--endpoint-url", self.aws.endpoint] if self.aws else []
        return subprocess.run(
            [self.deploy_folder / program, "--name", NAME, *place, *arguments], env=self.environment | variables, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)

    def deploy(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Runs deploy.sh."""
        return self.run("deploy.sh", *arguments, **variables)


def public_key() -> str:
    """A new public key in PEM."""
    return subprocess.run(
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null | openssl pkey -pubout", shell=True, text=True,
        capture_output=True, check=True).stdout


def renamed(folder: Path, version: str) -> Path:
    """The same release under another version."""
    made = folder.with_name(f"release-{version}")
    made.mkdir()
    archive = made / f"photo-gallery-{version}-x86_64.tar.gz"
    shutil.copy(next(folder.glob("*.tar.gz")), archive)
    shutil.copy(folder / "lambda-x86_64.zip", made)
    told = subprocess.run(["sha256sum", archive.name], cwd=made, capture_output=True, text=True, check=True).stdout
    (made / f"{archive.name}.sha256").write_text(told)
    return made


class Refusals(unittest.TestCase):
    """What deploy.sh does not begin."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.cli = cls.enterClassContext(AwsCli())
        cls.nobody = Operator(cls.cli, cls.folder, None)

    def refused(self, sentence: str, *arguments: str, **variables: str):
        """Asserts that deploy.sh refuses with a sentence, and has asked AWS for nothing."""
        done = self.nobody.deploy(*arguments, **variables)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(sentence, done.stdout)
        self.assertEqual(list((self.nobody.folder / "tmp").iterdir()), [])

    def test_what_no_stack_knows(self):
        self.refused("no stack has a parameter Instancetype; deploy/README.md lists them all", "Instancetype=t3.large")
        self.refused("Release comes with the release: give --release", "Release=1.2.3")
        self.refused("Name is the deployment's: give --name", "Name=other")
        self.refused("there is no stack wep; there are: network data", "--only", "wep")
        self.refused("there is no option --relaese", "--relaese", "x")
        self.refused('"now" is neither an option nor Key=Value', "now")
        for name in ("Photos", "p", "2photos", "photos-", "my--photos", "a" * 22, "photos.two"):
            self.refused("--name wants 2 to 21 small letters", "--name", name)
        for name in ("aws-photos", "awsome", "my-amazon", "cognito-photos", "internal"):
            self.refused("AWS keeps names like", "--name", name)
        self.refused("--only wants a value", "--only")

    def test_releases_that_are_none(self):
        self.refused("there is no archive /nowhere/photo-gallery-1-x86_64.tar.gz", "--release", "/nowhere/photo-gallery-1-x86_64.tar.gz")
        self.refused("is no archive, no folder and no version", "--release", "/nowhere")
        empty = Path(tempfile.mkdtemp(dir=self.folder))
        self.refused("holds no release", "--release", str(empty))
        archive = empty / f"photo-gallery-{VERSION}-x86_64.tar.gz"
        archive.write_text("an archive")
        self.refused("there must be", "--release", str(empty))
        (empty / "lambda-x86_64.zip").write_text("a zip")
        archive.with_name(f"{archive.name}.sha256").write_text(f"{'0' * 64}  {archive.name}\n")
        self.refused("is damaged: its SHA-256 is not what", "--release", str(archive))
        (empty / f"photo-gallery-{NEXT}-x86_64.tar.gz").write_text("another")
        self.refused("holds several releases", "--release", str(empty))
        self.refused("is no PEM file with certificates", "--rds-ca", str(archive))

    def test_nobody_signed_in(self):
        self.refused("no region is known: give --region, set AWS_REGION", "--only", "network")
        self.refused('AWS does not let you in: Unable to locate credentials', "--only", "network", "--region", REGION)
        self.refused("the AWS CLI is missing", "--only", "network", PATH="/usr/bin:/bin")

    def test_templates_that_the_linter_refuses(self):
        linter = self.nobody.folder / "bin" / "cfn-lint"
        linter.unlink()
        linter.write_text("#!/bin/sh\nexit 2\n")
        linter.chmod(0o755)
        self.addCleanup(lambda: (linter.unlink(), linter.symlink_to("/bin/true")))
        self.refused("cfn-lint finds fault with the templates")

    def test_help_tells_the_options(self):
        options = {program: self.options(ROOT / "deploy" / program) for program in ("deploy.sh", "destroy.sh", "account.sh")}
        self.assertEqual(options["account.sh"], {"--name", "--region", "--endpoint-url"})
        self.assertLessEqual({"--release", "--rds-ca", "--only", "--pipeline", "--plan"}, options["deploy.sh"])
        self.assertLessEqual({"--yes"}, options["destroy.sh"])
        for program in ("deploy.sh", "destroy.sh"):
            told = subprocess.run([ROOT / "deploy" / program, "--help"], capture_output=True, text=True, check=True).stdout
            for option in (options[program] | options["account.sh"]) - {"--help"}:
                self.assertRegex(told, rf"(?m)^    {option} ", program)

    @staticmethod
    def options(program: Path) -> set[str]:
        """The options that a program takes: the patterns of its cases."""
        cases = re.findall(r"^ +((?:-[a-z-]+(?: \| )?)+)\)", program.read_text(), re.M)
        return {option for case in cases for option in case.split(" | ") if option.startswith("--")}

    def test_a_missing_linter_is_told_of(self):
        linter = self.nobody.folder / "bin" / "cfn-lint"
        linter.unlink()
        self.addCleanup(lambda: linter.symlink_to("/bin/true"))
        # Not even on the rest of the path.
        tools = self.nobody.folder / "tools"
        tools.mkdir()
        for tool in ("bash", "env", "dirname", "sed", "awk", "grep", "tail", "mktemp", "rm", "true"):
            (tools / tool).symlink_to(shutil.which(tool))
        self.refused("The templates are not linted: cfn-lint is not there", "--only", "network", PATH=str(tools))


class Choices(unittest.TestCase):
    """What deploy.sh decides where nothing is said, and what it refuses for what is there."""

    def test_without_https_the_operator_makes_the_accounts(self):
        with tempfile.TemporaryDirectory() as folder, AwsCli() as cli, MiniStack() as aws:
            operator = Operator(cli, Path(folder), aws)
            made = operator.deploy("--only", "network", "--only", "data")
            self.assertEqual(made.returncode, 0, made.stdout)
            self.assertIn("nobody can sign up (SignUp=closed; SignUp=open lets everybody). You make accounts: aws cognito-idp admin-create-user", made.stdout)
            pools = aws.client("cognito-idp")
            pool = pools.describe_user_pool(UserPoolId=aws.outputs(f"{NAME}-data")["UserPoolId"])["UserPool"]
            self.assertTrue(pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"])
            command = re.search(r"aws (cognito-idp admin-create-user .*)", made.stdout)[1].replace("POOL", pool["Id"]).split()
            subprocess.run([cli.folder / "aws", "--endpoint-url", aws.endpoint, *command], env=operator.environment, check=True, capture_output=True)
            self.assertEqual(len(pools.list_users(UserPoolId=pool["Id"])["Users"]), 1)

            opened = operator.deploy("--only", "data", "SignUp=open")
            self.assertNotIn("nobody can sign up", opened.stdout)
            again = operator.deploy("--only", "data")
            self.assertIn("data: nothing to do", again.stdout)
            self.assertNotIn("nobody can sign up", again.stdout)
            refused = operator.deploy("--only", "web", "WebMin=4")
            self.assertIn("WebMin (4) has to be less than WebMax (4)", refused.stdout)
            refused = operator.deploy("--only", "web", "WorkerMin=9", "WorkerMax=08")
            self.assertIn("WorkerMin (9) has to be less than WorkerMax (08)", refused.stdout)


class FailedStacks(unittest.TestCase):
    """A stack that cannot be made: the reason is told, and a mended one takes its place."""

    def test_a_stack_that_never_came_up_is_told_of_and_made_anew(self):
        with tempfile.TemporaryDirectory() as folder, AwsCli() as cli, MiniStack() as aws:
            copy = Path(folder) / "deploy"
            shutil.copytree(ROOT / "deploy", copy)
            network = copy / "stacks" / "network.yaml"
            whole = network.read_text()
            broken = whole.replace("  InternetGateway:\n", BROKEN + "  InternetGateway:\n", 1)
            network.write_text(broken)
            operator = Operator(cli, Path(folder), aws, copy)
            failed = operator.deploy("--only", "network")
            self.assertEqual(failed.returncode, 1, failed.stdout)
            self.assertRegex(failed.stdout, r"  Broken \(AWS::EC2::Subnet\) is CREATE_FAILED: .*Nowhere")
            self.assertIn("is ROLLBACK_COMPLETE: mend what is said above and run this again", failed.stdout)
            network.write_text(whole)
            made = operator.deploy("--only", "network")
            self.assertEqual(made.returncode, 0, made.stdout)
            self.assertIn("network: the stack never came up (ROLLBACK_COMPLETE)", made.stdout)
            self.assertIn("VpcId", aws.outputs(f"{NAME}-network"))

            network.write_text(broken)
            failed = operator.deploy("--only", "network")
            self.assertEqual(failed.returncode, 1, failed.stdout)
            self.assertIn("is UPDATE_ROLLBACK_COMPLETE: mend what is said above", failed.stdout)
            network.write_text(whole)
            again = operator.deploy("--only", "network")
            self.assertIn("network: nothing to do", again.stdout)


class Life(unittest.TestCase):
    """One deployment, from an empty account to an empty account."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.cli = cls.enterClassContext(AwsCli())
        cls.database = cls.enterClassContext(Database())
        cls.aws = cls.enterClassContext(MiniStack(rds_server=cls.database.place, SECURE_TRANSPORT="1", PROTECT="1"))
        cls.release = cls.folder / "release"
        subprocess.run(
            [ROOT / "deploy/package.sh", "--binary", stripped_program(cls.folder), "--glibc", "2.99", "--commit", VERSION.split("-")[1],
             "--output", cls.release], check=True, capture_output=True)
        cls.operator = Operator(cls.cli, cls.folder, cls.aws)

    def deploy(self, *arguments: str) -> str:
        """Runs deploy.sh, which succeeds, and returns what it said."""
        done = self.operator.deploy(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(list((self.operator.folder / "tmp").iterdir()), [], "nothing is left behind")
        return done.stdout

    def parameters(self, stack: str) -> dict[str, str]:
        """The values of a stack's parameters."""
        told = self.aws.client("cloudformation").describe_stacks(StackName=f"{NAME}-{stack}")["Stacks"][0]["Parameters"]
        return {one["ParameterKey"]: one["ParameterValue"] for one in told}

    def statuses(self) -> dict[str, str]:
        """The status of each stack that is there."""
        return {one["StackName"].removeprefix(f"{NAME}-"): one["StackStatus"]
                for one in self.aws.client("cloudformation").describe_stacks()["Stacks"]}

    def test_from_nothing_to_nothing(self):
        self.failing_at_first()
        self.from_nothing_to_everything()
        self.again_without_a_change()
        self.a_plan_changes_nothing()
        self.an_update_changes_what_it_names()
        self.a_new_release_and_back()
        self.releases_that_others_published()
        self.new_authorities_reach_the_functions()
        self.a_template_too_large_for_a_request()
        self.what_is_taken_away_is_given_up_first()
        self.destroyed()

    def everything(self) -> list[str]:
        """What deploy.sh is given for all stacks."""
        zone = self.aws.client("route53").create_hosted_zone(Name="example.org", CallerReference="test")["HostedZone"]["Id"]
        signing = self.aws.client("secretsmanager").create_secret(Name="signing", SecretString="a key")["ARN"]
        return [
            "--release", str(self.release), "--rds-ca", str(self.database.authority), "--pipeline",
            "Repository=https://github.com/somebody/photo-gallery", "Domain=photos.example.org",
            f"HostedZoneId={zone.split('/')[-1]}", f"CertificateArn={CERTIFICATE}", f"EdgeCertificateArn={CERTIFICATE}",
            f"PhotosPublicKey={public_key()}", f"PhotosPrivateKeySecret={signing}", "S3Notifications=yes"]

    def failing_at_first(self):
        """Database and load balancer are protected and logs lie in a bucket: first stacks that fail leave them, and are made anew."""
        type(self).given = self.everything()
        copy = self.folder / "broken"
        shutil.copytree(ROOT / "deploy", copy)
        operator = Operator(self.cli, self.folder, self.aws, copy)
        for stack, late in (("data", "Database"), ("web", "LoadBalancer")):
            template = copy / "stacks" / f"{stack}.yaml"
            whole = template.read_text()
            template.write_text(whole.replace("\nResources:\n", f"\nResources:\n{BROKEN.replace('Vpc.', late + '.')}", 1))
            failed = operator.deploy(*self.given)
            self.assertEqual(failed.returncode, 1, failed.stdout)
            self.assertRegex(failed.stdout, rf"  {late} \(AWS::\S+\) is DELETE_FAILED: .*protect")
            self.assertEqual(self.statuses()[stack], "ROLLBACK_FAILED")
            if stack == "data":
                template.write_text(whole)
        # What is half deleted because somebody else deleted it goes on from there.
        self.aws.client("cloudformation").delete_stack(StackName=f"{NAME}-web")
        while self.statuses()["web"].endswith("IN_PROGRESS"):
            time.sleep(0.1)
        self.assertEqual(self.statuses()["web"], "DELETE_FAILED")

    def from_nothing_to_everything(self):
        said = self.deploy(*self.given)
        self.assertIn("web: the stack never came up (DELETE_FAILED): what is left of it is removed, and it is made anew\nweb: emptying the bucket", said)
        calls = self.cli.calls()
        for call in ("deletion_protection.enabled,Value=false", "access_logs.s3.enabled,Value=false", "--no-deletion-protection"):
            self.assertIn(call, calls)
        self.assertEqual(len(self.aws.client("elbv2").describe_load_balancers()["LoadBalancers"]), 1)
        self.assertRegex(said, r"^Account 0{12}, region us-east-1, as arn:aws:iam::0{12}:root, at http://127")
        for stack in STACKS:
            made = f"making the stack {NAME}-{stack}" if STACKS.index(stack) >= STACKS.index("web") else \
                "changing the stack" if stack == "data" else "nothing to do"
            self.assertIn(f"{stack}: {made}", said)
        self.assertIn("The gallery: https://photos.example.org", said)
        self.assertEqual(set(self.statuses()), set(STACKS))
        self.assertLessEqual(set(self.statuses().values()), {"CREATE_COMPLETE", "UPDATE_COMPLETE"})

        # What later stacks know, earlier ones were told.
        edge, messaging = self.aws.outputs(f"{NAME}-edge"), self.aws.outputs(f"{NAME}-messaging")
        self.assertEqual(self.parameters("data")["PhotosDistribution"], edge["PhotosDistribution"])
        self.assertEqual(self.parameters("data")["UploadsTopic"], messaging["TopicArn"])
        self.assertEqual(self.parameters("web")["PhotosDomain"], edge["PhotosDomain"])
        self.assertEqual(self.parameters("web")["SiteUrl"], "https://photos.example.org")
        page = self.aws.client("s3").get_object(Bucket=edge["MaintenanceBucket"], Key="index.html")
        self.assertEqual(page["Body"].read(), (ROOT / "deploy/maintenance/index.html").read_bytes())
        self.assertEqual(page["ContentType"], "text/html; charset=utf-8")
        self.the_database_is_ready()

    def the_database_is_ready(self):
        outputs = self.aws.outputs(f"{NAME}-data")
        secrets = self.aws.client("secretsmanager")
        password = secrets.get_secret_value(SecretId=outputs["WebUserSecret"])["SecretString"]
        master = json.loads(secrets.get_secret_value(SecretId=outputs["DatabaseMasterSecret"])["SecretString"])["password"]
        grants = sorted(re.sub(r" IDENTIFIED BY PASSWORD '.*'", "", row[0]) for row in self.database.rows("SHOW GRANTS FOR web_user"))
        self.assertEqual(grants, ["GRANT SELECT, INSERT, UPDATE, DELETE ON `Photos`.* TO `web_user`@`%`", "GRANT USAGE ON *.* TO `web_user`@`%`"])
        migrations = self.database.rows(
            "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version", user="web_user", password=password, database="Photos")
        self.assertEqual([row[0] for row in migrations], sorted(int(file.name[:4]) for file in (ROOT / "migrations").glob("*.sql")))
        for secret in (password, master):
            self.assertNotIn(secret, self.cli.calls(), "no secret is an argument")

    def again_without_a_change(self):
        said = self.deploy("--release", str(self.release), "--rds-ca", str(self.database.authority))
        for stack in STACKS:
            self.assertIn(f"{stack}: nothing to do", said)
        self.assertIn("There was nothing to do.", said)
        self.assertNotIn("Stored", said)

    def a_plan_changes_nothing(self):
        said = self.deploy("--plan", "--only", "web", "CpuPercent=70")
        self.assertRegex(said, r"web: would change\n  Modify WebCpu \(AWS::AutoScaling::ScalingPolicy\)")
        self.assertEqual(self.parameters("web")["CpuPercent"], "60")
        sets = self.aws.client("cloudformation").list_change_sets(StackName=f"{NAME}-web")["Summaries"]
        self.assertNotIn("AVAILABLE", [one["ExecutionStatus"] for one in sets])

    def an_update_changes_what_it_names(self):
        before = self.parameters("web")
        said = self.deploy("--only", "web", "--only", "ops", "CpuPercent=70")
        self.assertIn(f"web: changing the stack {NAME}-web", said)
        self.assertIn("ops: nothing to do", said)
        self.assertEqual(self.parameters("web"), {**before, "CpuPercent": "70"})
        self.assertEqual(self.statuses()["web"], "UPDATE_COMPLETE")

    def a_new_release_and_back(self):
        said = self.deploy("--release", str(renamed(self.release, NEXT)), "--only", "migrate", "--only", "web")
        self.assertIn(f"releases/{NEXT}/photo-gallery-{NEXT}-x86_64.tar.gz", said)
        self.assertEqual(self.parameters("web")["Release"], NEXT)
        self.assertEqual(self.parameters("web")["CpuPercent"], "70", "what is not given stays")
        self.assertEqual(self.parameters("migrate")["Release"], NEXT)
        bucket = self.aws.outputs(f"{NAME}-data")["ArtifactsBucket"]
        stored = {one["Key"] for one in self.aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]}
        self.assertEqual(stored, {"rds-ca.pem"} | {
            f"releases/{version}/{file}" for version in (VERSION, NEXT)
            for file in (f"photo-gallery-{version}-x86_64.tar.gz", f"photo-gallery-{version}-x86_64.tar.gz.sha256", "lambda-x86_64.zip")})

        said = self.deploy("--release", VERSION, "--only", "web")
        self.assertNotIn("Stored", said)
        self.assertEqual(self.parameters("web")["Release"], VERSION)
        self.assertEqual(self.parameters("migrate")["Release"], NEXT)
        refused = self.operator.deploy("--release", "9.9.9-fffffff", "--only", "web")
        self.assertIn("holds no release 9.9.9-fffffff", refused.stdout)
        changed = renamed(self.release, "other")
        for file in list(changed.glob("photo-gallery-other*")):
            file.rename(changed / file.name.replace("other", VERSION))
        with open(changed / f"photo-gallery-{VERSION}-x86_64.tar.gz", "ab") as archive:
            archive.write(b"\0")
        told = subprocess.run(["sha256sum", archive.name.split("/")[-1]], cwd=changed, capture_output=True, text=True, check=True).stdout
        (changed / f"photo-gallery-{VERSION}-x86_64.tar.gz.sha256").write_text(told)
        refused = self.operator.deploy("--release", str(changed), "--only", "web")
        self.assertIn("with other content, and releases never change", refused.stdout)

    def releases_that_others_published(self):
        """By the commands of the pipeline, and by hand."""
        data = self.aws.outputs(f"{NAME}-data")
        folder = self.folder / "build"
        (folder / "target").mkdir(parents=True)
        shutil.copytree(renamed(self.release, BUILT), folder / "target" / "dist")
        commands = yaml.safe_load((ROOT / "deploy/buildspec.yml").read_text())["phases"]["post_build"]["commands"]
        [publish] = [command for command in commands if "lambda-x86_64.zip" in command]
        names = {"ARTIFACTS_BUCKET": data["ArtifactsBucket"], "RELEASE": f"releases/{BUILT}", "ARCHIVE": f"photo-gallery-{BUILT}-x86_64.tar.gz"}
        subprocess.run(["bash", "-euc", publish], cwd=folder, check=True, capture_output=True,
                       env=self.operator.environment | names | {"AWS_ENDPOINT_URL": self.aws.endpoint})
        for file in renamed(self.release, PLAIN).iterdir():
            self.aws.client("s3").put_object(Bucket=data["ArtifactsBucket"], Key=f"releases/{PLAIN}/{file.name}", Body=file.read_bytes())
        for version in (BUILT, PLAIN):
            said = self.deploy("--release", version, "--only", "web")
            self.assertNotIn("Stored", said)
            told = (self.folder / f"release-{version}" / f"photo-gallery-{version}-x86_64.tar.gz.sha256").read_text().split()[0]
            self.assertEqual((self.parameters("web")["Release"], self.parameters("web")["ReleaseSha256"]), (version, told))
        self.aws.client("s3").delete_object(
            Bucket=data["ArtifactsBucket"], Key=f"releases/{PLAIN}/photo-gallery-{PLAIN}-x86_64.tar.gz.sha256")
        refused = self.operator.deploy("--release", PLAIN, "--only", "web")
        self.assertIn("tells none: remove it and publish the release again", refused.stdout)

    def new_authorities_reach_the_functions(self):
        """Also where the release is in the bucket already."""
        both = self.folder / "both.pem"
        both.write_bytes(self.database.authority.read_bytes() * 2)
        said = self.deploy("--release", NEXT, "--rds-ca", str(both), "--only", "web")
        self.assertRegex(said, rf"Stored s3://\S+/releases/{NEXT}/lambda-x86_64.zip\n")
        bucket = self.aws.outputs(f"{NAME}-data")["ArtifactsBucket"]
        stored = self.aws.client("s3").get_object(Bucket=bucket, Key=f"releases/{NEXT}/lambda-x86_64.zip")["Body"].read()
        with zipfile.ZipFile(io.BytesIO(stored)) as members:
            self.assertEqual(members.read("rds-ca.pem"), both.read_bytes())
        self.assertNotIn("lambda-x86_64.zip", self.deploy("--release", NEXT, "--rds-ca", str(both), "--only", "web"))

    def a_template_too_large_for_a_request(self):
        copy = self.folder / "large"
        shutil.copytree(ROOT / "deploy", copy)
        with open(copy / "stacks" / "web.yaml", "a") as template:
            template.write("# and so on\n" * 5000)
        operator = Operator(self.cli, self.folder, self.aws, copy)
        done = operator.deploy("--only", "web", "CpuPercent=65")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.parameters("web")["CpuPercent"], "65")
        self.assertIn("/templates/web-", self.cli.calls())

    def what_is_taken_away_is_given_up_first(self):
        """Nobody uses what goes: stacks that use it change before those that have it."""
        refused = self.operator.deploy("--only", "edge", f"PhotosPublicKey={public_key()}")
        self.assertIn("the key of links to photos is changed in two steps", refused.stdout)
        self.assertIn("PhotosKeyVersion=2", refused.stdout)
        key = next(one for one in self.given if one.startswith("PhotosPublicKey="))
        self.assertIn("edge: nothing to do", self.deploy("--only", "edge", key))
        self.deploy("--only", "network", "--only", "web", "--only", "messaging", "Nat=single")
        for change, stacks in (
            (["PhotosPublicKey="], ["web", "data", "edge"]), (["Nat=none"], ["web", "network"]),
            (["S3Notifications=no"], ["data", "messaging"]), (["SiteUrl=", "CertificateArn="], ["web", "data"]),
        ):
            said = self.deploy(*(option for stack in stacks for option in ("--only", stack)), *change)
            self.assertEqual(re.findall(r"^(\w+): changing", said, re.M), stacks, said)
        self.assertEqual(self.parameters("data")["PhotosDistribution"], "")
        self.assertEqual(self.parameters("data")["UploadsTopic"], "")
        self.assertEqual(self.parameters("web")["PhotosDomain"], "")
        self.assertNotIn("PhotosDistribution", self.aws.outputs(f"{NAME}-edge"))

    def destroyed(self):
        refused = self.operator.run("destroy.sh", "--yes")
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stdout, r"the deployment is protected.*--only web --only data DeletionProtection=no")
        self.deploy("--only", "web", "--only", "data", "DeletionProtection=no")
        refused = self.operator.run("destroy.sh")
        self.assertIn("nobody is there to be asked: give --yes", refused.stdout)
        self.assertEqual(set(self.statuses()), set(STACKS))

        data, edge = self.aws.outputs(f"{NAME}-data"), self.aws.outputs(f"{NAME}-edge")
        self.aws.client("s3").put_object(Bucket=data["PhotosBucket"], Key="photos/one", Body=b"a photo")
        self.aws.client("s3").put_object(Bucket=data["PhotosBucket"], Key="photos/one", Body=b"a newer photo")
        logs = self.aws.client("cloudformation").describe_stack_resource(StackName=f"{NAME}-web", LogicalResourceId="AccessLogs")
        logs = logs["StackResourceDetail"]["PhysicalResourceId"]
        self.aws.client("s3").put_object(Bucket=logs, Key="AWSLogs/one", Body=b"a line")
        done = self.operator.run("destroy.sh", "--yes")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.statuses(), {})
        self.assertIn(f"web: emptying the bucket {logs}", done.stdout)
        self.assertIn(f"edge: emptying the bucket {edge['MaintenanceBucket']}", done.stdout)
        for sentence in (
            f"The bucket {data['PhotosBucket']} stays", f"The bucket {data['ArtifactsBucket']} stays",
            f"The user pool {data['UserPoolId']} stays", f"of the database {data['DatabaseInstance']} stays", f"The deployment {NAME} is gone.",
        ):
            self.assertIn(sentence, done.stdout)
        self.assertEqual(list((self.operator.folder / "tmp").iterdir()), [])

        # What is said removes what stays.
        for command in re.findall(r"^  ((?:aws|while) .*)$", done.stdout, re.M):
            subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=self.operator.environment, check=True, capture_output=True)
        self.assertEqual([one["Name"] for one in self.aws.client("s3").list_buckets()["Buckets"]], [])
        self.assertEqual(self.aws.client("cognito-idp").list_user_pools(MaxResults=10)["UserPools"], [])
        self.assertEqual(self.aws.client("rds").describe_db_snapshots()["DBSnapshots"], [])
        again = self.operator.run("destroy.sh", "--yes")
        self.assertIn(f"There is no deployment {NAME} here: there was nothing to do.", again.stdout)


if __name__ == "__main__":
    unittest.main()
