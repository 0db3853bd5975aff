"""The stack web as AWS tells it: machines, their groups and numbers, the load balancer, its checks and logs, and the settings that servers get."""

import base64
import json
import re
import subprocess
import unittest

from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml

from deployment import BOOTSTRAP, NAME, Deployment, lines
from gallery import program
from ministack import STACKS, MiniStack

SITE = "https://photos.example.org"
CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/0a1b2c3d"
HTTPS = {"SiteUrl": SITE, "CertificateArn": CERTIFICATE}
PHOTOS_KEY = "arn:aws:secretsmanager:us-east-1:000000000000:secret:photos-AbCdEf"

aws: MiniStack
deployment: Deployment
template: dict


def setUpModule():
    global aws, deployment, template
    aws = MiniStack().start()
    unittest.addModuleCleanup(aws.stop)
    deployment = Deployment(aws, {})
    # The user pool has pages of its own only for a site with an address.
    deployment.deploy("data", SiteUrl=SITE)
    template = cfn_yaml.load(str(STACKS / "web.yaml"))


class Web(unittest.TestCase):
    """Each test has the stack as it was just made; one that another test left untouched will do."""

    made_with: dict[str, str] | None = None

    def deploy(self, **parameters: str) -> dict[str, str]:
        """The stack, made with these parameters; its outputs."""
        if Web.made_with != parameters:
            self.forget()
            deployment.deploy("web", **parameters)
            Web.made_with = parameters
        return aws.outputs(f"{NAME}-web")

    def update(self, **parameters: str) -> dict[str, str]:
        """Changes these parameters of the stack; its outputs."""
        self.addCleanup(self.forget)
        deployment.deploy("web", **parameters)
        return aws.outputs(f"{NAME}-web")

    def forget(self) -> None:
        """Deletes the stack."""
        Web.made_with = None
        aws.delete(f"{NAME}-web")

    def group(self, name: str) -> dict:
        """What Auto Scaling tells of a group of the stack."""
        found = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[deployment.outputs[name]])
        return found["AutoScalingGroups"][0]

    def machine(self, name: str) -> dict:
        """The launch template of a group, in the version that the group takes."""
        chosen = self.group(name)["LaunchTemplate"]
        found = aws.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=chosen["LaunchTemplateId"], Versions=[chosen["Version"]])
        return found["LaunchTemplateVersions"][0]["LaunchTemplateData"]

    def settings(self, name: str) -> dict[str, str]:
        """The settings that machines of a group get."""
        return lines(deployment.machine(name)["SETTINGS"])

    def policies(self, name: str) -> list[dict]:
        """How a group follows the load."""
        return aws.client("autoscaling").describe_policies(AutoScalingGroupName=deployment.outputs[name])["ScalingPolicies"]

    def attributes(self) -> dict[str, str]:
        """The attributes of the load balancer."""
        found = aws.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=deployment.outputs["LoadBalancerArn"])
        return {one["Key"]: one["Value"] for one in found["Attributes"]}

    def listeners(self) -> dict[int, dict]:
        """The listeners of the load balancer by their ports."""
        found = aws.client("elbv2").describe_listeners(LoadBalancerArn=deployment.outputs["LoadBalancerArn"])["Listeners"]
        return {one["Port"]: one for one in found}

    def target_group(self) -> dict:
        """What servers are checked by."""
        return aws.client("elbv2").describe_target_groups(TargetGroupArns=[deployment.outputs["TargetGroupArn"]])["TargetGroups"][0]


