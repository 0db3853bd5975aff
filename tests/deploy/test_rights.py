"""The rights of machines: with the roles of the real stacks the user data's functions, the real program and an intruder call AWS.

MiniStack evaluates the policies. It has no Rekognition, X-Ray and Session Manager: pictures are named by moto, which asks for no
rights, and of the others only the policies are looked at.
"""

import hashlib
import time
import unittest
import uuid

from database import Database
from deployment import VERSION, Deployment, Role, lines
from gallery import PASSWORD, PATIENCE, PHOTOS, Gallery, announcement, signed_in, told
from machine import boot
from ministack import MiniStack
from ports import free_port
from rights import REFUSED, allowed, not_denied, refusal, unused

RELEASE, AUTHORITIES, COLLECTOR = b"a release", b"authorities", b"a collector"
# What a machine does before the program runs.
AT_THE_START = {"FetchTheRelease", "ReadSecretsAtTheStart", "SignalThatItIsReady", "WriteLogs"}
PLAIN = {"Collector": "no", "SessionManager": "no", "PhotosDomain": "", "PhotosKeyPairId": "", "PhotosPrivateKeySecret": ""}
SESSIONS = {"ssm:UpdateInstanceInformation"} | {
    f"ssmmessages:{way}{channel}Channel" for way in ("Create", "Open") for channel in ("Control", "Data")
}

database: Database
aws: MiniStack
deployment: Deployment


def setUpModule():
    global database, aws, deployment
    database = unittest.enterModuleContext(Database())
    aws = unittest.enterModuleContext(MiniStack(rds_server=database.place, SECURE_TRANSPORT="1"))
    sums = {"ReleaseSha256": hashlib.sha256(RELEASE).hexdigest(), "RdsCaSha256": hashlib.sha256(AUTHORITIES).hexdigest()}
    archive = f"releases/{VERSION}/photo-gallery-{VERSION}-x86_64.tar.gz"
    deployment = Deployment(aws, {archive: RELEASE, "rds-ca.pem": AUTHORITIES, "aws-otel-collector.tar.gz": COLLECTOR}, **sums)


