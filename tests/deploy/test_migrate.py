"""The stack migrate: the function as Lambda tells it, its role, and what an invocation of it sees."""

import json
import unittest

from botocore.exceptions import ClientError
from ministack import MiniStack
from recorder import Recorder

ACCOUNT = "000000000000"


class Migrate(unittest.TestCase):
    """One emulator with network and data, and a recorder as releases 1 and 2."""

    @classmethod
    def setUpClass(cls):
        cls.aws = MiniStack().start()
        cls.addClassCleanup(cls.aws.stop)
        cls.network = cls.aws.deploy("photo-gallery-network", "network")
        cls.data = cls.aws.deploy("photo-gallery-data", "data")
        cls.recorder = Recorder(cls.aws.folder / "invocations")
        for release in ("1", "2"):
            key = f"releases/{release}/lambda-x86_64.zip"
            cls.aws.client("s3").put_object(Bucket=cls.data["ArtifactsBucket"], Key=key, Body=cls.recorder.archive(release))
        cls.functions = cls.aws.client("lambda")

    def setUp(self):
        self.name = self.aws.deploy("photo-gallery-migrate", "migrate", Release="1")["Function"]

    def test_the_function_stands_in_private_subnets_with_the_workers_group(self):
        told = self.functions.get_function(FunctionName=self.name)["Configuration"]
        wanted = {
            "FunctionName": "photo-gallery-migrate", "Runtime": "provided.al2023", "Architectures": ["x86_64"], "Handler": "migrate",
            "Timeout": 300, "MemorySize": 512,
        }
        self.assertEqual({key: told[key] for key in wanted}, wanted)
        self.assertEqual(sorted(told["VpcConfig"]["SubnetIds"]), sorted(self.network["PrivateSubnets"].split(",")))
        self.assertEqual(told["VpcConfig"]["SecurityGroupIds"], [self.network["WorkerSecurityGroup"]])
        self.assertEqual(told["Environment"]["Variables"], {
            "DATABASE_HOST": self.data["DatabaseHost"], "GALLERY__CATALOG__MYSQL__TLS": "verify_identity",
            "GALLERY__CATALOG__MYSQL__SSL_CA": "/var/task/rds-ca.pem",
        })

    def test_its_role_writes_its_own_log_and_leaves_interfaces_to_lambda(self):
        iam = self.aws.client("iam")
        told = self.functions.get_function(FunctionName=self.name)["Configuration"]
        role = iam.get_role(RoleName=told["Role"].rsplit("/")[-1])["Role"]
        self.assertEqual([one["Principal"] for one in role["AssumeRolePolicyDocument"]["Statement"]], [{"Service": "lambda.amazonaws.com"}])
        self.assertEqual(iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"], [])
        self.assertEqual(iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"], ["migrate"])
        document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="migrate")["PolicyDocument"]
        statements = {one["Sid"]: one for one in document["Statement"]}
        self.assertEqual({sid: (one["Effect"], one["Action"], one["Resource"]) for sid, one in statements.items()}, {
            "OwnLog": ("Allow", ["logs:CreateLogStream", "logs:PutLogEvents"],
                       f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/photo-gallery-migrate:*"),
            "NetworkInterfaces": (
                "Allow", ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses",
                          "ec2:UnassignPrivateIpAddresses"], f"arn:aws:ec2:us-east-1:{ACCOUNT}:*/*"),
            "LookAtNetworkInterfaces": ("Allow", ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"], "*"),
            "NoneOfItByTheProgramItself": ("Deny", "ec2:*", "*"),
        })
        self.assertEqual(statements["NoneOfItByTheProgramItself"]["Condition"], {
            "ArnLike": {"lambda:SourceFunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:photo-gallery-migrate"}})

    def test_its_log_is_kept_for_its_days(self):
        def days() -> list[int]:
            groups = self.aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/photo-gallery-migrate")["logGroups"]
            return [group["retentionInDays"] for group in groups]

        self.assertEqual(days(), [30])
        self.aws.deploy("photo-gallery-migrate", "migrate", LogDays="7")
        self.assertEqual(days(), [7])

    def test_who_invokes_it_hands_it_the_passwords_and_hears_its_answer(self):
        event = {"admin": "master", "password": "secret\"1", "user_password": "secret2"}
        answer = self.functions.invoke(FunctionName=self.name, Payload=json.dumps(event).encode())
        self.assertNotIn("FunctionError", answer)
        self.assertEqual(json.load(answer["Payload"])["message"], "recorded")
        seen = self.recorder.invocations()[-1]
        self.assertEqual((seen["event"], seen["handler"]), (event, "migrate"))
        self.assertEqual(seen["settings"]["DATABASE_HOST"], self.data["DatabaseHost"])
        self.assertEqual(seen["authorities"], "authorities", "the archive's certificate authorities are where the setting says")

    def test_another_release_takes_the_functions_place(self):
        self.assertEqual(self.release(), "1")
        before = self.functions.get_function(FunctionName=self.name)["Configuration"]
        self.assertEqual(self.aws.deploy("photo-gallery-migrate", "migrate", Release="2")["Function"], self.name)
        after = self.functions.get_function(FunctionName=self.name)["Configuration"]
        self.assertEqual(self.release(), "2")
        self.assertEqual(after["Environment"], before["Environment"])

    def release(self) -> str:
        """The release of the function that is invoked now."""
        self.assertNotIn("FunctionError", self.functions.invoke(FunctionName=self.name, Payload=b"{}"))
        return self.recorder.invocations()[-1]["release"]

    def test_a_release_must_be_named_and_be_there(self):
        for wrong in ("", "../1", "1 2", "latest"):
            with self.subTest(wrong), self.assertRaises(ClientError):
                self.aws.deploy("photo-gallery-migrate", "migrate", Release=wrong)
        with self.assertRaises(ClientError):
            self.aws.deploy("other-migrate", "migrate")

    def test_nothing_is_left_when_the_stack_is_deleted(self):
        role = self.functions.get_function(FunctionName=self.name)["Configuration"]["Role"].rsplit("/")[-1]
        self.aws.delete("photo-gallery-migrate")
        with self.assertRaises(self.functions.exceptions.ResourceNotFoundException):
            self.functions.get_function(FunctionName=self.name)
        with self.assertRaises(ClientError):
            self.aws.client("iam").get_role(RoleName=role)
        self.assertEqual(self.aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/photo-gallery-migrate")["logGroups"], [])


if __name__ == "__main__":
    unittest.main()
