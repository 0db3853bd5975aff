"""The stack network as EC2 tells it: subnets, the ways out of them, the way to S3, flow logs, and who may speak to whom."""

import unittest

from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml
from ministack import STACKS, MiniStack

ANYWHERE = "0.0.0.0/0"


def named(resource: dict) -> str:
    """The tag Name of what EC2 describes."""
    return next((tag["Value"] for tag in resource.get("Tags", []) if tag["Key"] == "Name"), "")


class Network(unittest.TestCase):
    """One emulator with a deployment that tests look at; those that change something have one of their own name, gone afterwards."""

    @classmethod
    def setUpClass(cls):
        cls.aws = MiniStack().start()
        cls.addClassCleanup(cls.aws.stop)
        cls.ec2 = cls.aws.client("ec2")
        cls.made = cls.aws.deploy("photo-gallery-network", "network")

    def deploy(self, name: str, **parameters: str) -> dict[str, str]:
        """Makes or updates the network of the deployment `name`."""
        self.addCleanup(self.aws.delete, f"{name}-network")
        return self.aws.deploy(f"{name}-network", "network", Name=name, **parameters)

    def in_vpc(self, outputs: dict, describe: str, key: str) -> list[dict]:
        """What a describe call tells of the VPC."""
        told = getattr(self.ec2, describe)(Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}])[key]
        return [one for one in told if one["VpcId"] == outputs["VpcId"]]

    def subnets(self, outputs: dict) -> dict[str, dict]:
        """The VPC's subnets by their ids."""
        return {subnet["SubnetId"]: subnet for subnet in self.in_vpc(outputs, "describe_subnets", "Subnets")}

    def way_out(self, outputs: dict, subnet: str) -> str | None:
        """Where the route table of a subnet sends what leaves the VPC: the id of a gateway."""
        tables = [
            table for table in self.in_vpc(outputs, "describe_route_tables", "RouteTables")
            if any(association.get("SubnetId") == subnet for association in table["Associations"])
        ]
        self.assertEqual(len(tables), 1, f"{subnet} has one route table")
        routes = [route for route in tables[0]["Routes"] if route.get("DestinationCidrBlock") == ANYWHERE]
        self.assertLessEqual(len(routes), 1)
        return (routes[0].get("GatewayId") or routes[0].get("NatGatewayId")) if routes else None

    def nat_gateways(self, outputs: dict) -> dict[str, dict]:
        """The VPC's NAT gateways by their ids."""
        gateways = self.ec2.describe_nat_gateways(Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}])["NatGateways"]
        return {gateway["NatGatewayId"]: gateway for gateway in gateways if gateway["State"] != "deleted"}

    # --- subnets and routes ---

    def test_public_and_private_subnets_stand_in_two_zones(self):
        outputs = self.made
        vpc = self.ec2.describe_vpcs(VpcIds=[outputs["VpcId"]])["Vpcs"][0]
        self.assertEqual((vpc["CidrBlock"], named(vpc)), ("10.1.0.0/16", "photo-gallery"))
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            told = self.ec2.describe_vpc_attribute(VpcId=outputs["VpcId"], Attribute=attribute)
            self.assertTrue(told[attribute[0].upper() + attribute[1:]]["Value"], attribute)
        subnets = self.subnets(outputs)
        self.assertEqual(len(subnets), 4)
        for kind, cidrs in (("Public", ["10.1.1.0/24", "10.1.2.0/24"]), ("Private", ["10.1.3.0/24", "10.1.4.0/24"])):
            ids = outputs[f"{kind}Subnets"].split(",")
            self.assertEqual([subnets[one]["CidrBlock"] for one in ids], cidrs)
            self.assertEqual([named(subnets[one]) for one in ids], [f"photo-gallery-{kind.lower()}-a", f"photo-gallery-{kind.lower()}-b"])
            self.assertEqual(len({subnets[one]["AvailabilityZone"] for one in ids}), 2, f"{kind} subnets stand in two zones")
        self.assertEqual(outputs["PublicCidrs"], "10.1.1.0/24,10.1.2.0/24")

    def test_subnets_follow_the_network_that_is_given(self):
        outputs = self.deploy("elsewhere", VpcCidr="172.20.0.0/16")
        cidrs = sorted(subnet["CidrBlock"] for subnet in self.subnets(outputs).values())
        self.assertEqual(cidrs, ["172.20.1.0/24", "172.20.2.0/24", "172.20.3.0/24", "172.20.4.0/24"])
        self.assertEqual(outputs["PublicCidrs"], "172.20.1.0/24,172.20.2.0/24")

    def test_without_nat_instances_stand_in_public_subnets_with_addresses(self):
        outputs = self.made
        self.check_public_subnets(outputs, addresses=True)
        for subnet in outputs["PrivateSubnets"].split(","):
            self.assertIsNone(self.way_out(outputs, subnet), "a private subnet leads nowhere")
        self.assertEqual(self.nat_gateways(outputs), {})

    def test_one_nat_gateway_serves_both_private_subnets(self):
        outputs = self.deploy("single", Nat="single")
        self.check_public_subnets(outputs, addresses=False)
        ways = {self.way_out(outputs, subnet) for subnet in outputs["PrivateSubnets"].split(",")}
        self.assertEqual(ways, set(self.nat_gateways(outputs)))
        self.assertEqual(len(ways), 1)

    def test_each_zone_may_have_a_nat_gateway_of_its_own(self):
        outputs = self.deploy("each", Nat="per-az")
        gateways, subnets = self.nat_gateways(outputs), self.subnets(outputs)
        self.assertEqual(len(gateways), 2)
        for subnet in outputs["PrivateSubnets"].split(","):
            gateway = gateways[self.way_out(outputs, subnet)]
            self.assertIn(gateway["SubnetId"], outputs["PublicSubnets"].split(","))
            self.assertEqual(subnets[gateway["SubnetId"]]["AvailabilityZone"], subnets[subnet]["AvailabilityZone"])

    def test_nat_gateways_come_and_go_with_updates(self):
        self.deploy("changing")
        addresses = len(self.ec2.describe_addresses()["Addresses"])
        for nat, gateways, ways in (("per-az", 2, 2), ("single", 1, 1), ("none", 0, 1)):
            with self.subTest(nat):
                outputs = self.deploy("changing", Nat=nat)
                self.assertEqual(len(self.nat_gateways(outputs)), gateways)
                self.assertEqual(len({self.way_out(outputs, subnet) for subnet in outputs["PrivateSubnets"].split(",")}), ways)
                self.assertEqual(len(self.ec2.describe_addresses()["Addresses"]) - addresses, gateways)
                self.check_public_subnets(outputs, addresses=nat == "none")

    def check_public_subnets(self, outputs: dict, addresses: bool) -> None:
        """Public subnets lead to the VPC's Internet gateway; what is launched there has a public address or has none."""
        attached = self.ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [outputs["VpcId"]]}])
        gateways = [gateway["InternetGatewayId"] for gateway in attached["InternetGateways"]]
        self.assertEqual(len(gateways), 1)
        subnets = self.subnets(outputs)
        for subnet in outputs["PublicSubnets"].split(","):
            self.assertEqual(self.way_out(outputs, subnet), gateways[0])
            self.assertEqual(subnets[subnet]["MapPublicIpOnLaunch"], addresses)
        for subnet in outputs["PrivateSubnets"].split(","):
            self.assertFalse(subnets[subnet]["MapPublicIpOnLaunch"])

    def test_nat_stays_as_long_as_functions_need_it(self):
        said = "reaches Rekognition and the queue by a NAT gateway only - deploy with Nat single or per-az"
        with self.assertRaisesRegex(ClientError, said):
            self.deploy("functions", Workers="lambda")
        self.deploy("functions", Workers="lambda", Nat="single")
        with self.assertRaisesRegex(ClientError, said):
            self.deploy("functions", Nat="none")
        self.deploy("functions", Workers="fleet", Nat="none")

    # --- S3 and flow logs ---

    def test_all_subnets_reach_s3_by_an_endpoint_that_knows_this_deployments_buckets_only(self):
        outputs = self.made
        endpoints = self.in_vpc(outputs, "describe_vpc_endpoints", "VpcEndpoints")
        self.assertEqual([(one["VpcEndpointType"], one["ServiceName"]) for one in endpoints],
                         [("Gateway", "com.amazonaws.us-east-1.s3")])
        tables = self.in_vpc(outputs, "describe_route_tables", "RouteTables")
        used = {
            table["RouteTableId"] for table in tables
            if any(association.get("SubnetId") for association in table["Associations"])
        }
        self.assertEqual((set(endpoints[0]["RouteTableIds"]), len(used)), (used, 3))
        # The emulator does not tell an endpoint's policy.
        policy = cfn_yaml.load(str(STACKS / "network.yaml"))["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]
        own_account = {key: {"Ref": "AWS::AccountId"} for key in ("aws:ResourceAccount", "aws:PrincipalAccount")}
        self.assertEqual([(one["Effect"], one["Action"], one["Resource"]["Fn::Sub"], one.get("Condition")) for one in policy["Statement"]], [
            ("Allow", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket",
                       "s3:GetBucketLocation"], "arn:${AWS::Partition}:s3:::${Name}-*", {"StringEquals": own_account}),
            ("Allow", "s3:GetObject", "arn:${AWS::Partition}:s3:::al2023-repos-${AWS::Region}-de612dc2/*", None),
        ])

    def test_every_connection_is_recorded_for_as_long_as_was_said(self):
        outputs = self.deploy("recorded", FlowLogDays="14")
        logs = self.ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [outputs["VpcId"]]}])["FlowLogs"]
        logs = [log for log in logs if log["ResourceId"] == outputs["VpcId"]]
        self.assertEqual([(log["TrafficType"], log["LogDestinationType"]) for log in logs], [("ALL", "cloud-watch-logs")])
        resources = self.resources("recorded-network")
        groups = self.aws.client("logs").describe_log_groups(logGroupNamePrefix=resources["FlowLogGroup"])["logGroups"]
        self.assertEqual([group["retentionInDays"] for group in groups], [14])
        self.deploy("recorded", FlowLogDays="365")
        groups = self.aws.client("logs").describe_log_groups(logGroupNamePrefix=resources["FlowLogGroup"])["logGroups"]
        self.assertEqual([group["retentionInDays"] for group in groups], [365])

    def test_the_role_of_flow_logs_writes_this_log_and_nothing_else(self):
        resources, iam = self.resources("photo-gallery-network"), self.aws.client("iam")
        role = iam.get_role(RoleName=resources["FlowLogRole"])["Role"]
        trust = role["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual([one["Principal"] for one in trust], [{"Service": "vpc-flow-logs.amazonaws.com"}])
        self.assertEqual(trust[0]["Condition"], {
            "StringEquals": {"aws:SourceAccount": "000000000000"},
            "ArnLike": {"aws:SourceArn": "arn:aws:ec2:us-east-1:000000000000:vpc-flow-log/*"},
        })
        self.assertEqual(iam.list_attached_role_policies(RoleName=resources["FlowLogRole"])["AttachedPolicies"], [])
        policies = iam.list_role_policies(RoleName=resources["FlowLogRole"])["PolicyNames"]
        self.assertEqual(policies, ["write-flow-logs"])
        statements = iam.get_role_policy(RoleName=resources["FlowLogRole"], PolicyName=policies[0])["PolicyDocument"]["Statement"]
        self.assertEqual([(one["Action"], one["Resource"]) for one in statements], [
            (["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
             f"arn:aws:logs:us-east-1:000000000000:log-group:{resources['FlowLogGroup']}:*"),
            ("logs:DescribeLogGroups", "arn:aws:logs:us-east-1:000000000000:log-group:*"),
        ])

    def resources(self, stack: str) -> dict[str, str]:
        """The physical ids of a stack's resources by their logical ids."""
        told = self.aws.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in told}

    # --- who may speak to whom ---

    def rules(self, outputs: dict, group: str) -> set[tuple]:
        """A group's rules: direction, protocol, first and last port, who is meant (a network, or the name of a group's export)."""
        names = {value: key.removesuffix("SecurityGroup") for key, value in outputs.items()}
        told = self.ec2.describe_security_groups(GroupIds=[outputs[f"{group}SecurityGroup"]])["SecurityGroups"][0]
        self.assertEqual(told["VpcId"], outputs["VpcId"])
        return {
            (direction, rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), peer)
            for direction, key in (("in", "IpPermissions"), ("out", "IpPermissionsEgress")) for rule in told[key]
            for peer in [one["CidrIp"] for one in rule.get("IpRanges", [])]
            + [one["CidrIpv6"] for one in rule.get("Ipv6Ranges", [])]
            + [one["PrefixListId"] for one in rule.get("PrefixListIds", [])]
            + [names[one["GroupId"]] for one in rule.get("UserIdGroupPairs", [])]
        }

    def test_requests_go_from_load_balancer_to_web_to_database_and_nowhere_else(self):
        outputs = self.made
        out_to_aws, out_to_database = ("out", "tcp", 443, 443, ANYWHERE), ("out", "tcp", 3306, 3306, "Database")
        self.assertEqual(self.rules(outputs, "LoadBalancer"), {
            ("in", "tcp", 80, 80, ANYWHERE), ("in", "tcp", 443, 443, ANYWHERE), ("out", "tcp", 5000, 5000, "Web"),
        })
        self.assertEqual(self.rules(outputs, "Web"), {("in", "tcp", 5000, 5000, "LoadBalancer"), out_to_aws, out_to_database})
        self.assertEqual(self.rules(outputs, "Worker"), {out_to_aws, out_to_database})
        self.assertEqual(self.rules(outputs, "Database"), {
            ("in", "tcp", 3306, 3306, "Web"), ("in", "tcp", 3306, 3306, "Worker"), ("out", "icmp", -1, -1, "127.0.0.1/32"),
        })

    def test_behind_cloudfront_the_load_balancer_hears_nobody_else(self):
        outputs = self.deploy("behind", EdgePrefixList="pl-3b927c52")
        way_out = ("out", "tcp", 5000, 5000, "Web")
        self.assertEqual(self.rules(outputs, "LoadBalancer"), {("in", "tcp", 443, 443, "pl-3b927c52"), way_out})
        self.assertEqual(self.deploy("behind", EdgePrefixList=""), outputs, "the group is the same")
        self.assertEqual(self.rules(outputs, "LoadBalancer"), {("in", "tcp", 80, 80, ANYWHERE), ("in", "tcp", 443, 443, ANYWHERE), way_out})

    def test_an_update_leaves_groups_and_subnets_as_they_are(self):
        before = self.deploy("same")
        rules = {group: self.rules(before, group) for group in ("LoadBalancer", "Web", "Worker", "Database")}
        for nat in ("single", "per-az", "none"):
            with self.subTest(nat):
                self.assertEqual(self.deploy("same", Nat=nat, FlowLogDays="7"), before, "exports that others import stay")
                self.assertEqual({group: self.rules(before, group) for group in rules}, rules)

    # --- names and ends ---

    def test_two_deployments_stand_side_by_side(self):
        one, other = self.deploy("one"), self.deploy("other")
        same = {key for key in one if one[key] == other[key]}
        self.assertEqual(same, {"PublicCidrs"})
        exports = {export["Name"]: export["Value"] for export in self.aws.client("cloudformation").list_exports()["Exports"]}
        self.assertEqual(exports["one-VpcId"], one["VpcId"])
        self.assertEqual({f"one-{key}" for key in one}, {name for name in exports if name.startswith("one-")})

    def test_what_cannot_be_is_refused(self):
        wrong = (
            {"Nat": "twice"}, {"VpcCidr": "8.8.0.0/16"}, {"VpcCidr": "10.1.0.0/24"}, {"VpcCidr": "192.169.0.0/16"},
            {"FlowLogDays": "2"}, {"Name": "Upper"}, {"Name": "under_score"}, {"Name": "much-too-long-a-name-for-it"},
            {"Name": "a"}, {"Name": "gal-"}, {"Name": "-gal"}, {"Name": "my--gal"}, {"Name": "1gal"}, {"EdgePrefixList": "cloudfront"},
        )
        for parameters in wrong:
            with self.subTest(parameters), self.assertRaises(ClientError) as refused:
                self.aws.deploy("refused-network", "network", **parameters)
            self.assertEqual(refused.exception.response["Error"]["Code"], "ValidationError")

    def test_nothing_is_left_when_the_stack_is_deleted(self):
        outputs = self.deploy("gone", Nat="per-az")
        resources = self.resources("gone-network")
        self.aws.delete("gone-network")
        for describe, key in (
            ("describe_subnets", "Subnets"), ("describe_route_tables", "RouteTables"), ("describe_vpc_endpoints", "VpcEndpoints"),
            ("describe_security_groups", "SecurityGroups"),
        ):
            self.assertEqual(self.in_vpc(outputs, describe, key), [], describe)
        self.assertEqual(self.nat_gateways(outputs), {})
        self.assertNotIn(outputs["VpcId"], [vpc["VpcId"] for vpc in self.ec2.describe_vpcs()["Vpcs"]])
        self.assertNotIn(outputs["VpcId"], [log["ResourceId"] for log in self.ec2.describe_flow_logs()["FlowLogs"]])
        groups = self.aws.client("logs").describe_log_groups(logGroupNamePrefix=resources["FlowLogGroup"])["logGroups"]
        self.assertEqual(groups, [])
        with self.assertRaises(ClientError):
            self.aws.client("iam").get_role(RoleName=resources["FlowLogRole"])


if __name__ == "__main__":
    unittest.main()
