"""The invariants hold for all templates, and each is shown to see what breaks it: a change of a template that fails it and no other."""

import copy
import unittest
from collections.abc import Callable

import invariants
import templates


def resource(stack: str, name: str, change: Callable[[dict], None]) -> Callable:
    """A mutant: a change of a resource's properties."""
    return lambda all_of_them: change(all_of_them[stack].parsed["Resources"][name]["Properties"])


def declaration(stack: str, name: str, **changed) -> Callable:
    """A mutant: a change of what stands beside a resource's properties."""
    return lambda all_of_them: all_of_them[stack].parsed["Resources"][name].update(changed)


def new(stack: str, kind: str, **properties) -> Callable:
    """A mutant: one more resource."""
    def change(all_of_them):
        all_of_them[stack].parsed["Resources"]["Another"] = {"Type": kind, "Properties": properties}
    return change


def parameter(stack: str, name: str, change: Callable[[dict], None]) -> Callable:
    """A mutant: a change of a parameter."""
    return lambda all_of_them: change(all_of_them[stack].parsed["Parameters"][name])


def output(stack: str, name: str, **changed) -> Callable:
    """A mutant: a change of an output."""
    return lambda all_of_them: all_of_them[stack].parsed["Outputs"][name].update(changed)


def statement(stack: str, name: str, **changed) -> Callable:
    """A mutant: a change of the first statement of a resource's policy, None removes a key."""
    def change(all_of_them):
        properties = all_of_them[stack].parsed["Resources"][name]["Properties"]
        first = next(node for node in templates.nodes(properties) if isinstance(node, dict) and "PolicyDocument" in node)
        chosen = first["PolicyDocument"]["Statement"][0]
        for key, value in changed.items():
            chosen.pop(key, None)
            if value is not None:
                chosen[key] = value
    return change


def body(stack: str, change: Callable[[str], str]) -> Callable:
    """A mutant: a change of a template's text alone."""
    def changed(all_of_them):
        all_of_them[stack].body = change(all_of_them[stack].body)
    return changed


def rule(group: str, **properties) -> Callable:
    """A mutant: one more rule that lets somebody into a group."""
    return new("network", "AWS::EC2::SecurityGroupIngress", GroupId={"Ref": group}, IpProtocol="tcp", **properties)


def way_out(**properties) -> Callable:
    """A mutant: one more way out of the database's group."""
    return new("network", "AWS::EC2::SecurityGroupEgress", GroupId={"Ref": "DatabaseSecurityGroup"}, IpProtocol="tcp", **properties)


def unexported(all_of_them) -> None:
    """A mutant: an output that others import is exported no more."""
    all_of_them["network"].parsed["Outputs"]["VpcId"].pop("Export")


def section(stack: str, name: str, **added) -> Callable:
    """A mutant: more in a section of a template."""
    return lambda all_of_them: all_of_them[stack].parsed[name].update(added)


def labelled(all_of_them) -> None:
    """A mutant: a parameter with another name for people."""
    all_of_them["web"].parsed["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"] = {"Nat": {"default": "NAT gateways"}}


def ungroup(all_of_them) -> None:
    """A mutant: a parameter that no group has."""
    all_of_them["web"].parsed["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"][0]["Parameters"].pop()


def tell_machines(properties: dict) -> None:
    """What a mutant does to a launch template: one more line of user data, a secret."""
    properties["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Join"][1].append("{{resolve:secretsmanager:one}}")


DOOR = {"SourceSecurityGroupId": {"Ref": "WebSecurityGroup"}}
SECRET = {"Type": "String", "Description": "A password", "AllowedPattern": "^.+$"}


def told_a_secret(all_of_them) -> None:
    """A mutant: a parameter that is a secret."""
    all_of_them["web"].parsed["Parameters"]["AdminPassword"] = SECRET
    all_of_them["web"].parsed["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"][0]["Parameters"].append("AdminPassword")
    all_of_them["web"].body = all_of_them["web"].body.replace("\nRules:\n", "\n  AdminPassword:\n    Type: String\nRules:\n", 1)


