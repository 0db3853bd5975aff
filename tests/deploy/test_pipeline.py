"""The stack pipeline as AWS tells it: a repository whose images cannot change, the project, and what its role may do and may not."""

import json
import unittest

from botocore.exceptions import ClientError

from deployment import NAME, Deployment, Role
from ministack import MiniStack

REPOSITORY = "https://github.com/example/photo-gallery"
CONNECTION = "arn:aws:codeconnections:us-east-1:000000000000:connection/0a1b2c3d-0000-4000-8000-000000000000"

aws: MiniStack
deployment: Deployment


def setUpModule():
    global aws, deployment
    # The bucket answers over TLS only.
    aws = MiniStack(SECURE_TRANSPORT="1").start()
    unittest.addModuleCleanup(aws.stop)
    deployment = Deployment(aws, {})


class Pipeline(unittest.TestCase):
    """The stack is made anew for each test, and is gone afterwards."""

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Makes or updates the stack and returns its outputs."""
        self.addCleanup(aws.delete, f"{NAME}-pipeline")
        deployment.deploy("pipeline", **{"Repository": REPOSITORY, **parameters})
        return aws.outputs(f"{NAME}-pipeline")

    def project(self) -> dict:
        """What CodeBuild tells of the project."""
        return aws.client("codebuild").batch_get_projects(names=[NAME])["projects"][0]

    def role_name(self) -> str:
        """The name of the project's role."""
        return self.project()["serviceRole"].rsplit("/", 1)[1]

    def role(self) -> Role:
        """The project's role."""
        return Role(aws, self.role_name())


class Images(Pipeline):
    def test_tags_mean_one_image_for_ever_and_images_are_scanned_and_encrypted(self):
        uri = self.deploy()["RepositoryUri"]
        [repository] = aws.client("ecr").describe_repositories(repositoryNames=[NAME])["repositories"]
        self.assertEqual(repository["repositoryUri"], uri)
        self.assertEqual(repository["imageTagMutability"], "IMMUTABLE")
        self.assertIs(repository["imageScanningConfiguration"]["scanOnPush"], True)
        self.assertEqual(repository["encryptionConfiguration"]["encryptionType"], "AES256")

    def test_old_images_go(self):
        self.deploy(KeepImages="12")
        policy = json.loads(aws.client("ecr").get_lifecycle_policy(repositoryName=NAME)["lifecyclePolicyText"])
        rules = {rule["selection"]["tagStatus"]: rule["selection"] for rule in policy["rules"]}
        self.assertEqual((rules["untagged"]["countType"], rules["untagged"]["countNumber"]), ("sinceImagePushed", 1))
        self.assertEqual((rules["any"]["countType"], rules["any"]["countNumber"]), ("imageCountMoreThan", 12))
        self.assertEqual({rule["action"]["type"] for rule in policy["rules"]}, {"expire"})
        # ECR wants the rule for all images to come last.
        self.assertEqual(max(policy["rules"], key=lambda rule: rule["rulePriority"])["selection"]["tagStatus"], "any")

    def test_the_repository_goes_with_its_stack(self):
        self.deploy()
        aws.delete(f"{NAME}-pipeline")
        self.assertEqual(aws.client("ecr").describe_repositories()["repositories"], [])