class Life:
    """What a deployment's machines do: they boot, people come, photos come and go, workers follow, everything is looked at and swept up."""

    def __init__(self, web: Role, worker: Role | None):
        self.web, self.worker = web, worker
        self.began = {role.name: len(role.decisions()) for role in (web, worker) if role}
        self.queue = aws.client("sqs")
        self.log = ""

    def settings(self, role: Role, group: str) -> dict[str, str]:
        """The settings that a machine of the group gets, its role's credentials, and where the servers of this test are."""
        return {
            **lines(deployment.machine(group)["SETTINGS"]), **self.secrets, **role.environment(),
            "GALLERY__CATALOG__MYSQL__SSL_CA": str(database.authority), "GALLERY__LABELER__REKOGNITION__ENDPOINT": told("TEST_MOTO"),
            "GALLERY__SERVER__DRAIN_SECONDS": "0", "GALLERY__EVENTS__AWS__WAIT_SECONDS": "0",
        }

    def run(self) -> None:
        """All of it, with servers and workers that begin and end."""
        first, group = (self.worker, "WorkerGroup") if self.worker else (self.web, "WebGroup")
        self.secrets = boot(first, deployment.machine(group))
        with Gallery(self.settings(self.web, "WebGroup")) as gallery:
            gallery.run("migrate", "--admin", "root", "--password-stdin", typed="\n")
            try:
                self.happen(gallery)
            finally:
                self.log = gallery.log()

    def happen(self, gallery: Gallery) -> None:
        with gallery.serving() as url:
            ann = signed_in(url, deployment)
            photo = ann.uploaded(PHOTOS / "chelsea.jpg")
            if not self.worker:
                ann.labelled(photo, gallery.log)
        self.forget()
        with gallery.serving() as url:
            self.until_told_again(self.web)
            if self.worker:
                self.forget()
                with gallery.running("work", **self.settings(self.worker, "WorkerGroup")):
                    self.until_told_again(self.worker)
                    self.visit(url, photo, gallery)
            else:
                self.visit(url, photo, gallery)

    def forget(self) -> None:
        """A photo waits for long to be developed and no message tells of it; a message cannot be read, another tells of what is gone, and an
        object is to be swept up."""
        queue = deployment.outputs["QueueUrl"]
        self.queue.purge_queue(QueueUrl=queue)
        for message in ("not JSON", announcement(str(uuid.uuid4()), deployment.outputs["PhotosBucket"])):
            self.queue.send_message(QueueUrl=queue, MessageBody=message)
        aws.client("s3").put_object(Bucket=deployment.outputs["PhotosBucket"], Key="photos/left.jpg", Body=b"left")
        for statement in (
            "UPDATE photo SET developed_at = NULL, labelled_at = NULL, claimed_until = '2020-01-01'",
            "DELETE FROM lease",
            "REPLACE INTO discarded_object (object_key, since) VALUES ('photos/left.jpg', '2020-01-01')",
        ):
            database.rows(statement, database="Photos")

    def until_told_again(self, role: Role) -> None:
        self.until(role, "sqs:SendMessage", "nobody told of the photo again")

    def decisions(self, role: Role) -> list[dict]:
        """What was decided over the role's requests in this life."""
        return role.decisions()[self.began[role.name]:]

    def until(self, role: Role, action: str, otherwise: str) -> None:
        """Waits until a request for the action was decided over."""
        until = time.monotonic() + PATIENCE
        while not any(one["action"] == action for one in self.decisions(role)):
            if time.monotonic() > until:
                raise RuntimeError(otherwise)
            time.sleep(0.1)

    def visit(self, url: str, photo: dict, gallery: Gallery) -> None:
        """Looks at everything, adds, changes and deletes, and goes."""
        ann = signed_in(url, deployment)
        photo = ann.labelled(photo, gallery.log)
        if not photo["labels"]:
            raise RuntimeError("moto's labels did not come")
        if ann.ask(photo["links"]["original"]) != (PHOTOS / "chelsea.jpg").read_bytes():
            raise RuntimeError("the link leads to other bytes")
        for link in (photo["links"]["display"], photo["links"]["thumb"], "/photos", "/labels", "/unfinished", "/account", "/account/data"):
            ann.ask(link)
        ready = ann.json("/readyz")
        if (ready["store"], ready["queue"], ready["status"]) != ("up", "up", "ready"):
            raise RuntimeError(f"the server is not ready: {ready}")
        ann.send(f"/photos/{photo['id']}/description", description="On the wall")
        self.until(self.worker or self.web, "sqs:ChangeMessageVisibility", "the unreadable message was not put off")
        # Before it becomes a dead letter, which the check would name.
        self.queue.purge_queue(QueueUrl=deployment.outputs["QueueUrl"])
        other = ann.uploaded(PHOTOS / "rocket.jpg")
        ann.labelled(other, gallery.log)
        ann.send(f"/photos/{other['id']}/delete")
        gallery.run("check", "--deep")
        # The load balancer's name is in no DNS.
        gallery.run("doctor", BASE_URL="https://localhost", GALLERY__SERVER__PORT=str(free_port()))
        if self.worker:
            gallery.run("doctor", "--work", **self.settings(self.worker, "WorkerGroup"))
        ann.send("/account/delete", password=PASSWORD)
        self.until_empty()

    def until_empty(self) -> None:
        """Waits until nothing is left of the account, in the user pool neither."""
        until = time.monotonic() + PATIENCE
        pool, bucket = deployment.outputs["UserPoolId"], deployment.outputs["PhotosBucket"]
        while True:
            people = aws.client("cognito-idp").list_users(UserPoolId=pool)["Users"]
            objects = aws.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
            if not people and not objects:
                return
            if time.monotonic() > until:
                raise RuntimeError(f"left behind: {[one['Username'] for one in people]} {[one['Key'] for one in objects]}")
            time.sleep(0.1)


class Rights:
    """What holds of the roles of each way to deploy; `roles` and `life` are what the class has set up."""

    life: Life
    roles: list[Role]

    def test_nothing_that_machines_do_is_denied(self):
        for role in self.roles:
            refused = [one for one in self.lived[role.name] if not one["allowed"]]
            self.assertEqual(refused, [], role.name)
        self.assertNotIn("denied", self.life.log)

    def test_every_right_is_used(self):
        for role in self.roles:
            # moto asks for no rights: that its labels came is what shows the call.
            elsewhere = {("rekognition:DetectLabels", "*")}
            if role is self.life.web and self.life.worker:
                elsewhere |= at_the_start(role)  # ServersThatWork shows it.
            self.assertEqual(unused(role, self.lived[role.name]) - elsewhere, set(), role.name)

    def test_no_statement_is_wide(self):
        for role in self.roles:
            for statement in role.statements():
                with self.subTest(role=role.name, sid=statement["Sid"]):
                    self.assertEqual(statement["Effect"], "Allow")
                    self.assertNotIn("*", "".join(statement["Action"]))
                    if statement["Action"] != ["rekognition:DetectLabels"]:
                        self.assertNotIn("*", statement["Resource"])

    def test_every_other_call_is_denied(self):
        for role in self.roles:
            self.assertEqual(not_denied(deployment, role), [], role.name)

    def test_an_absent_object_is_not_found_rather_than_forbidden(self):
        for role in self.roles:
            absent = {"Bucket": deployment.outputs["PhotosBucket"], "Key": "renditions/absent"}
            self.assertEqual(refusal(role.client("s3"), "get_object", absent), "NoSuchKey")
            self.assertEqual(refusal(role.client("s3"), "head_object", absent), "404")

    def test_only_machines_have_these_roles(self):
        for role in self.roles:
            self.assertEqual(role.trust["Statement"], [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
            ])