MUTANTS = [
    ("actions_are_named", statement("web", "MachinePolicy", Action=["s3:*"])),
    ("actions_are_named", statement("web", "MachinePolicy", Action=["s3:Get*"])),
    ("actions_are_named", statement("web", "MachinePolicy", Action=None, NotAction=["iam:CreateUser"])),
    ("resources_are_named", statement("web", "MachinePolicy", Resource="*")),
    ("resources_are_named", statement("migrate", "Role", Resource=["*"])),
    ("nobody_is_everybody", statement("messaging", "TopicPolicy", Principal="*")),
    ("nobody_is_everybody", statement("messaging", "TopicPolicy", Principal={"AWS": "*"})),
    ("nobody_is_everybody", new("ops", "AWS::IAM::User", UserName="operator")),
    ("services_act_for_this_account", statement("messaging", "QueuePolicy", Condition=None)),
    ("services_act_for_this_account", statement("ops", "AlarmsPolicy", Condition=None)),
    ("services_act_for_this_account", new("messaging", "AWS::Lambda::Permission", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")),
    ("only_the_load_balancer_is_open", rule("WebSecurityGroup", FromPort=5000, ToPort=5000, CidrIp="0.0.0.0/0")),
    ("only_the_load_balancer_is_open", rule("WebSecurityGroup", FromPort=5000, ToPort=5000, CidrIpv6="::/0")),
    ("only_the_load_balancer_is_open", rule("LoadBalancerSecurityGroup", FromPort=5000, ToPort=5000, CidrIp="0.0.0.0/0")),
    ("ways_out_are_listed", way_out(FromPort=443, ToPort=443, CidrIp="0.0.0.0/0")),
    ("ways_out_are_listed", way_out(FromPort=0, ToPort=65535, DestinationSecurityGroupId={"Ref": "WebSecurityGroup"})),
    ("ways_out_are_listed", resource("network", "WorkerSecurityGroup", lambda it: it.pop("SecurityGroupEgress"))),
    ("nobody_signs_in_to_machines", rule("WebSecurityGroup", FromPort=22, ToPort=22, **DOOR)),
    ("nobody_signs_in_to_machines", rule("WebSecurityGroup", FromPort=0, ToPort=1024, **DOOR)),
    ("nobody_signs_in_to_machines", new("network", "AWS::EC2::SecurityGroupIngress", GroupId={"Ref": "WebSecurityGroup"}, IpProtocol="-1", **DOOR)),
    ("nobody_signs_in_to_machines", resource("web", "WebTemplate", lambda it: it["LaunchTemplateData"].update(KeyName="mine"))),
    ("buckets_are_closed", resource("data", "PhotosBucket", lambda it: it["PublicAccessBlockConfiguration"].update(BlockPublicAcls=False))),
    ("buckets_are_closed", resource("data", "ArtifactsBucket", lambda it: it.pop("PublicAccessBlockConfiguration"))),
    ("buckets_are_closed", resource("edge", "MaintenanceBucket", lambda it: it.pop("OwnershipControls"))),
    ("buckets_are_closed", resource("web", "AccessLogs", lambda it: it.pop("BucketEncryption"))),
    ("buckets_are_closed", statement("data", "PhotosBucketPolicy", Effect="Deny", Condition={"Bool": {"aws:SecureTransport": "true"}})),
    ("buckets_are_closed", statement("data", "ArtifactsBucketPolicy", Resource={"Fn::GetAtt": ["ArtifactsBucket", "Arn"]})),
    ("data_outlives_its_stack", declaration("data", "PhotosBucket", DeletionPolicy="Delete")),
    ("data_outlives_its_stack", declaration("data", "ArtifactsBucket", UpdateReplacePolicy="Delete")),
    ("data_outlives_its_stack", declaration("data", "Database", DeletionPolicy="Delete")),
    ("data_outlives_its_stack", declaration("data", "UserPool", DeletionPolicy=None)),
    ("data_outlives_its_stack", declaration("data", "UserPool", DeletionPolicy="Retain")),
    ("logs_have_an_end", resource("web", "LogGroup", lambda it: it.pop("RetentionInDays"))),
    ("functions_have_logs", resource("migrate", "Log", lambda it: it.update(LogGroupName="/aws/lambda/other"))),
    ("the_database_is_shut", resource("data", "Database", lambda it: it.update(PubliclyAccessible=True))),
    ("the_database_is_shut", resource("data", "Database", lambda it: it.update(StorageEncrypted=False))),
    ("the_database_is_shut", resource("data", "Database", lambda it: it.pop("ManageMasterUserPassword"))),
    ("the_database_is_shut", resource("data", "Database", lambda it: it.update(MasterUserPassword="secret"))),
    ("the_database_is_shut", resource("data", "Database", lambda it: it.update(BackupRetentionPeriod=0))),
    ("the_database_is_shut", resource("data", "DatabaseParameters", lambda it: it["Parameters"].update(require_secure_transport="0"))),
    ("machines_are_hardened", resource("web", "WebTemplate", lambda it: it["LaunchTemplateData"]["MetadataOptions"].update(HttpTokens="optional"))),
    ("machines_are_hardened", resource("web", "WorkerTemplate", lambda it: it["LaunchTemplateData"]["MetadataOptions"].update(HttpPutResponseHopLimit=2))),
    ("machines_are_hardened", resource("web", "WebTemplate", lambda it: it["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"].pop("Encrypted"))),
    ("machines_are_hardened", resource("web", "WebTemplate", lambda it: it["LaunchTemplateData"].pop("BlockDeviceMappings"))),
    ("messages_are_encrypted", resource("messaging", "DeadLetterQueue", lambda it: it.update(SqsManagedSseEnabled=False))),
    ("messages_are_encrypted", new("messaging", "AWS::SNS::Topic", TopicName="other")),
    ("secrets_stay_in_their_store", told_a_secret),
    ("secrets_stay_in_their_store", output("data", "UserPoolClientId", Value={"Fn::GetAtt": ["UserPoolClient", "ClientSecret"]})),
    ("secrets_stay_in_their_store", output("data", "DatabaseHost", Value="{{resolve:secretsmanager:one}}")),
    ("secrets_stay_in_their_store", resource("web", "WebTemplate", tell_machines)),
    ("parameters_are_checked", parameter("network", "VpcCidr", lambda it: it.pop("AllowedPattern"))),
    ("parameters_are_checked", parameter("network", "VpcCidr", lambda it: it.pop("Description"))),
    ("parameters_are_grouped", ungroup),
    ("stacks_agree_on_parameters", parameter("web", "Nat", lambda it: it["AllowedValues"].append("double"))),
    ("stacks_agree_on_parameters", parameter("web", "Nat", lambda it: it.update(Default="single"))),
    ("stacks_agree_on_parameters", parameter("web", "Release", lambda it: it.update(AllowedPattern="^[0-9.]+$"))),
    ("stacks_agree_on_parameters", parameter("migrate", "Name", lambda it: it.update(MaxLength=22))),
    ("stacks_agree_on_parameters", parameter("web", "LogDays", lambda it: it.update(Description="Days for which logs of machines are kept."))),
    ("stacks_agree_on_parameters", parameter("edge", "Name", lambda it: it.update(ConstraintDescription="another."))),
    ("names_are_of_one_style", section("ops", "Conditions", HasBudget={"Fn::Equals": ["1", "1"]})),
    ("names_are_of_one_style", resource("ops", "Server5xx", lambda it: it.update(AlarmName={"Fn::Sub": "${Name}-server5xx"}))),
    ("names_are_of_one_style", statement("data", "PhotosBucketPolicy", Sid="TlsOnly")),
    ("names_are_of_one_style", labelled),
    ("imports_have_exports", unexported),
    ("exports_are_imported", output("web", "LoadBalancerArn", Export={"Name": {"Fn::Sub": "${Name}-LoadBalancerArn"}})),
    ("exports_are_of_this_deployment", output("migrate", "Function", Export={"Name": "migrate-function"})),
    ("exports_are_of_this_deployment", output("migrate", "Function", Description="")),
    ("templates_fit_into_a_request", body("web", lambda it: it + "#" * invariants.LARGEST_BODY)),
    ("deploy_reads_the_parameters", body("web", lambda it: it.replace("\n  SiteUrl:\n", "\n   SiteUrl:\n", 1))),
]


def broken(all_of_them: dict[str, templates.Template]) -> dict[str, list[str]]:
    """The invariants that do not hold, with what is said of each."""
    told = {invariant.__name__: list(invariant(all_of_them)) for invariant in invariants.ALL}
    return {name: sentences for name, sentences in told.items() if sentences}


class Invariants(unittest.TestCase):
    """What holds for all templates."""

    @classmethod
    def setUpClass(cls):
        cls.templates = templates.load()

    def test_every_stack_of_deploy_sh_has_a_template(self):
        text = (templates.STACKS.parent / "account.sh").read_text()
        listed = text.split("all_stacks=(")[1].split(")")[0].split()
        self.assertEqual(sorted(listed), sorted(self.templates))

    def test_the_invariants_hold(self):
        self.assertEqual(broken(self.templates), {})

    def test_each_mutant_breaks_its_invariant_and_no_other(self):
        for number, (name, change) in enumerate(MUTANTS):
            with self.subTest(invariant=name, mutant=number):
                mutant = copy.deepcopy(self.templates)
                change(mutant)
                self.assertEqual(list(broken(mutant)), [name])

    def test_each_invariant_has_a_mutant(self):
        self.assertEqual({name for name, _change in MUTANTS}, {invariant.__name__ for invariant in invariants.ALL})

    def test_every_exception_is_used(self):
        """A right, a service or a topic that is excepted, and is not there any more, is no exception any more."""
        allowed = {
            action for _stack, _name, one, _key in invariants.statements(self.templates) if "*" in templates.items(one.get("Resource", []))
            for action in templates.items(one["Action"])
        }
        self.assertEqual(set(invariants.WITHOUT_RESOURCE) - allowed, set())
        named = {(stack, name, one.get("Sid")) for stack, name, one, _key in invariants.statements(self.templates)}
        self.assertEqual(set(invariants.BOUND_OTHERWISE) - named, set())
        for stack, name in [*invariants.PLAIN_TOPICS, *invariants.DATA]:
            self.assertIn(name, self.templates[stack].parsed["Resources"])
        ways = {
            (group, one.get("FromPort"), one.get("CidrIp") or one["DestinationSecurityGroupId"]["Ref"])
            for _stack, group, one in invariants.rules(self.templates, "Egress")
        }
        self.assertEqual(invariants.WAYS_OUT, ways)


if __name__ == "__main__":
    unittest.main()
