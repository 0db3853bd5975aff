"""Workers=lambda: the program as a function of the real stacks labels what a server keeps, told of it by the bucket or the server."""

import json
import tempfile
import time
import unittest
import uuid
from pathlib import Path

from database import Database
from deployment import VERSION, Deployment, lines
from gallery import PATIENCE, PHOTOS, Gallery, announcement, signed_in, told
from ministack import MiniStack
from release import lambda_archive, stripped_program
from rights import not_denied, unused

FUNCTION = "photo-gallery-work"
# What Lambda itself does with the function's role: takes messages, logs, sets the function into the VPC. MiniStack's needs no rights for
# it, nor does moto, whose labels show that it was asked.
ELSEWHERE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "logs:CreateLogStream", "logs:PutLogEvents", "rekognition:DetectLabels"} | {
    f"ec2:{action}" for action in (
        "CreateNetworkInterface", "DeleteNetworkInterface", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses",
        "DescribeNetworkInterfaces", "DescribeSubnets")
}


def archive(authorities: bytes) -> bytes:
    """The program and the authorities that sign the database's certificate, as Lambda gets them."""
    with tempfile.TemporaryDirectory() as folder:
        return lambda_archive(stripped_program(Path(folder)).read_bytes(), authorities)


class Function(unittest.TestCase):
    """One deployment with a server that finishes nothing; everything happens once, and each test looks at what came of it."""

    @classmethod
    def setUpClass(cls):
        cls.database = cls.enterClassContext(Database())
        cls.aws = cls.enterClassContext(MiniStack(rds_server=cls.database.place, SECURE_TRANSPORT="1"))
        artifacts = {f"releases/{VERSION}/lambda-x86_64.zip": archive(cls.database.authority.read_bytes())}
        cls.deployment = Deployment(cls.aws, artifacts, Workers="lambda", Nat="single", S3Notifications="yes")
        cls.deployment.deploy("data", UploadsTopic=cls.deployment.outputs["TopicArn"])
        cls.deployment.deploy("web")
        cls.configure(Path(cls.enterClassContext(tempfile.TemporaryDirectory())))
        machine = cls.deployment.machine("WebGroup")
        cls.web = cls.deployment.role(cls.deployment.outputs["InstanceRoleName"])
        vault = cls.web.client("secretsmanager")
        secrets = {name: vault.get_secret_value(SecretId=arn)["SecretString"] for name, arn in lines(machine["SECRETS"]).items()}
        cls.gallery = cls.enterClassContext(Gallery({
            **lines(machine["SETTINGS"]), **secrets, **cls.web.environment(),
            "GALLERY__SERVER__DRAIN_SECONDS": "0", "GALLERY__CATALOG__MYSQL__SSL_CA": str(cls.database.authority),
        }))
        cls.gallery.run("migrate", "--admin", "root", "--password-stdin", typed="\n")
        cls.happen()

    @classmethod
    def configure(cls, data: Path) -> None:
        """Tells the function where the servers of this test are."""
        functions = cls.aws.client("lambda")
        function = functions.get_function(FunctionName=FUNCTION)["Configuration"]
        functions.update_function_configuration(FunctionName=FUNCTION, Environment={"Variables": {
            **function["Environment"]["Variables"], "AWS_ENDPOINT_URL": cls.aws.endpoint,
            "GALLERY__LABELER__REKOGNITION__ENDPOINT": told("TEST_MOTO"), "GALLERY__DATA": str(data),
        }})
        cls.role = cls.deployment.role(function["Role"].rsplit("/")[-1])

    @classmethod
    def happen(cls) -> None:
        """Photos come, are to be developed anew, and are gone; a message cannot be read."""
        queues, queue, bucket = cls.aws.client("sqs"), cls.deployment.outputs["QueueUrl"], cls.deployment.outputs["PhotosBucket"]
        redrive = {"deadLetterTargetArn": cls.deployment.outputs["DeadLetterQueueArn"], "maxReceiveCount": 3}
        queues.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(redrive)})
        for message in ("not JSON", announcement(str(uuid.uuid4()), bucket)):
            queues.send_message(QueueUrl=queue, MessageBody=message)
        with cls.gallery.serving() as url:
            ann = signed_in(url, cls.deployment)
            cls.announced = ann.labelled(ann.uploaded(PHOTOS / "coffee.jpg"), cls.log)
            cls.database.rows("UPDATE photo SET developed_at = NULL, labelled_at = NULL, claimed_until = '2020-01-01'", database="Photos")
            queues.send_message(QueueUrl=queue, MessageBody=announcement(cls.announced["id"], bucket))
            cls.anew = ann.labelled(cls.announced, cls.log)
        with cls.gallery.serving(GALLERY__EVENTS__AWS__TOPIC_ARN="") as url:
            ann = signed_in(url, cls.deployment)
            cls.of_the_bucket = ann.labelled(ann.uploaded(PHOTOS / "rocket.jpg"), cls.log)

    @classmethod
    def log(cls) -> str:
        """What the function logged."""
        events = cls.aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{FUNCTION}")["events"]
        return "\n".join(event["message"] for event in events)

    def test_a_photo_that_the_server_announces_is_labelled(self):
        self.assertTrue(self.announced["labels"])

    def test_a_photo_that_the_bucket_alone_tells_of_is_labelled(self):
        self.assertTrue(self.of_the_bucket["labels"])

    def test_a_photo_is_developed_anew(self):
        self.assertEqual(self.anew["labels"], self.announced["labels"])

    def test_a_message_that_cannot_be_read_becomes_a_dead_letter_and_the_log_says_why(self):
        queues = self.aws.client("sqs")
        dead = queues.get_queue_url(QueueName=self.deployment.outputs["DeadLetterQueueName"])["QueueUrl"]
        until, letters = time.monotonic() + PATIENCE, []
        while not letters and time.monotonic() < until:
            letters = queues.receive_message(QueueUrl=dead, WaitTimeSeconds=1).get("Messages", [])
        self.assertEqual([letter["Body"] for letter in letters], ["not JSON"], self.log())
        line = next(line for line in self.log().splitlines() if "cannot be read" in line)
        self.assertIn("dead letter", json.loads(line)["message"])

    def test_every_right_is_used(self):
        left = {(action, resource) for action, resource in unused(self.role, self.role.decisions()) if action not in ELSEWHERE}
        self.assertEqual(left, set())

    def test_no_other_right_is_asked_for_or_given(self):
        for role in (self.role, self.web):
            self.assertEqual([one for one in role.decisions() if not one["allowed"]], [])
        for role in (self.role, self.web):
            self.assertEqual(not_denied(self.deployment, role), [])