def at_the_start(role: Role) -> set[tuple[str, str]]:
    """What a machine is allowed for what it does before the program runs."""
    return {
        (action, resource) for statement in role.statements() if statement["Sid"] in AT_THE_START
        for action in statement["Action"] for resource in statement["Resource"]
    }


class Options(unittest.TestCase):
    """What is allowed only to machines that do more."""

    @classmethod
    def setUpClass(cls):
        deployment.deploy("web", Workers="inside", **PLAIN)
        role = deployment.role(deployment.outputs["InstanceRoleName"])
        cls.before = allowed(role)
        cls.key = aws.client("secretsmanager").create_secret(Name="key-of-links", SecretString="a key")["ARN"]
        deployment.deploy(
            "web", Collector="yes", SessionManager="yes", PhotosDomain="photos.example.org", PhotosKeyPairId="K1",
            PhotosPrivateKeySecret=cls.key)
        cls.role = deployment.role(deployment.outputs["InstanceRoleName"])

    def test_they_add_exactly_what_they_need(self):
        collector = f"arn:aws:s3:::{deployment.outputs['ArtifactsBucket']}/aws-otel-collector.tar.gz"
        self.assertEqual(allowed(self.role) - self.before, {
            ("s3:GetObject", collector), ("secretsmanager:GetSecretValue", self.key), ("xray:PutTraceSegments", "*"),
            *((action, "*") for action in SESSIONS),
        })

    def test_the_collector_is_fetched_and_the_key_of_links_read(self):
        place = {"Bucket": deployment.outputs["ArtifactsBucket"], "Key": "aws-otel-collector.tar.gz"}
        self.assertEqual(self.role.client("s3").get_object(**place)["Body"].read(), COLLECTOR)
        self.assertEqual(self.role.client("secretsmanager").get_secret_value(SecretId=self.key)["SecretString"], "a key")


class ServersThatWork(Rights, unittest.TestCase):
    """Workers=inside: servers finish photos."""

    @classmethod
    def setUpClass(cls):
        deployment.deploy("web", Workers="inside", **PLAIN)
        live(cls, deployment.role(deployment.outputs["InstanceRoleName"]), None)


class ServersAndAFleet(Rights, unittest.TestCase):
    """Workers=fleet: machines with a role of their own finish photos."""

    @classmethod
    def setUpClass(cls):
        deployment.deploy("web", Workers="fleet", **PLAIN)
        live(cls, deployment.role(deployment.outputs["InstanceRoleName"]), deployment.role(deployment.outputs["WorkerRoleName"]))

    def test_servers_finish_nothing_and_workers_bring_nothing(self):
        web, worker = self.roles
        queue, original = {"QueueUrl": deployment.outputs["QueueUrl"]}, {"Bucket": deployment.outputs["PhotosBucket"], "Key": "photos/a"}
        self.assertIn(refusal(web.client("sqs"), "receive_message", queue), REFUSED)
        self.assertFalse(web.allows("rekognition:DetectLabels", "*"))
        self.assertIn(refusal(worker.client("s3"), "put_object", original), REFUSED)
        self.assertIn(refusal(worker.client("sns"), "publish", {"TopicArn": deployment.outputs["TopicArn"], "Message": "a"}), REFUSED)


def live(of: type[Rights], web: Role, worker: Role | None) -> None:
    """Lets everything happen once, and keeps what was decided meanwhile."""
    of.life, of.roles = Life(web, worker), [web] + ([worker] if worker else [])
    of.life.run()
    of.lived = {role.name: of.life.decisions(role) for role in of.roles}