class Machines(Web):
    def test_metadata_is_told_to_nobody_without_a_token_nor_over_a_hop(self):
        self.deploy(Workers="fleet")
        for group in ("WebGroup", "WorkerGroup"):
            options = self.machine(group)["MetadataOptions"]
            self.assertEqual((options["HttpTokens"], options["HttpPutResponseHopLimit"]), ("required", 1), group)

    def test_disks_are_encrypted_and_of_the_asked_size(self):
        self.deploy(Workers="fleet", VolumeGiB="20")
        for group in ("WebGroup", "WorkerGroup"):
            disk = self.machine(group)["BlockDeviceMappings"][0]["Ebs"]
            self.assertEqual(
                (disk["Encrypted"], disk["VolumeType"], disk["VolumeSize"], disk["DeleteOnTermination"]), (True, "gp3", 20, True), group)

    def test_machines_stand_in_public_subnets_and_have_public_addresses_only_where_there_is_no_nat(self):
        self.deploy(Workers="fleet")
        for nat, public in (("none", True), ("single", False), ("per-az", False)):
            self.update(Nat=nat)
            for group in ("WebGroup", "WorkerGroup"):
                subnets = deployment.outputs["PublicSubnets" if public else "PrivateSubnets"]
                self.assertEqual(self.group(group)["VPCZoneIdentifier"], subnets, (nat, group))
                self.assertIs(self.machine(group)["NetworkInterfaces"][0]["AssociatePublicIpAddress"], public, (nat, group))

    def test_servers_and_workers_have_security_groups_and_profiles_of_their_own(self):
        outputs = self.deploy(Workers="fleet")
        iam = aws.client("iam")
        for group, security, role in (
            ("WebGroup", "WebSecurityGroup", outputs["InstanceRoleName"]),
            ("WorkerGroup", "WorkerSecurityGroup", outputs["WorkerRoleName"]),
        ):
            machine = self.machine(group)
            self.assertEqual(machine["NetworkInterfaces"][0]["Groups"], [deployment.outputs[security]])
            profile = machine["IamInstanceProfile"]["Arn"].rsplit("/", 1)[1]
            self.assertEqual(iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"][0]["RoleName"], role)

    def test_the_image_is_amazons_newest_or_the_one_to_stay_with(self):
        self.deploy()
        parameter = template["Parameters"]["LatestImage"]["Default"]
        newest = aws.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        self.assertEqual(parameter, "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
        self.assertEqual(self.machine("WebGroup")["ImageId"], newest)
        self.update(ImageId="ami-0123456789abcdef0")
        self.assertEqual(self.machine("WebGroup")["ImageId"], "ami-0123456789abcdef0")

    def test_a_new_release_is_a_new_version_of_the_template_which_the_group_takes(self):
        self.deploy()
        before = self.group("WebGroup")
        self.update(Release="0.2.0-b2c3d4e", ReleaseSha256="b" * 64)
        after = self.group("WebGroup")
        self.assertEqual(before["AutoScalingGroupName"], after["AutoScalingGroupName"])
        self.assertEqual((before["LaunchTemplate"]["Version"], after["LaunchTemplate"]["Version"]), ("1", "2"))
        machine = deployment.machine("WebGroup")
        bucket = deployment.outputs["ArtifactsBucket"]
        self.assertEqual(machine["RELEASE"], f"s3://{bucket}/releases/0.2.0-b2c3d4e/photo-gallery-0.2.0-b2c3d4e-x86_64.tar.gz")
        self.assertEqual(machine["RELEASE_SHA256"], "b" * 64)

    def test_machines_know_what_to_signal_and_where_to_log(self):
        outputs = self.deploy(Workers="fleet", Collector="yes")
        for group, role in (("WebGroup", "web"), ("WorkerGroup", "worker")):
            machine = deployment.machine(group)
            self.assertEqual(
                (machine["ROLE"], machine["STACK_NAME"], machine["RESOURCE"], machine["COLLECTOR"]), (role, f"{NAME}-web", group, "yes"))
            self.assertEqual(machine["LOG_GROUP"], outputs["LogGroup"])
        groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=outputs["LogGroup"])["logGroups"]
        self.assertEqual([one["retentionInDays"] for one in groups], [30])


class Groups(Web):
    def test_servers_stand_in_both_zones_and_are_replaced_when_the_load_balancer_finds_them_ill(self):
        self.deploy()
        group = self.group("WebGroup")
        self.assertEqual((group["MinSize"], group["MaxSize"], group["DesiredCapacity"]), (2, 4, 2))
        self.assertEqual((group["HealthCheckType"], group["HealthCheckGracePeriod"]), ("ELB", 300))
        self.assertEqual(group["VPCZoneIdentifier"], deployment.outputs["PublicSubnets"])
        self.assertEqual(len(group["VPCZoneIdentifier"].split(",")), 2)

    def test_the_number_of_servers_follows_their_cpu(self):
        self.deploy(CpuPercent="55")
        [policy] = self.policies("WebGroup")
        tracking = policy["TargetTrackingConfiguration"]
        self.assertEqual(policy["PolicyType"], "TargetTrackingScaling")
        self.assertEqual(tracking["PredefinedMetricSpecification"]["PredefinedMetricType"], "ASGAverageCPUUtilization")
        self.assertEqual(tracking["TargetValue"], 55.0)

    def test_the_number_of_workers_follows_the_photos_that_wait_for_each(self):
        self.deploy(Workers="fleet", WorkerBacklog="50")
        [policy] = self.policies("WorkerGroup")
        tracking = policy["TargetTrackingConfiguration"]
        metrics = {one["Id"]: one for one in tracking["CustomizedMetricSpecification"]["Metrics"]}
        self.assertEqual(tracking["TargetValue"], 50.0)
        self.assertEqual([key for key, one in metrics.items() if one["ReturnData"]], ["backlog"])
        self.assertEqual(metrics["backlog"]["Expression"], "waiting / IF(workers > 0, workers, 1)")
        waiting, workers = (metrics[key]["MetricStat"]["Metric"] for key in ("waiting", "workers"))
        self.assertEqual((waiting["Namespace"], waiting["MetricName"]), ("AWS/SQS", "ApproximateNumberOfMessagesVisible"))
        self.assertEqual(waiting["Dimensions"], [{"Name": "QueueName", "Value": deployment.outputs["QueueName"]}])
        self.assertEqual((workers["Namespace"], workers["MetricName"]), ("AWS/AutoScaling", "GroupInServiceInstances"))
        self.assertEqual(workers["Dimensions"], [{"Name": "AutoScalingGroupName", "Value": deployment.outputs["WorkerGroup"]}])

    def test_groups_report_the_numbers_that_workers_are_counted_by(self):
        for name in ("WebGroup", "WorkerGroup"):
            self.assertEqual(template["Resources"][name]["Properties"]["MetricsCollection"], [{"Granularity": "1Minute"}])

    def test_there_is_a_fleet_only_where_it_is_asked_for_and_servers_work_only_where_nobody_else_does(self):
        self.deploy()
        for workers, inside in (("inside", "true"), ("fleet", "false"), ("lambda", "false")):
            outputs = self.update(Workers=workers)
            self.assertEqual("WorkerGroup" in outputs, workers == "fleet", workers)
            self.assertEqual(self.settings("WebGroup")["GALLERY__WORKER__BESIDE_SERVER"], inside, workers)

    def test_a_group_comes_up_only_with_signals_and_is_renewed_one_by_one_above_its_least(self):
        for name, least in (("WebGroup", "WebMin"), ("WorkerGroup", "WorkerMin")):
            group = template["Resources"][name]
            signals, rolling = group["CreationPolicy"]["ResourceSignal"], group["UpdatePolicy"]["AutoScalingRollingUpdate"]
            self.assertEqual(signals["Count"], {"Ref": least})
            self.assertEqual(group["Properties"]["MinSize"], {"Ref": least})
            self.assertEqual((rolling["MinInstancesInService"], rolling["MaxBatchSize"]), ({"Ref": least}, 1))
            self.assertIs(rolling["WaitOnResourceSignals"], True)
            self.assertEqual(rolling["PauseTime"], signals["Timeout"])
            suspended = {"HealthCheck", "ReplaceUnhealthy", "AZRebalance", "AlarmNotification", "ScheduledActions"}
            self.assertEqual(set(rolling["SuspendProcesses"]), suspended)
        # An update needs room for one more than the least.
        parameters = template["Parameters"]
        for least, most in (("WebMin", "WebMax"), ("WorkerMin", "WorkerMax")):
            self.assertGreater(parameters[most]["MinValue"], parameters[least]["MinValue"])
            self.assertGreater(parameters[most]["Default"], parameters[least]["Default"])


class LoadBalancer(Web):
    def test_servers_are_checked_at_ping_every_ten_seconds_two_of_two(self):
        self.deploy()
        group = self.target_group()
        self.assertEqual((group["Protocol"], group["Port"], group["TargetType"]), ("HTTP", 5000, "instance"))
        self.assertEqual((group["HealthCheckProtocol"], group["HealthCheckPath"], group["Matcher"]["HttpCode"]), ("HTTP", "/ping", "200"))
        self.assertEqual((group["HealthCheckIntervalSeconds"], group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]), (10, 2, 2))
        self.assertLess(group["HealthCheckTimeoutSeconds"], group["HealthCheckIntervalSeconds"])
        found = aws.client("elbv2").describe_target_group_attributes(TargetGroupArn=deployment.outputs["TargetGroupArn"])["Attributes"]
        self.assertIn({"Key": "deregistration_delay.timeout_seconds", "Value": "30"}, found)

    def test_servers_drain_for_as_long_as_the_checks_need_and_systemd_waits_for_longer(self):
        self.deploy()
        group, drain = self.target_group(), int(self.settings("WebGroup")["GALLERY__SERVER__DRAIN_SECONDS"])
        interval = group["HealthCheckIntervalSeconds"]
        self.assertEqual(drain, interval * group["UnhealthyThresholdCount"] + interval)
        [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", BOOTSTRAP.read_text(), re.MULTILINE)
        seconds_for_work_in_hand, seconds_for_mail = 30, 15
        self.assertGreater(int(stop), drain + seconds_for_work_in_hand + seconds_for_mail)

    def test_without_a_certificate_it_listens_on_80_alone(self):
        outputs = self.deploy()
        listeners = self.listeners()
        self.assertEqual(list(listeners), [80])
        [action] = listeners[80]["DefaultActions"]
        self.assertEqual((action["Type"], action["TargetGroupArn"]), ("forward", outputs["TargetGroupArn"]))
        self.assertEqual(outputs["SiteUrl"], f"http://{outputs['LoadBalancerDns']}")
        self.assertEqual(self.settings("WebGroup")["BASE_URL"], outputs["SiteUrl"])
        self.assertEqual(outputs["SiteUrl"], outputs["SiteUrl"].lower(), "host names are compared in small letters")

    def test_with_a_certificate_it_listens_on_443_and_80_leads_there(self):
        self.deploy()
        outputs = self.update(**HTTPS)
        listeners = self.listeners()
        self.assertEqual(sorted(listeners), [80, 443])
        [redirect], [forward] = (listeners[port]["DefaultActions"] for port in (80, 443))
        self.assertEqual(redirect["Type"], "redirect")
        self.assertEqual(
            (redirect["RedirectConfig"]["Protocol"], redirect["RedirectConfig"]["Port"], redirect["RedirectConfig"]["StatusCode"]),
            ("HTTPS", "443", "HTTP_301"))
        self.assertEqual((forward["Type"], forward["TargetGroupArn"]), ("forward", outputs["TargetGroupArn"]))
        self.assertEqual(listeners[443]["Certificates"][0]["CertificateArn"], CERTIFICATE)
        self.assertEqual(listeners[443]["SslPolicy"], "ELBSecurityPolicy-TLS13-1-2-2021-06")
        self.assertEqual((outputs["SiteUrl"], self.settings("WebGroup")["BASE_URL"]), (SITE, SITE))

    def test_it_keeps_connections_drops_bad_headers_and_cannot_be_deleted_until_that_is_allowed(self):
        self.deploy()
        attributes = self.attributes()
        self.assertEqual(attributes["idle_timeout.timeout_seconds"], "60")
        self.assertEqual(attributes["routing.http.drop_invalid_header_fields.enabled"], "true")
        self.assertEqual(attributes["deletion_protection.enabled"], "true")
        self.update(DeletionProtection="no")
        self.assertEqual(self.attributes()["deletion_protection.enabled"], "false")

    def test_it_stands_in_the_public_subnets_behind_its_own_security_group(self):
        self.deploy()
        [balancer] = aws.client("elbv2").describe_load_balancers(LoadBalancerArns=[deployment.outputs["LoadBalancerArn"]])["LoadBalancers"]
        self.assertEqual(balancer["Scheme"], "internet-facing")
        self.assertEqual(balancer["SecurityGroups"], [deployment.outputs["LoadBalancerSecurityGroup"]])
        subnets = {zone["SubnetId"] for zone in balancer["AvailabilityZones"]}
        self.assertEqual(subnets, set(deployment.outputs["PublicSubnets"].split(",")))

    def test_access_logs_go_to_a_private_bucket_that_takes_them_from_load_balancers_alone_and_goes_with_them(self):
        bucket = self.deploy()["AccessLogsBucket"]
        storage = aws.client("s3")
        attributes = self.attributes()
        self.assertEqual((attributes["access_logs.s3.enabled"], attributes["access_logs.s3.bucket"]), ("true", bucket))
        blocked = storage.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        self.assertEqual(set(blocked.values()), {True})
        [rule] = storage.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
        [rule] = template["Resources"]["AccessLogs"]["Properties"]["LifecycleConfiguration"]["Rules"]
        self.assertEqual((rule["Status"], rule["ExpirationInDays"]), ("Enabled", {"Ref": "AccessLogDays"}))
        statements = {one["Sid"]: one for one in json.loads(storage.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]}
        delivery = statements["LogsOfLoadBalancers"]
        self.assertEqual(delivery["Principal"], {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"})
        self.assertEqual((delivery["Action"], delivery["Resource"]), ("s3:PutObject", f"arn:aws:s3:::{bucket}/AWSLogs/000000000000/*"))
        self.assertEqual(statements["OverTlsOnly"]["Condition"], {"Bool": {"aws:SecureTransport": "false"}})
        self.forget()
        self.assertNotIn(bucket, [one["Name"] for one in storage.list_buckets()["Buckets"]])


class Settings(Web):
    """What the program makes of the settings in the user data."""

    def in_force(self, group: str) -> dict[str, str]:
        """What `photo-gallery settings` says of a machine's settings: setting to value."""
        machine = deployment.machine(group)
        secrets = {name: "a secret of sixteen letters" for name in lines(machine["SECRETS"])}
        environment = {**lines(machine["SETTINGS"]), **secrets, "AWS_REGION": "us-east-1"}
        told = subprocess.run([program(), "settings"], env=environment, cwd=aws.folder, capture_output=True, text=True)
        self.assertEqual(told.returncode, 0, told.stderr)
        rows = re.findall(r"^\s*([a-z0-9_.]+)\s*=\s*(.*?)(?:\s+#.*)?$", told.stdout, re.MULTILINE)
        return dict(rows)

    def test_the_program_takes_the_settings_of_servers_and_workers(self):
        self.deploy(Workers="fleet")
        for group in ("WebGroup", "WorkerGroup"):
            settings = self.in_force(group)
            self.assertEqual(settings["store.s3.bucket"], f'"{deployment.outputs["PhotosBucket"]}"')
            self.assertEqual(settings["catalog.mysql.host"], f'"{deployment.outputs["DatabaseHost"]}"')
            self.assertEqual(settings["catalog.mysql.tls"], '"verify_identity"')
            self.assertEqual(settings["catalog.mysql.ssl_ca"], '"/etc/photo-gallery/rds-ca.pem"')
            self.assertEqual(settings["events.aws.topic_arn"], f'"{deployment.outputs["TopicArn"]}"')
            self.assertEqual(settings["events.aws.queue_url"], f'"{deployment.outputs["QueueUrl"]}"')
            self.assertEqual(settings["identity.cognito.pool_id"], f'"{deployment.outputs["UserPoolId"]}"')
            self.assertEqual(settings["log.format"], '"json"')
        server = self.in_force("WebGroup")
        self.assertEqual((server["server.drain_seconds"], server["worker.beside_server"]), ("30", "false"))
        self.assertEqual(server["server.bind"], '"0.0.0.0"')

    def test_the_load_balancers_networks_and_no_others_are_believed(self):
        self.deploy()
        self.assertEqual(json.loads(self.in_force("WebGroup")["server.trusted_proxies"]), ["10.1.1.0/24", "10.1.2.0/24"])
        self.update(MoreProxies="130.176.0.0/17,2600:9000::/28")
        believed = json.loads(self.in_force("WebGroup")["server.trusted_proxies"])
        self.assertEqual(believed, ["10.1.1.0/24", "10.1.2.0/24", "130.176.0.0/17", "2600:9000::/28"])

    def test_with_an_https_address_sign_in_happens_on_the_pools_pages(self):
        self.deploy(**HTTPS)
        settings = self.in_force("WebGroup")
        self.assertEqual(settings["server.base_url"], f'"{SITE}"')
        self.assertEqual(settings["identity.cognito.domain"], f'"https://{deployment.outputs["UserPoolDomain"]}"')

    def test_links_lead_to_cloudfront_where_it_is_before_the_photos(self):
        self.deploy(PhotosDomain="d111111abcdef8.cloudfront.net", PhotosKeyPairId="K2JCJMDEHXQW5F", PhotosPrivateKeySecret=PHOTOS_KEY)
        settings = self.settings("WebGroup")
        self.assertEqual(settings["GALLERY__STORE__S3__CLOUDFRONT__DOMAIN"], "d111111abcdef8.cloudfront.net")
        self.assertEqual(settings["GALLERY__STORE__S3__CLOUDFRONT__KEY_PAIR_ID"], "K2JCJMDEHXQW5F")
        secrets = lines(deployment.machine("WebGroup")["SECRETS"])
        self.assertEqual(secrets["GALLERY__STORE__S3__CLOUDFRONT__PRIVATE_KEY"], PHOTOS_KEY)

    def test_no_secret_is_in_the_user_data_but_where_it_lies(self):
        self.deploy(Workers="fleet")
        vault = aws.client("secretsmanager")
        values = [
            vault.get_secret_value(SecretId=one["ARN"])["SecretString"] for one in vault.list_secrets()["SecretList"]
        ]
        self.assertGreaterEqual(len(values), 3)
        for group in ("WebGroup", "WorkerGroup"):
            script = base64.b64decode(self.machine(group)["UserData"]).decode()
            self.assertEqual([value for value in values if value in script], [])
            for name, place in lines(deployment.machine(group)["SECRETS"]).items():
                self.assertRegex(place, r"^arn:aws:secretsmanager:", name)


class Refusals(Web):
    """Parameters that do not go together are refused before anything is made."""

    def refused(self, **parameters: str) -> str:
        """The words with which CloudFormation refuses the parameters."""
        with self.assertRaises(ClientError) as refusal:
            self.deploy(**parameters)
        return str(refusal.exception)

    def test_an_address_needs_a_certificate_and_a_certificate_an_address(self):
        self.assertIn("SiteUrl needs CertificateArn", self.refused(SiteUrl=SITE))
        self.assertIn("CertificateArn needs SiteUrl", self.refused(CertificateArn=CERTIFICATE))

    def test_a_domain_of_photos_needs_its_key(self):
        self.assertIn("PhotosDomain needs PhotosKeyPairId", self.refused(PhotosDomain="d111111abcdef8.cloudfront.net"))

    def test_what_is_misspelt_is_refused(self):
        for parameters in (
            {"SiteUrl": "http://photos.example.org", "CertificateArn": CERTIFICATE}, {"SiteUrl": f"{SITE}/", "CertificateArn": CERTIFICATE},
            {"Release": "latest"}, {"ReleaseSha256": "abc"}, {"Workers": "many"}, {"WebMin": "1"}, {"InstanceType": "t4g.small"},
            {"MoreProxies": "everybody"}, {"MoreProxies": ",".join(["130.176.0.0/17"] * 81)}, {"ImageId": "al2023"}, {"Release": ""},
        ):
            with self.subTest(parameters):
                self.refused(**parameters)


if __name__ == "__main__":
    unittest.main()