class Project(Pipeline):
    def test_it_builds_the_branch_as_the_repository_says_with_docker_and_leaves_what_it_made(self):
        self.deploy(Branch="release", Tests="all")
        project = self.project()
        source, environment, artifacts = project["source"], project["environment"], project["artifacts"]
        self.assertEqual((source["type"], source["location"], source["buildspec"]), ("GITHUB", REPOSITORY, "deploy/buildspec.yml"))
        self.assertEqual(project["sourceVersion"], "release")
        self.assertEqual((environment["type"], environment["image"]), ("LINUX_CONTAINER", "aws/codebuild/standard:7.0"))
        self.assertIs(environment["privilegedMode"], True)
        bucket = deployment.outputs["ArtifactsBucket"]
        self.assertEqual(
            {one["name"]: one["value"] for one in environment["environmentVariables"]},
            {
                "AWS_ACCOUNT_ID": "000000000000", "REPOSITORY_URI": deployment.outputs["RepositoryUri"], "ARTIFACTS_BUCKET": bucket,
                "TESTS": "all",
            })
        self.assertEqual((artifacts["type"], artifacts["location"], artifacts["path"]), ("S3", bucket, "builds"))

    def test_what_it_says_is_kept_for_a_while(self):
        self.deploy(LogDays="14")
        [group] = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/{NAME}/builds")["logGroups"]
        self.assertEqual(group["retentionInDays"], 14)

    def test_a_connection_reads_private_repositories(self):
        self.deploy(ConnectionArn=CONNECTION)
        self.assertEqual(self.project()["source"]["auth"], {"type": "CODECONNECTIONS", "resource": CONNECTION})
        [statement] = [one for one in self.role().statements() if one["Sid"] == "ReadTheSource"]
        self.assertEqual(statement["Resource"], [CONNECTION])
        self.deploy(ConnectionArn="")
        self.assertEqual([one for one in self.role().statements() if one["Sid"] == "ReadTheSource"], [])

    def test_only_its_own_builds_take_the_role(self):
        self.deploy()
        [statement] = aws.client("iam").get_role(RoleName=self.role_name())["Role"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(statement["Principal"], {"Service": "codebuild.amazonaws.com"})
        self.assertEqual(statement["Condition"]["StringEquals"], {"aws:SourceAccount": "000000000000"})
        project = f"arn:aws:codebuild:us-east-1:000000000000:project/{NAME}"
        self.assertEqual(statement["Condition"]["ArnLike"], {"aws:SourceArn": project})


class Rights(Pipeline):
    def test_a_build_publishes_releases_and_reads_the_authorities(self):
        self.deploy()
        storage, bucket = self.role().client("s3"), deployment.outputs["ArtifactsBucket"]
        aws.client("s3").put_object(Bucket=bucket, Key="rds-ca.pem", Body=b"authorities")
        self.assertEqual(storage.get_object(Bucket=bucket, Key="rds-ca.pem")["Body"].read(), b"authorities")
        with self.assertRaises(ClientError) as absent:
            storage.head_object(Bucket=bucket, Key="releases/0.1.0-a1b2c3d/x")
        self.assertEqual(absent.exception.response["Error"]["Code"], "404")
        for key in ("releases/0.1.0-a1b2c3d/x", "builds/1/release.zip"):
            storage.put_object(Bucket=bucket, Key=key, Body=b"x")

    def test_a_build_can_do_nothing_else(self):
        self.deploy()
        role, artifacts, photos = self.role(), deployment.outputs["ArtifactsBucket"], deployment.outputs["PhotosBucket"]
        secret = deployment.outputs["SessionSecret"]
        denied = [
            ("s3", "put_object", {"Bucket": artifacts, "Key": "rds-ca.pem", "Body": b"other authorities"}),
            ("s3", "delete_object", {"Bucket": artifacts, "Key": "releases/0.1.0-a1b2c3d/x"}),
            ("s3", "list_objects_v2", {"Bucket": photos}),
            ("s3", "get_object", {"Bucket": photos, "Key": "photos/x"}),
            ("s3", "put_object", {"Bucket": photos, "Key": "photos/x", "Body": b"x"}),
            ("s3", "delete_bucket", {"Bucket": artifacts}),
            ("ecr", "delete_repository", {"repositoryName": NAME, "force": True}),
            ("ecr", "create_repository", {"repositoryName": "another"}),
            ("ecr", "batch_delete_image", {"repositoryName": NAME, "imageIds": [{"imageTag": "0.1.0"}]}),
            ("ecr", "put_image_tag_mutability", {"repositoryName": NAME, "imageTagMutability": "MUTABLE"}),
            ("secretsmanager", "get_secret_value", {"SecretId": secret}),
            ("secretsmanager", "list_secrets", {}),
            ("cloudformation", "list_stacks", {}),
            ("iam", "list_roles", {}),
            ("sqs", "receive_message", {"QueueUrl": deployment.outputs["QueueUrl"]}),
            ("codebuild", "start_build", {"projectName": NAME}),
        ]
        for service, call, arguments in denied:
            with self.subTest(f"{service} {call} {arguments}"), self.assertRaises(ClientError) as refusal:
                getattr(role.client(service), call)(**arguments)
            self.assertRegex(refusal.exception.response["Error"]["Code"], r"^(AccessDenied(Exception)?|403)$")

    def test_only_the_sign_in_has_no_resource_of_its_own(self):
        self.deploy(ConnectionArn=CONNECTION)
        everywhere = [one["Action"] for one in self.role().statements() if "*" in one["Resource"]]
        self.assertEqual(everywhere, [["ecr:GetAuthorizationToken"]])
        for statement in self.role().statements():
            self.assertFalse([action for action in statement["Action"] if "*" in action], statement)


if __name__ == "__main__":
    unittest.main()
