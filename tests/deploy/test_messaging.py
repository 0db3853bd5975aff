"""The stack messaging as SNS, SQS and Lambda tell it, and what messages do in it."""

import json
import time
import unittest

from botocore.exceptions import ClientError
from ministack import MiniStack
from people import somebody
from recorder import Recorder

ACCOUNT = "000000000000"
ARN = f"us-east-1:{ACCOUNT}"


class Messaging(unittest.TestCase):
    """One emulator with network, data, and releases 1 and 2 that record; each test's stack is gone afterwards."""

    @classmethod
    def setUpClass(cls):
        cls.aws = MiniStack(SECURE_TRANSPORT="1").start()
        cls.addClassCleanup(cls.aws.stop)
        cls.sns, cls.sqs, cls.functions = (cls.aws.client(service) for service in ("sns", "sqs", "lambda"))
        cls.network = cls.aws.deploy("photo-gallery-network", "network")
        cls.data = cls.aws.deploy("photo-gallery-data", "data")
        cls.recorder = Recorder(cls.aws.folder / "invocations")
        for release in ("1", "2"):
            key = f"releases/{release}/lambda-x86_64.zip"
            cls.aws.client("s3").put_object(Bucket=cls.data["ArtifactsBucket"], Key=key, Body=cls.recorder.archive(release))

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Makes or updates the stack."""
        self.addCleanup(self.aws.delete, "photo-gallery-messaging")
        return self.aws.deploy("photo-gallery-messaging", "messaging", **parameters)

    def let_the_bucket_tell(self, topic: str) -> None:
        """Has the stack data tell the topic of uploads, until the test has ended."""
        self.addCleanup(self.aws.deploy, "photo-gallery-data", "data", UploadsTopic="")
        self.aws.deploy("photo-gallery-data", "data", UploadsTopic=topic)

    def receive(self, queue: str, seconds: float = 10) -> list[str]:
        """The bodies of the messages that the queue gives out first, which are taken from it; none after the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            given = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
            for message in given:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            if given:
                return [message["Body"] for message in given]
        return []

    def attributes(self, queue: str) -> dict[str, str]:
        """All attributes of a queue."""
        return self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]

    # --- topic and queues as they are told ---

    def test_the_queue_is_encrypted_and_gives_up_on_a_message_after_ten_times(self):
        outputs = self.deploy()
        told = self.attributes(outputs["QueueUrl"])
        wanted = {
            "QueueArn": outputs["QueueArn"], "SqsManagedSseEnabled": "true", "VisibilityTimeout": "360",
            "ReceiveMessageWaitTimeSeconds": "20", "MessageRetentionPeriod": str(4 * 24 * 3600),
        }
        self.assertEqual({key: told[key] for key in wanted}, wanted)
        redrive = json.loads(told["RedrivePolicy"])
        self.assertEqual((redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])), (outputs["DeadLetterQueueArn"], 10))
        self.assertEqual((outputs["QueueName"], outputs["DeadLetterQueueName"]), ("photo-gallery-uploads", "photo-gallery-uploads-dead"))
        dead = self.sqs.get_queue_url(QueueName=outputs["DeadLetterQueueName"])["QueueUrl"]
        told = self.attributes(dead)
        self.assertEqual((told["QueueArn"], told["SqsManagedSseEnabled"], told["MessageRetentionPeriod"]),
                         (outputs["DeadLetterQueueArn"], "true", str(14 * 24 * 3600)))
        self.assertEqual(json.loads(told["RedriveAllowPolicy"]),
                         {"redrivePermission": "byQueue", "sourceQueueArns": [outputs["QueueArn"]]})

    def test_only_this_topic_sends_to_the_queue_and_only_over_tls(self):
        outputs = self.deploy()
        tls = {"Sid": "OverTlsOnly", "Effect": "Deny", "Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
        policy = json.loads(self.attributes(outputs["QueueUrl"])["Policy"])["Statement"]
        self.assertEqual(policy, [
            {"Sid": "TheTopic", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
             "Resource": outputs["QueueArn"], "Condition": {"ArnEquals": {"aws:SourceArn": outputs["TopicArn"]}}},
            {**tls, "Action": "sqs:*", "Resource": outputs["QueueArn"]},
        ])
        dead = self.sqs.get_queue_url(QueueName=outputs["DeadLetterQueueName"])["QueueUrl"]
        policy = json.loads(self.attributes(dead)["Policy"])["Statement"]
        self.assertEqual(policy, [{**tls, "Action": "sqs:*", "Resource": outputs["DeadLetterQueueArn"]}])
        self.assertEqual(self.topic_policy(outputs), [
            {"Sid": "ThisAccount", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sns:Publish",
             "Resource": outputs["TopicArn"]},
            {**tls, "Action": "sns:Publish", "Resource": outputs["TopicArn"]},
        ])

    def topic_policy(self, outputs: dict) -> list[dict]:
        """The statements of the topic's policy."""
        return json.loads(self.sns.get_topic_attributes(TopicArn=outputs["TopicArn"])["Attributes"]["Policy"])["Statement"]

    def test_the_queue_and_who_gave_an_address_hear_of_uploads(self):
        outputs = self.deploy()
        subscriptions = self.subscriptions(outputs)
        self.assertEqual(subscriptions.keys(), {"sqs"})
        self.assertEqual(subscriptions["sqs"]["Endpoint"], outputs["QueueArn"])
        told = self.sns.get_subscription_attributes(SubscriptionArn=subscriptions["sqs"]["SubscriptionArn"])["Attributes"]
        self.assertEqual(told["RawMessageDelivery"], "true")
        self.deploy(Email="ann@example.org")
        subscriptions = self.subscriptions(outputs)
        self.assertEqual({protocol: one["Endpoint"] for protocol, one in subscriptions.items()},
                         {"sqs": outputs["QueueArn"], "email": "ann@example.org"})
        self.deploy(Email="")
        self.assertEqual(self.subscriptions(outputs).keys(), {"sqs"})

    def subscriptions(self, outputs: dict) -> dict[str, dict]:
        """The topic's subscriptions by their protocols, of which each occurs once."""
        told = self.sns.list_subscriptions_by_topic(TopicArn=outputs["TopicArn"])["Subscriptions"]
        self.assertEqual(len({one["Protocol"] for one in told}), len(told))
        return {one["Protocol"]: one for one in told}

    # --- messages ---

    def test_what_is_published_comes_to_the_queue_as_it_is(self):
        outputs = self.deploy()
        self.sns.publish(TopicArn=outputs["TopicArn"], Message='{"event": "photo.uploaded"}')
        self.assertEqual(self.receive(outputs["QueueUrl"]), ['{"event": "photo.uploaded"}'])

    def test_another_topic_cannot_send_to_the_queue(self):
        outputs = self.deploy()
        other = self.sns.create_topic(Name="another")["TopicArn"]
        self.sns.subscribe(TopicArn=other, Protocol="sqs", Endpoint=outputs["QueueArn"], Attributes={"RawMessageDelivery": "true"})
        self.sns.publish(TopicArn=other, Message="from another topic")
        self.sns.publish(TopicArn=outputs["TopicArn"], Message="from the topic")
        self.assertEqual(self.receive(outputs["QueueUrl"]), ["from the topic"])
        self.assertEqual(self.receive(outputs["QueueUrl"], seconds=2), [])

    def test_a_message_that_nobody_finishes_becomes_a_dead_letter(self):
        outputs = self.deploy()
        self.sqs.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="unreadable")
        for _ in range(10):
            given = self.sqs.receive_message(QueueUrl=outputs["QueueUrl"], VisibilityTimeout=0, WaitTimeSeconds=1)["Messages"]
            self.assertEqual([message["Body"] for message in given], ["unreadable"])
        self.assertEqual(self.receive(outputs["QueueUrl"], seconds=1), [])
        dead = self.sqs.get_queue_url(QueueName=outputs["DeadLetterQueueName"])["QueueUrl"]
        self.assertEqual(self.receive(dead), ["unreadable"])

    def test_topic_and_queues_are_reached_over_tls_only(self):
        with MiniStack() as plain:
            outputs = plain.deploy("photo-gallery-messaging", "messaging")
            for what, request in self.requests(plain, outputs):
                with self.subTest(what), self.assertRaises(ClientError) as refused:
                    request()
                self.assertIn(refused.exception.response["Error"]["Code"], ("AccessDenied", "AccessDeniedException", "AuthorizationError"))
        for _, request in self.requests(self.aws, self.deploy()):
            request()

    def requests(self, aws: MiniStack, outputs: dict) -> list[tuple]:
        """Requests to topic and queues by somebody who may do everything."""
        keys = somebody(aws)
        sns, sqs = aws.client("sns", **keys), aws.client("sqs", **keys)
        dead = outputs["QueueUrl"].replace(outputs["QueueName"], outputs["DeadLetterQueueName"])
        return [
            ("publish", lambda: sns.publish(TopicArn=outputs["TopicArn"], Message="m")),
            ("send", lambda: sqs.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="m")),
            ("receive", lambda: sqs.receive_message(QueueUrl=outputs["QueueUrl"])),
            ("receive a dead letter", lambda: sqs.receive_message(QueueUrl=dead)),
        ]

    # --- the bucket tells too ---

    def test_the_bucket_tells_of_originals_and_of_nothing_else(self):
        outputs = self.deploy(S3Notifications="yes")
        self.assertEqual([one for one in self.topic_policy(outputs) if one["Sid"] == "ThePhotosBucket"], [{
            "Sid": "ThePhotosBucket", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish",
            "Resource": outputs["TopicArn"],
            "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{self.data['PhotosBucket']}"},
                          "StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }])
        self.let_the_bucket_tell(outputs["TopicArn"])
        said = json.loads(self.receive(outputs["QueueUrl"])[0])
        self.assertEqual(said["Event"], "s3:TestEvent")
        storage = self.aws.client("s3")
        told = storage.get_bucket_notification_configuration(Bucket=self.data["PhotosBucket"])["TopicConfigurations"]
        self.assertEqual([(one["TopicArn"], one["Events"], one["Filter"]["Key"]["FilterRules"]) for one in told],
                         [(outputs["TopicArn"], ["s3:ObjectCreated:*"], [{"Name": "prefix", "Value": "photos/"}])])
        storage.put_object(Bucket=self.data["PhotosBucket"], Key="renditions/a/thumb.jpg", Body=b"a")
        storage.put_object(Bucket=self.data["PhotosBucket"], Key="photos/a", Body=b"a")
        bodies = [json.loads(body) for body in self.receive(outputs["QueueUrl"])]
        self.assertEqual([(record["eventName"], record["s3"]["bucket"]["name"], record["s3"]["object"]["key"])
                          for body in bodies for record in body["Records"]],
                         [("ObjectCreated:Put", self.data["PhotosBucket"], "photos/a")])
        self.assertEqual(self.receive(outputs["QueueUrl"], seconds=2), [])
        self.aws.deploy("photo-gallery-data", "data", UploadsTopic="")
        storage.put_object(Bucket=self.data["PhotosBucket"], Key="photos/b", Body=b"b")
        self.assertEqual(self.receive(outputs["QueueUrl"], seconds=2), [])

    def test_no_bucket_publishes_unless_the_stack_allows_it(self):
        outputs = self.deploy()
        with self.assertRaisesRegex(Exception, "Unable to validate the following destination"):
            self.let_the_bucket_tell(outputs["TopicArn"])
        self.deploy(S3Notifications="yes")
        other = self.aws.client("s3")
        other.create_bucket(Bucket="somebody-elses")
        with self.assertRaisesRegex(ClientError, "Unable to validate the following destination"):
            other.put_bucket_notification_configuration(Bucket="somebody-elses", NotificationConfiguration={
                "TopicConfigurations": [{"TopicArn": outputs["TopicArn"], "Events": ["s3:ObjectCreated:*"]}]})

    # --- workers that are functions ---

    def test_workers_that_are_functions_need_a_way_out_and_a_release(self):
        for parameters, said in (
            ({"Release": "1"}, "reaches Rekognition and the queue by a NAT gateway only - deploy with Nat single or per-az"),
            ({"Nat": "single"}, "Release says which version the function runs"),
        ):
            with self.subTest(parameters), self.assertRaisesRegex(ClientError, said):
                self.aws.deploy("photo-gallery-messaging", "messaging", Workers="lambda", **parameters)

    def test_the_function_has_its_settings_and_the_password_of_web_user(self):
        outputs = self.deploy(Workers="lambda", Nat="single", Release="1", WorkersAtMost="7", LogDays="14")
        told = self.functions.get_function(FunctionName="photo-gallery-work")["Configuration"]
        wanted = {"Runtime": "provided.al2023", "Architectures": ["x86_64"], "Handler": "work", "Timeout": 60, "MemorySize": 1024}
        self.assertEqual({key: told[key] for key in wanted}, wanted)
        self.assertEqual(sorted(told["VpcConfig"]["SubnetIds"]), sorted(self.network["PrivateSubnets"].split(",")))
        self.assertEqual(told["VpcConfig"]["SecurityGroupIds"], [self.network["WorkerSecurityGroup"]])
        password = self.aws.client("secretsmanager").get_secret_value(SecretId=self.data["WebUserSecret"])["SecretString"]
        self.assertEqual(told["Environment"]["Variables"], {
            "PHOTOS_BUCKET": self.data["PhotosBucket"], "DATABASE_HOST": self.data["DatabaseHost"], "DATABASE_PASSWORD": password,
            "GALLERY__CATALOG__MYSQL__TLS": "verify_identity", "GALLERY__CATALOG__MYSQL__SSL_CA": "/var/task/rds-ca.pem",
            "GALLERY__CATALOG__MYSQL__CONNECTIONS": "4", "GALLERY__EVENTS__AWS__QUEUE_URL": outputs["QueueUrl"],
        })
        key = self.aws.client("kms").describe_key(KeyId=told["KMSKeyArn"])["KeyMetadata"]
        self.assertEqual((key["KeyState"], key["KeyManager"]), ("Enabled", "CUSTOMER"))
        self.assertTrue(self.aws.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"])
        sources = self.functions.list_event_source_mappings(FunctionName="photo-gallery-work")["EventSourceMappings"]
        self.assertEqual([(one["EventSourceArn"], one["BatchSize"], one["FunctionResponseTypes"], one["ScalingConfig"]) for one in sources],
                         [(outputs["QueueArn"], 10, ["ReportBatchItemFailures"], {"MaximumConcurrency": 7})])
        self.assertEqual(int(self.attributes(outputs["QueueUrl"])["VisibilityTimeout"]), 6 * told["Timeout"])
        groups = self.aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/photo-gallery-work")["logGroups"]
        self.assertEqual([group["retentionInDays"] for group in groups], [14])
        for told in (self.aws.client("cloudformation").describe_stacks(StackName="photo-gallery-messaging")["Stacks"][0],
                     self.aws.client("cloudformation").get_template(StackName="photo-gallery-messaging")["TemplateBody"]):
            self.assertNotIn(password, json.dumps(told, default=str))

    def test_the_functions_role_does_what_a_worker_does_and_nothing_else(self):
        outputs = self.deploy(Workers="lambda", Nat="single", Release="1")
        name = self.functions.get_function(FunctionName="photo-gallery-work")["Configuration"]["Role"].rsplit("/")[-1]
        iam, photos = self.aws.client("iam"), f"arn:aws:s3:::{self.data['PhotosBucket']}"
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual([one["Principal"] for one in trust], [{"Service": "lambda.amazonaws.com"}])
        self.assertEqual(iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"], [])
        self.assertEqual(iam.list_role_policies(RoleName=name)["PolicyNames"], ["work"])
        statements = {
            one["Sid"]: one for one in iam.get_role_policy(RoleName=name, PolicyName="work")["PolicyDocument"]["Statement"]
        }
        self.assertEqual({sid: (one["Effect"], one["Action"], one["Resource"]) for sid, one in statements.items()}, {
            "OwnLog": ("Allow", ["logs:CreateLogStream", "logs:PutLogEvents"], f"arn:aws:logs:{ARN}:log-group:/aws/lambda/photo-gallery-work:*"),
            "ReadPhotos": ("Allow", "s3:GetObject", [f"{photos}/photos/*", f"{photos}/renditions/*"]),
            "MakeRenditions": ("Allow", ["s3:PutObject", "s3:DeleteObject"], f"{photos}/renditions/*"),
            "AbsentObjectsAreNotFoundRatherThanForbidden": ("Allow", "s3:ListBucket", photos),
            "Labels": ("Allow", "rekognition:DetectLabels", "*"),
            "TakeMessagesFromTheQueue": (
                "Allow", ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
                outputs["QueueArn"]),
            "NetworkInterfaces": (
                "Allow", ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses",
                          "ec2:UnassignPrivateIpAddresses"], f"arn:aws:ec2:{ARN}:*/*"),
            "LookAtNetworkInterfaces": ("Allow", ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"], "*"),
            "NoneOfItByTheProgramItself": ("Deny", "ec2:*", "*"),
        })
        self.assertEqual({sid: one["Condition"] for sid, one in statements.items() if "Condition" in one}, {
            "NoneOfItByTheProgramItself": {"ArnLike": {"lambda:SourceFunctionArn": f"arn:aws:lambda:{ARN}:function:photo-gallery-work"}},
        })

    def test_an_object_put_into_the_bucket_comes_to_the_function_through_topic_and_queue(self):
        outputs = self.deploy(Workers="lambda", Nat="per-az", Release="1", S3Notifications="yes")
        self.let_the_bucket_tell(outputs["TopicArn"])
        self.aws.client("s3").put_object(Bucket=self.data["PhotosBucket"], Key="photos/an original", Body=b"a")
        self.recorder.until(lambda: any("an+original" in body for body in self.recorder.messages()))
        records = [record for body in self.recorder.messages() for record in json.loads(body).get("Records", [])]
        self.assertIn((self.data["PhotosBucket"], "photos/an+original"),
                      [(record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]) for record in records])
        seen = self.recorder.invocations()[-1]
        self.assertEqual((seen["handler"], seen["authorities"]), ("work", "authorities"))
        self.assertEqual(seen["event"]["Records"][0]["eventSourceARN"], outputs["QueueArn"])

    def test_only_what_the_function_could_not_do_comes_again(self):
        outputs = self.deploy(Workers="lambda", Nat="single", Release="1")
        self.sqs.set_queue_attributes(QueueUrl=outputs["QueueUrl"], Attributes={"VisibilityTimeout": "5"})
        for body in ("batch done", "batch fail"):
            self.sns.publish(TopicArn=outputs["TopicArn"], Message=body)
        self.recorder.until(lambda: self.recorder.messages().count("batch fail") > 1)
        self.assertGreater(self.recorder.messages().count("batch fail"), 1)
        self.assertEqual(self.recorder.messages().count("batch done"), 1)

    def test_the_function_goes_with_other_workers_and_the_queue_stays(self):
        before = self.deploy(Workers="lambda", Nat="single", Release="1")
        told = self.functions.get_function(FunctionName="photo-gallery-work")["Configuration"]
        self.sqs.send_message(QueueUrl=before["QueueUrl"], MessageBody="first")
        self.recorder.until(lambda: "first" in self.recorder.messages())
        self.assertEqual(self.recorder.invocations()[-1]["release"], "1")
        self.assertEqual(self.deploy(Release="2"), before)
        self.sqs.send_message(QueueUrl=before["QueueUrl"], MessageBody="next")
        self.recorder.until(lambda: "next" in self.recorder.messages())
        self.assertEqual(self.recorder.invocations()[-1]["release"], "2")
        self.assertEqual(self.deploy(Workers="fleet"), before)
        self.check_no_function("photo-gallery-work", told)
        self.sns.publish(TopicArn=before["TopicArn"], Message="second")
        self.assertEqual(self.receive(before["QueueUrl"]), ["second"])

    def check_no_function(self, name: str, told: dict) -> None:
        """Of a function that was told so nothing is left: itself, its source, role, log, and its key but for the days until it is gone."""
        with self.assertRaises(self.functions.exceptions.ResourceNotFoundException):
            self.functions.get_function(FunctionName=name)
        self.assertEqual(self.functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"], [])
        with self.assertRaises(ClientError):
            self.aws.client("iam").get_role(RoleName=told["Role"].rsplit("/")[-1])
        self.assertEqual(self.aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"], [])
        try:
            state = self.aws.client("kms").describe_key(KeyId=told["KMSKeyArn"])["KeyMetadata"]["KeyState"]
        except ClientError:
            return
        self.assertEqual(state, "PendingDeletion")

    # --- the end of it ---

    def test_nothing_is_left_when_the_stack_is_deleted(self):
        outputs = self.deploy(Workers="lambda", Nat="single", Release="1", Email="ann@example.org")
        told = self.functions.get_function(FunctionName="photo-gallery-work")["Configuration"]
        self.aws.delete("photo-gallery-messaging")
        self.check_no_function("photo-gallery-work", told)
        self.assertNotIn(outputs["TopicArn"], [topic["TopicArn"] for topic in self.sns.list_topics()["Topics"]])
        self.assertEqual(self.sqs.list_queues(QueueNamePrefix="photo-gallery-").get("QueueUrls", []), [])
        left = [one for one in self.sns.list_subscriptions()["Subscriptions"] if one["TopicArn"] == outputs["TopicArn"]]
        self.assertEqual(left, [])

    def test_what_cannot_be_is_refused(self):
        wrong = (
            {"Email": "ann"}, {"Workers": "many"}, {"S3Notifications": "true"}, {"WorkersAtMost": "1"}, {"Release": "a/b"},
            {"Nat": "two"}, {"LogDays": "31"},
        )
        for parameters in wrong:
            with self.subTest(parameters), self.assertRaises(ClientError) as refused:
                self.aws.deploy("refused-messaging", "messaging", Name="refused", **parameters)
            self.assertEqual(refused.exception.response["Error"]["Code"], "ValidationError")


if __name__ == "__main__":
    unittest.main()
