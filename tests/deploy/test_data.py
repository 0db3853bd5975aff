"""The stack data as S3, RDS, Cognito and Secrets Manager tell it, and what it leaves behind when it is deleted."""

import base64
import hashlib
import hmac
import json
import unittest

from botocore.exceptions import ClientError
from ministack import MiniStack, StackFailed
from people import somebody

SITE = "https://photos.example.org"
ACCOUNT = "000000000000"


def make(aws: MiniStack, name: str, **parameters: str) -> dict[str, str]:
    """Makes or updates the stack data of the deployment `name`, on a network of its own."""
    aws.deploy(f"{name}-network", "network", Name=name)
    return aws.deploy(f"{name}-data", "data", Name=name, **parameters)


class Data(unittest.TestCase):
    """One emulator with a deployment that tests look at; those that change something have one of their own name."""

    @classmethod
    def setUpClass(cls):
        cls.aws = MiniStack(SECURE_TRANSPORT="1").start()
        cls.addClassCleanup(cls.aws.stop)
        cls.s3, cls.rds, cls.people = (cls.aws.client(service) for service in ("s3", "rds", "cognito-idp"))
        cls.made = make(cls.aws, "photo-gallery")

    def secret(self, arn: str) -> str:
        """The text of a secret."""
        return self.aws.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]

    def database(self, outputs: dict) -> dict:
        """The DB instance as RDS tells it."""
        return self.rds.describe_db_instances(DBInstanceIdentifier=outputs["DatabaseInstance"])["DBInstances"][0]

    # --- buckets ---

    def test_buckets_are_private_encrypted_versioned_and_their_owners(self):
        outputs = self.made
        for bucket in (outputs["PhotosBucket"], outputs["ArtifactsBucket"]):
            with self.subTest(bucket):
                block = self.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
                self.assertEqual(block, dict.fromkeys(
                    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True))
                owned = self.s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
                self.assertEqual(owned, [{"ObjectOwnership": "BucketOwnerEnforced"}])
                encrypted = self.s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
                self.assertEqual([rule["ApplyServerSideEncryptionByDefault"] for rule in encrypted], [{"SSEAlgorithm": "AES256"}])
                self.assertEqual(self.s3.get_bucket_versioning(Bucket=bucket)["Status"], "Enabled")
                with self.assertRaises(ClientError):
                    self.s3.get_bucket_cors(Bucket=bucket)
                self.assertEqual(self.s3.get_bucket_notification_configuration(Bucket=bucket).keys(), {"ResponseMetadata"})

    def lifecycle(self, bucket: str) -> tuple:
        """The bucket's lifecycle: days of broken-off uploads, days of old versions, whether lonely delete markers go."""
        rules = {rule["ID"]: rule for rule in self.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
        self.assertEqual(rules.keys(), {"broken-off-uploads", "old-versions"})
        self.assertEqual({rule["Status"] for rule in rules.values()}, {"Enabled"})
        self.assertEqual([rule["Filter"] for rule in rules.values()], [{}, {}], "for all objects")
        old = rules["old-versions"]
        return (rules["broken-off-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"],
                old["NoncurrentVersionExpiration"]["NoncurrentDays"], old["Expiration"]["ExpiredObjectDeleteMarker"])

    def test_broken_off_uploads_and_old_versions_go_after_their_days(self):
        outputs = make(self.aws, "lifecycle")
        self.assertEqual(self.lifecycle(outputs["PhotosBucket"]), (1, 30, True))
        self.assertEqual(self.lifecycle(outputs["ArtifactsBucket"]), (1, 30, True))
        make(self.aws, "lifecycle", PhotoVersionDays="90")
        self.assertEqual(self.lifecycle(outputs["PhotosBucket"]), (1, 90, True))
        self.assertEqual(self.lifecycle(outputs["ArtifactsBucket"]), (1, 30, True))

    def test_only_pages_of_the_site_may_read_the_bucket_by_script(self):
        outputs = make(self.aws, "cors", SiteUrl=SITE)
        rules = self.s3.get_bucket_cors(Bucket=outputs["PhotosBucket"])["CORSRules"]
        self.assertEqual(rules, [{"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": [SITE], "MaxAgeSeconds": 3600}])
        with self.assertRaises(ClientError):
            self.s3.get_bucket_cors(Bucket=outputs["ArtifactsBucket"])
        make(self.aws, "cors", SiteUrl="")
        with self.assertRaises(ClientError):
            self.s3.get_bucket_cors(Bucket=outputs["PhotosBucket"])

    def test_buckets_answer_over_tls_only(self):
        with MiniStack() as plain:
            outputs = make(plain, "photo-gallery")
            client = plain.client("s3", **somebody(plain))
            for bucket in (outputs["PhotosBucket"], outputs["ArtifactsBucket"]):
                for what, request in self.requests(client, bucket):
                    with self.subTest(what), self.assertRaises(ClientError) as refused:
                        request()
                    self.assertIn(refused.exception.response["Error"]["Code"], ("AccessDenied", "403"))
        outputs = self.made
        client = self.aws.client("s3", **somebody(self.aws))
        for bucket in (outputs["PhotosBucket"], outputs["ArtifactsBucket"]):
            for _, request in self.requests(client, bucket):
                request()

    def requests(self, client, bucket: str) -> list[tuple]:
        """Requests to a bucket and to an object in it, each with its name."""
        return [
            ("PutObject", lambda: client.put_object(Bucket=bucket, Key="photos/a", Body=b"a")),
            ("GetObject", lambda: client.get_object(Bucket=bucket, Key="photos/a")),
            ("ListObjects", lambda: client.list_objects_v2(Bucket=bucket)),
        ]

    def test_a_distribution_may_read_photos_and_renditions_once_it_is_known(self):
        outputs = make(self.aws, "cdn")
        self.assertEqual([one["Effect"] for one in self.policy(outputs["PhotosBucket"])], ["Deny"])
        make(self.aws, "cdn", PhotosDistribution="E2QWRUHAPOMQZL")
        photos, allowed = outputs["PhotosBucket"], self.policy(outputs["PhotosBucket"])[1:]
        self.assertEqual(allowed, [{
            "Sid": "ReadThroughTheDistribution", "Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": "s3:GetObject",
            "Resource": [f"arn:aws:s3:::{photos}/photos/*", f"arn:aws:s3:::{photos}/renditions/*"],
            "Condition": {"StringEquals": {"aws:SourceArn": f"arn:aws:cloudfront::{ACCOUNT}:distribution/E2QWRUHAPOMQZL"}},
        }])
        self.assertEqual([one["Effect"] for one in self.policy(outputs["ArtifactsBucket"])], ["Deny"])

    def policy(self, bucket: str) -> list[dict]:
        """The statements of a bucket's policy, of which the first lets nothing pass that does not come over TLS."""
        statements = json.loads(self.s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        self.assertEqual(statements[0], {
            "Sid": "OverTlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        })
        return statements

    # --- database ---

    def test_the_database_is_private_encrypted_kept_and_patched(self):
        network, outputs = self.aws.outputs("photo-gallery-network"), self.made
        database = self.database(outputs)
        wanted = {
            "Engine": "mysql", "EngineVersion": "8.4", "DBInstanceClass": "db.t4g.micro", "MasterUsername": "master",
            "StorageType": "gp3", "AllocatedStorage": 20, "MaxAllocatedStorage": 100, "StorageEncrypted": True,
            "PubliclyAccessible": False, "MultiAZ": False, "AutoMinorVersionUpgrade": True, "BackupRetentionPeriod": 7,
            "CopyTagsToSnapshot": True, "DeletionProtection": True, "EnabledCloudwatchLogsExports": ["error", "slowquery"],
            "CACertificateIdentifier": "rds-ca-rsa2048-g1", "MonitoringInterval": 0, "DBInstanceIdentifier": "photo-gallery-db",
        }
        self.assertEqual({key: database[key] for key in wanted}, wanted)
        self.assertEqual(database["Endpoint"]["Address"], outputs["DatabaseHost"])
        self.assertEqual([one["VpcSecurityGroupId"] for one in database["VpcSecurityGroups"]], [network["DatabaseSecurityGroup"]])
        subnets = [one["SubnetIdentifier"] for one in database["DBSubnetGroup"]["Subnets"]]
        self.assertEqual(sorted(subnets), sorted(network["PrivateSubnets"].split(",")))

    def test_the_database_demands_tls_and_compares_byte_by_byte(self):
        database = self.database(self.made)
        group = database["DBParameterGroups"][0]["DBParameterGroupName"]
        self.assertEqual(self.rds.describe_db_parameter_groups(DBParameterGroupName=group)["DBParameterGroups"][0]
                         ["DBParameterGroupFamily"], "mysql8.4")
        parameters = self.rds.describe_db_parameters(DBParameterGroupName=group, Source="user")["Parameters"]
        self.assertEqual({one["ParameterName"]: one["ParameterValue"] for one in parameters if one["Source"] == "user"}, {
            "require_secure_transport": "1", "character_set_server": "utf8mb4", "collation_server": "utf8mb4_bin",
            "slow_query_log": "1", "long_query_time": "1", "log_output": "FILE",
        })

    def test_the_databases_logs_are_kept_for_their_days(self):
        make(self.aws, "logged", LogDays="90")
        groups = self.aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/rds/instance/logged-db/")["logGroups"]
        self.assertEqual({group["logGroupName"].rsplit("/")[-1]: group["retentionInDays"] for group in groups},
                         {"error": 90, "slowquery": 90})

    def test_a_standby_more_backups_and_monitoring_come_by_an_update(self):
        before = make(self.aws, "grown")
        after = make(self.aws, "grown", DatabaseMultiAz="yes", BackupDays="35", DatabaseMonitoring="yes",
                     DatabaseClass="db.m7g.large", DatabaseMaxStorage="500")
        database = self.database(after)
        self.assertEqual((database["MultiAZ"], database["BackupRetentionPeriod"], database["DBInstanceClass"],
                          database["MaxAllocatedStorage"], database["MonitoringInterval"]), (True, 35, "db.m7g.large", 500, 60))
        role = self.aws.client("iam").get_role(RoleName=database["MonitoringRoleArn"].rsplit("/")[-1])["Role"]
        statement = role["AssumeRolePolicyDocument"]["Statement"][0]
        self.assertEqual((statement["Principal"], statement["Condition"]),
                         ({"Service": "monitoring.rds.amazonaws.com"}, {"StringEquals": {"aws:SourceAccount": ACCOUNT}}))
        self.assertEqual(after, before, "nothing was replaced")

    def test_the_master_password_is_rds_own_secret(self):
        outputs = self.made
        self.assertEqual(self.database(outputs)["MasterUserSecret"]["SecretArn"], outputs["DatabaseMasterSecret"])
        self.assertEqual(json.loads(self.secret(outputs["DatabaseMasterSecret"]))["username"], "master")

    # --- people ---

    def test_people_sign_in_with_their_address_and_may_change_their_name_only(self):
        outputs = self.made
        pool = self.people.describe_user_pool(UserPoolId=outputs["UserPoolId"])["UserPool"]
        self.assertEqual((pool["UsernameAttributes"], pool["AliasAttributes"], pool["AutoVerifiedAttributes"]), (["email"], [], ["email"]))
        self.assertFalse(pool["UsernameConfiguration"]["CaseSensitive"])
        required = {one["Name"] for one in pool["SchemaAttributes"] if one["Required"]}
        self.assertEqual(required, {"sub", "email"})
        self.assertEqual(pool["UserAttributeUpdateSettings"], {"AttributesRequireVerificationBeforeUpdate": ["email"]})
        self.assertEqual(pool["AccountRecoverySetting"]["RecoveryMechanisms"], [{"Name": "verified_email", "Priority": 1}])
        self.assertEqual((pool["MfaConfiguration"], pool["DeletionProtection"]), ("OPTIONAL", "ACTIVE"))
        self.assertFalse(pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"])
        client = self.client(outputs)
        self.assertEqual((client["ReadAttributes"], client["WriteAttributes"]),
                         (["email", "email_verified", "nickname"], ["email", "nickname"]))

    def client(self, outputs: dict) -> dict:
        """The app client as Cognito tells it."""
        return self.people.describe_user_pool_client(
            UserPoolId=outputs["UserPoolId"], ClientId=outputs["UserPoolClientId"])["UserPoolClient"]

    def test_the_client_has_a_secret_short_tokens_and_tells_nobody_who_has_an_account(self):
        client = self.client(self.made)
        wanted = {
            "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            "PreventUserExistenceErrors": "ENABLED", "EnableTokenRevocation": True, "AccessTokenValidity": 20,
            "IdTokenValidity": 20, "RefreshTokenValidity": 90, "SupportedIdentityProviders": ["COGNITO"],
            "TokenValidityUnits": {"AccessToken": "minutes", "IdToken": "minutes", "RefreshToken": "days"},
            "AllowedOAuthFlowsUserPoolClient": False,
        }
        self.assertEqual({key: client[key] for key in wanted}, wanted)
        self.assertTrue(client["ClientSecret"])
        self.assertEqual([client.get(key, []) for key in ("CallbackURLs", "LogoutURLs", "AllowedOAuthFlows")], [[], [], []])

    def test_hosted_pages_come_and_go_with_the_sites_address(self):
        before = make(self.aws, "hosted")
        self.assertNotIn("UserPoolDomain", before)
        outputs = make(self.aws, "hosted", SiteUrl=SITE)
        client = self.client(outputs)
        wanted = {
            "AllowedOAuthFlowsUserPoolClient": True, "AllowedOAuthFlows": ["code"], "CallbackURLs": [f"{SITE}/callback"],
            "LogoutURLs": [f"{SITE}/"], "AllowedOAuthScopes": ["openid", "email", "profile", "aws.cognito.signin.user.admin"],
        }
        self.assertEqual({key: client[key] for key in wanted}, wanted)
        self.assertEqual(client["ClientId"], before["UserPoolClientId"])
        self.assertRegex(outputs["UserPoolDomain"], r"^hosted-[0-9a-f]{8}\.auth\.us-east-1\.amazoncognito\.com$")
        domain = outputs["UserPoolDomain"].split(".")[0]
        told = self.people.describe_user_pool_domain(Domain=domain)["DomainDescription"]
        self.assertEqual(told["UserPoolId"], outputs["UserPoolId"])
        self.assertNotIn("UserPoolDomain", make(self.aws, "hosted", SiteUrl=""))
        self.assertEqual(self.people.describe_user_pool_domain(Domain=domain)["DomainDescription"], {})

    def test_somebody_signs_up_and_in_by_the_client(self):
        outputs = self.made
        anybody = {"ClientId": outputs["UserPoolClientId"], "SecretHash": self.hashed(outputs, "ann@example.org")}
        for password in ("7 chars", "12345678"):
            request = {
                **anybody, "Username": "ann@example.org", "Password": password,
                "UserAttributes": [{"Name": "email", "Value": "ann@example.org"}, {"Name": "nickname", "Value": "Ann"}],
            }
            if len(password) < 8:
                with self.assertRaises(self.people.exceptions.InvalidPasswordException):
                    self.people.sign_up(**request)
            else:
                self.people.sign_up(**request)
        self.people.admin_confirm_sign_up(UserPoolId=outputs["UserPoolId"], Username="ann@example.org")
        client = {"ClientId": outputs["UserPoolClientId"]}
        proof = {"USERNAME": "ann@example.org", "SECRET_HASH": anybody["SecretHash"]}
        asked = self.people.initiate_auth(**client, AuthFlow="USER_SRP_AUTH", AuthParameters={**proof, "SRP_A": "5eed" * 64})
        self.assertEqual(asked["ChallengeName"], "PASSWORD_VERIFIER", "by a proof that they know the password")
        with_password = {**proof, "PASSWORD": "12345678"}
        with self.assertRaisesRegex(ClientError, "USER_PASSWORD_AUTH"):
            self.people.initiate_auth(**client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=with_password)
        with self.assertRaises(ClientError):
            self.people.admin_initiate_auth(
                **client, UserPoolId=outputs["UserPoolId"], AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=with_password)

    def hashed(self, outputs: dict, name: str) -> str:
        """The proof that a caller knows the client's secret, here from the secret that servers read."""
        key = self.secret(outputs["ClientSecret"]).encode()
        return base64.b64encode(hmac.digest(key, f"{name}{outputs['UserPoolClientId']}".encode(), hashlib.sha256)).decode()

    def test_accounts_may_be_left_to_the_operator(self):
        outputs = make(self.aws, "closed", SignUp="closed")
        pool = self.people.describe_user_pool(UserPoolId=outputs["UserPoolId"])["UserPool"]
        self.assertTrue(pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"])

    def test_codes_are_mailed_by_cognito_or_by_an_identity_of_ses(self):
        def mail(**parameters: str) -> dict:
            pool = make(self.aws, "mailing", **parameters)["UserPoolId"]
            return self.people.describe_user_pool(UserPoolId=pool)["UserPool"]["EmailConfiguration"]

        self.assertEqual(mail(), {"EmailSendingAccount": "COGNITO_DEFAULT"})
        ses = {"SesIdentityArn": f"arn:aws:ses:us-east-1:{ACCOUNT}:identity/example.org", "MailFrom": "Gallery <gallery@example.org>"}
        self.assertEqual(mail(**ses), {
            "EmailSendingAccount": "DEVELOPER", "SourceArn": ses["SesIdentityArn"], "From": ses["MailFrom"]})
        self.assertEqual(mail(SesIdentityArn="", MailFrom=""), {"EmailSendingAccount": "COGNITO_DEFAULT"})
        with self.assertRaisesRegex(ClientError, "SesIdentityArn needs MailFrom"):
            mail(SesIdentityArn=ses["SesIdentityArn"])
        with self.assertRaisesRegex(ClientError, "MailFrom needs SesIdentityArn"):
            mail(MailFrom="gallery@example.org")

    # --- secrets ---

    def test_secrets_are_plain_texts_that_no_shell_and_no_file_of_settings_breaks(self):
        outputs = self.made
        self.assertRegex(self.secret(outputs["WebUserSecret"]), r"^[A-Za-z0-9]{40}$")
        self.assertRegex(self.secret(outputs["SessionSecret"]), r"^[A-Za-z0-9]{64}$")
        self.assertEqual(self.secret(outputs["ClientSecret"]), self.client(outputs)["ClientSecret"])
        for key in ("WebUserSecret", "SessionSecret", "ClientSecret", "DatabaseMasterSecret"):
            self.assertRegex(outputs[key], f"^arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:")

    def test_no_secret_is_told_by_the_stack_and_an_update_keeps_them(self):
        outputs = make(self.aws, "told")
        keys = ("WebUserSecret", "SessionSecret", "ClientSecret", "DatabaseMasterSecret")
        before = {key: self.secret(outputs[key]) for key in keys}
        stack = self.aws.client("cloudformation").describe_stacks(StackName="told-data")["Stacks"][0]
        for secret in before.values():
            self.assertNotIn(secret, json.dumps(stack, default=str))
        make(self.aws, "told", SiteUrl=SITE, SignUp="closed", BackupDays="8", DeletionProtection="no")
        self.assertEqual({key: self.secret(outputs[key]) for key in keys}, before)

    # --- the end of it ---

    def test_photos_releases_people_and_a_snapshot_stay_when_the_stack_is_deleted(self):
        outputs = make(self.aws, "ended", DeletionProtection="no")
        self.assertFalse(self.database(outputs)["DeletionProtection"])
        self.s3.put_object(Bucket=outputs["PhotosBucket"], Key="photos/a", Body=b"kept")
        self.aws.delete("ended-data")
        self.assertEqual(self.s3.get_object(Bucket=outputs["PhotosBucket"], Key="photos/a")["Body"].read(), b"kept")
        for bucket in (outputs["PhotosBucket"], outputs["ArtifactsBucket"]):
            self.policy(bucket)
            self.assertTrue(all(self.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()))
        self.people.describe_user_pool(UserPoolId=outputs["UserPoolId"])
        with self.assertRaises(ClientError):
            self.database(outputs)
        snapshots = self.rds.describe_db_snapshots()["DBSnapshots"]
        snapshots = [one for one in snapshots if one["DBInstanceIdentifier"] == outputs["DatabaseInstance"]]
        self.assertEqual([one["Encrypted"] for one in snapshots], [True])
        left = {one["ARN"] for one in self.aws.client("secretsmanager").list_secrets()["SecretList"]}
        self.assertFalse(left & set(outputs.values()), "secrets are gone")
        again = make(self.aws, "ended", DatabaseSnapshot=snapshots[0]["DBSnapshotIdentifier"])
        self.assertEqual(self.database(again)["MasterUsername"], "master")
        self.assertNotEqual(again["PhotosBucket"], outputs["PhotosBucket"])

    def test_nothing_is_left_of_a_stack_that_could_not_be_made(self):
        with self.assertRaisesRegex(StackFailed, "absent"):
            make(self.aws, "failed", DatabaseSnapshot="absent")
        self.assertEqual([one["Name"] for one in self.s3.list_buckets()["Buckets"] if one["Name"].startswith("failed-")], [])
        self.assertEqual([one["Name"] for one in self.people.list_user_pools(MaxResults=60)["UserPools"] if one["Name"] == "failed"], [])

    def test_what_cannot_be_is_refused(self):
        self.aws.deploy("refused-network", "network", Name="refused")
        wrong = (
            {"SiteUrl": "https://photos.example.org/"}, {"SiteUrl": "http://photos.example.org"}, {"SiteUrl": "photos.example.org"},
            {"SiteUrl": "https://Photos.example.org"}, {"DatabaseVersion": "8.0"}, {"DatabaseVersion": "latest"},
            {"DatabaseClass": "t4g.micro"}, {"DatabaseMultiAz": "maybe"}, {"DatabaseStorage": "5"}, {"BackupDays": "0"},
            {"PhotoVersionDays": "0"}, {"SignUp": "ask"}, {"UploadsTopic": "uploads"}, {"PhotosDistribution": "d1.cloudfront.net"},
            {"DeletionProtection": "true"}, {"SesIdentityArn": "example.org"}, {"MailFrom": "gallery"},
        )
        for parameters in wrong:
            with self.subTest(parameters), self.assertRaises(ClientError) as refused:
                self.aws.deploy("refused-data", "data", Name="refused", **parameters)
            self.assertEqual(refused.exception.response["Error"]["Code"], "ValidationError")


if __name__ == "__main__":
    unittest.main()
