"""What holds for all templates. Each invariant is a function from the templates to sentences about what breaks it; its name says what holds."""

import json
import re
from collections.abc import Iterator

from ministack import LARGEST_BODY
from templates import Template, choices, items, nodes

Templates = dict[str, Template]

# Actions that may be allowed on every resource, for AWS knows no resource for them.
WITHOUT_RESOURCE = {
    "rekognition:DetectLabels": "it is handed the picture and touches nothing of the account",
    "ec2:DescribeNetworkInterfaces": "EC2's describe calls know no resources",
    "ec2:DescribeSubnets": "EC2's describe calls know no resources",
    "xray:PutTraceSegments": "segments belong to no resource",
    "ecr:GetAuthorizationToken": "the token is for what the other rights allow",
    "ssm:UpdateInstanceInformation": "a machine tells of itself; the managed instance is made by this call",
    "ssmmessages:CreateControlChannel": "Session Manager's channels are no resources",
    "ssmmessages:CreateDataChannel": "Session Manager's channels are no resources",
    "ssmmessages:OpenControlChannel": "Session Manager's channels are no resources",
    "ssmmessages:OpenDataChannel": "Session Manager's channels are no resources",
}
# Services whose right is bound by something else than the condition that others need.
BOUND_OTHERWISE = {
    ("web", "AccessLogsPolicy", "LogsOfLoadBalancers"): "each account's load balancers write below its own number only",
}
PLAIN_TOPICS = {
    ("messaging", "Topic"): "its messages have ids and keys, nothing of a photo, and buckets cannot publish under the key that AWS keeps for SNS",
    ("ops", "Alarms"): "CloudWatch and budgets cannot publish under the key that AWS keeps for SNS",
}
# Where security groups let connections out to: group, port, whereto.
WAYS_OUT = {
    ("LoadBalancerSecurityGroup", 5000, "WebSecurityGroup"),
    ("WebSecurityGroup", 443, "0.0.0.0/0"), ("WebSecurityGroup", 3306, "DatabaseSecurityGroup"),
    ("WorkerSecurityGroup", 443, "0.0.0.0/0"), ("WorkerSecurityGroup", 3306, "DatabaseSecurityGroup"),
    ("DatabaseSecurityGroup", -1, "127.0.0.1/32"),
}
OPEN = ("0.0.0.0/0", "::/0")
# What outlives its stack, and how: when the stack is deleted, and when another takes its place. What fails while it is first made goes.
DATA = {
    ("data", "PhotosBucket"): ("RetainExceptOnCreate", "Retain"), ("data", "ArtifactsBucket"): ("RetainExceptOnCreate", "Retain"),
    ("data", "UserPool"): ("RetainExceptOnCreate", "Retain"), ("data", "Database"): ("Snapshot", "Snapshot"),
}
# What parameters of one name share: what they take, and what is said of them. A stack may need a value that another does not: Default
# where one has none, and MinLength, may differ.
SHARED = (
    "Type", "AllowedPattern", "AllowedValues", "MaxLength", "MinValue", "MaxValue", "Description", "ConstraintDescription",
)
SECRET_NAME = re.compile(r"password|secret|token|privatekey", re.IGNORECASE)


def statements(templates: Templates) -> Iterator[tuple[str, str, dict, str]]:
    """All statements of policies: stack, resource, the statement, and the name of the property that the policy is."""
    for stack, template in templates.items():
        for name, properties in template.resources():
            for node in nodes(properties):
                for key in ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "RepositoryPolicyText"):
                    if isinstance(node, dict) and isinstance(node.get(key), dict):
                        for statement in items(node[key]["Statement"]):
                            yield stack, name, statement, key


def rules(templates: Templates, direction: str) -> Iterator[tuple[str, str, dict]]:
    """All rules of security groups of a direction, Ingress or Egress: stack, group, rule."""
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::EC2::SecurityGroup"):
            for rule in items(properties.get(f"SecurityGroup{direction}", [])):
                yield stack, name, rule
        for _name, rule in template.resources(f"AWS::EC2::SecurityGroup{direction}"):
            yield stack, rule["GroupId"].get("Ref", str(rule["GroupId"])), rule


def actions_are_named(templates: Templates) -> Iterator[str]:
    for stack, name, statement, key in statements(templates):
        whole_key = key == "KeyPolicy" and ":root" in json.dumps(statement.get("Principal"))
        for action in items(statement.get("Action", [])):
            if statement["Effect"] == "Allow" and "*" in action and not whole_key:
                yield f"{stack} {name} allows {action}"
        if statement["Effect"] == "Allow" and "NotAction" in statement:
            yield f"{stack} {name} allows all but some actions"


def resources_are_named(templates: Templates) -> Iterator[str]:
    for stack, name, statement, key in statements(templates):
        if statement["Effect"] == "Allow" and key != "KeyPolicy" and "*" in items(statement.get("Resource", [])):
            for action in items(statement["Action"]):
                if "*" not in action and action not in WITHOUT_RESOURCE:
                    yield f"{stack} {name} allows {action} on everything"


def nobody_is_everybody(templates: Templates) -> Iterator[str]:
    for stack, name, statement, _key in statements(templates):
        everybody = statement.get("Principal") in ("*", {"AWS": "*"})
        endpoint = templates[stack].parsed["Resources"][name]["Type"] == "AWS::EC2::VPCEndpoint"
        if everybody and statement["Effect"] == "Allow" and not statement.get("Condition") and not endpoint:
            yield f"{stack} {name} allows everybody"
    for stack, template in templates.items():
        for name, _properties in template.resources("AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::IAM::Group"):
            yield f"{stack} {name} is a user or a key of one"


def services_act_for_this_account(templates: Templates) -> Iterator[str]:
    for stack, name, statement, key in statements(templates):
        principal = statement.get("Principal")
        if key != "PolicyDocument" or statement["Effect"] != "Allow" or not isinstance(principal, dict) or "Service" not in principal:
            continue
        conditions = json.dumps(statement.get("Condition", {}))
        if "aws:SourceArn" not in conditions and "aws:SourceAccount" not in conditions and (stack, name, statement.get("Sid")) not in BOUND_OTHERWISE:
            yield f"{stack} {name} lets {principal['Service']} act for any account"
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::Lambda::Permission"):
            if "SourceArn" not in properties and "SourceAccount" not in properties:
                yield f"{stack} {name} lets {properties.get('Principal')} invoke for any account"


def only_the_load_balancer_is_open(templates: Templates) -> Iterator[str]:
    for stack, group, rule in rules(templates, "Ingress"):
        if {rule.get("CidrIp"), rule.get("CidrIpv6")} & set(OPEN):
            allowed = group == "LoadBalancerSecurityGroup" and rule["FromPort"] == rule["ToPort"] and rule["FromPort"] in (80, 443)
            if not allowed:
                yield f"{stack} {group} is open to everybody at {rule.get('FromPort')} to {rule.get('ToPort')}"


def ways_out_are_listed(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::EC2::SecurityGroup"):
            if not properties.get("SecurityGroupEgress"):
                yield f"{stack} {name} lists no way out, which AWS takes for every one"
    for stack, group, rule in rules(templates, "Egress"):
        whereto = rule.get("CidrIp") or rule.get("CidrIpv6") or rule.get("DestinationSecurityGroupId", {}).get("Ref")
        if rule.get("FromPort") != rule.get("ToPort") or (group, rule.get("FromPort"), whereto) not in WAYS_OUT:
            yield f"{stack} {group} has a way out to {whereto} at {rule.get('FromPort')}"


def nobody_signs_in_to_machines(templates: Templates) -> Iterator[str]:
    for stack, group, rule in rules(templates, "Ingress"):
        whole = str(rule.get("IpProtocol")) == "-1"
        if whole or any(int(rule["FromPort"]) <= port <= int(rule["ToPort"]) for port in (22, 3389)):
            yield f"{stack} {group} lets remote shells in"
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::EC2::LaunchTemplate"):
            if "KeyName" in properties["LaunchTemplateData"]:
                yield f"{stack} {name} has a key to sign in with"


def buckets_are_closed(templates: Templates) -> Iterator[str]:
    closed = {"BlockPublicAcls": True, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": True}
    for stack, template in templates.items():
        over_tls = set()
        for _name, properties in template.resources("AWS::S3::BucketPolicy"):
            for statement in items(properties["PolicyDocument"]["Statement"]):
                if (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", "*") \
                        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and len(items(statement["Resource"])) == 2:
                    over_tls.add(properties["Bucket"]["Ref"])
        for name, properties in template.resources("AWS::S3::Bucket"):
            if properties.get("PublicAccessBlockConfiguration") != closed:
                yield f"{stack} {name} does not block all public access"
            if properties.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}:
                yield f"{stack} {name} knows other owners"
            if not properties.get("BucketEncryption"):
                yield f"{stack} {name} is not encrypted"
            if name not in over_tls:
                yield f"{stack} {name} answers without TLS"


def data_outlives_its_stack(templates: Templates) -> Iterator[str]:
    for (stack, name), wanted in DATA.items():
        resource = templates[stack].parsed["Resources"].get(name, {})
        for policy, value in zip(("DeletionPolicy", "UpdateReplacePolicy"), wanted, strict=True):
            if resource.get(policy) != value:
                yield f"{stack} {name}: {policy} is {resource.get(policy)}, not {value}"


def logs_have_an_end(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::Logs::LogGroup"):
            if not properties.get("RetentionInDays"):
                yield f"{stack} {name} keeps logs for ever"


def functions_have_logs(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        groups = [properties.get("LogGroupName") for _name, properties in template.resources("AWS::Logs::LogGroup")]
        for name, properties in template.resources("AWS::Lambda::Function"):
            if {"Fn::Sub": f"/aws/lambda/{properties['FunctionName']['Fn::Sub']}"} not in groups:
                yield f"{stack} {name} makes a log group of its own, which lasts for ever"


def the_database_is_shut(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::RDS::DBInstance"):
            for key, wanted in (("StorageEncrypted", True), ("PubliclyAccessible", False), ("ManageMasterUserPassword", True)):
                if properties.get(key) is not wanted:
                    yield f"{stack} {name}: {key} is not {wanted}"
            if "MasterUserPassword" in properties:
                yield f"{stack} {name} has a password in the template"
            if not properties.get("BackupRetentionPeriod"):
                yield f"{stack} {name} has no backups"
            group = template.parsed["Resources"][properties["DBParameterGroupName"]["Ref"]]["Properties"]
            if str(group["Parameters"].get("require_secure_transport")) not in ("1", "ON"):
                yield f"{stack} {name} answers without TLS"


def machines_are_hardened(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::EC2::LaunchTemplate"):
            data = properties["LaunchTemplateData"]
            options = data.get("MetadataOptions", {})
            if options.get("HttpTokens") != "required" or options.get("HttpPutResponseHopLimit") != 1:
                yield f"{stack} {name} answers metadata without a token, or further than one hop away"
            disks = data.get("BlockDeviceMappings", [])
            if not disks or not all(disk["Ebs"].get("Encrypted") is True for disk in disks):
                yield f"{stack} {name} has a disk that is not encrypted"


def messages_are_encrypted(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, properties in template.resources("AWS::SQS::Queue"):
            if properties.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in properties:
                yield f"{stack} {name} is not encrypted"
        for name, properties in template.resources("AWS::SNS::Topic"):
            if "KmsMasterKeyId" not in properties and (stack, name) not in PLAIN_TOPICS:
                yield f"{stack} {name} is not encrypted"


def secrets_stay_in_their_store(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, parameter in template.section("Parameters").items():
            if SECRET_NAME.search(name) and "arn:" not in parameter.get("AllowedPattern", ""):
                yield f"{stack} is given a secret as {name}"
        outputs = json.dumps(template.section("Outputs"))
        user_data = json.dumps([properties for _name, properties in template.resources("AWS::EC2::LaunchTemplate")])
        for place, text in (("an output", outputs), ("user data", user_data)):
            if "{{resolve:" in text or re.search(r'"Fn::GetAtt": \["[A-Za-z]+", "ClientSecret"\]', text):
                yield f"{stack} tells a secret in {place}"


def parameters_are_checked(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, parameter in template.section("Parameters").items():
            if not parameter.get("Description"):
                yield f"{stack} {name} is not described"
            bounded = "MinValue" in parameter and "MaxValue" in parameter
            if not (parameter.get("AllowedPattern") or parameter.get("AllowedValues") or bounded or parameter["Type"].startswith("AWS::")):
                yield f"{stack} {name} takes anything"


def parameters_are_grouped(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        groups = template.section("Metadata").get("AWS::CloudFormation::Interface", {}).get("ParameterGroups", [])
        grouped = [name for group in groups for name in group["Parameters"]]
        if sorted(grouped) != sorted(template.section("Parameters")):
            yield f"{stack}: the groups have {sorted(grouped)}, the parameters are {sorted(template.section('Parameters'))}"


def stacks_agree_on_parameters(templates: Templates) -> Iterator[str]:
    """deploy.sh hands a parameter to every stack that declares it: what one takes, each must take, and it is told of once."""
    seen: dict[str, tuple[str, dict]] = {}
    for stack, template in templates.items():
        for name, parameter in template.section("Parameters").items():
            first, other = seen.setdefault(name, (stack, parameter))
            for key in SHARED:
                if parameter.get(key) != other.get(key):
                    yield f"{name} has the {key} {parameter.get(key)} in {stack} and {other.get(key)} in {first}"
            if "Default" in parameter and "Default" in other and parameter["Default"] != other["Default"]:
                yield f"{name} is {parameter['Default']} by default in {stack} and {other['Default']} in {first}"


def names_are_of_one_style(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name in template.section("Conditions"):
            if not name.startswith("With"):
                yield f"{stack}: the condition {name} does not begin with With"
        for name, properties in template.resources("AWS::CloudWatch::Alarm"):
            if not re.fullmatch(r"\$\{Name\}(-[a-z]+|-5xx)+", properties["AlarmName"]["Fn::Sub"]):
                yield f"{stack} {name} is named {properties['AlarmName']}"
        if "ParameterLabels" in template.section("Metadata").get("AWS::CloudFormation::Interface", {}):
            yield f"{stack} has names of parameters beside those that deploy.sh takes"
    for stack, name, statement, _key in statements(templates):
        if "aws:SecureTransport" in json.dumps(statement.get("Condition", {})) and statement.get("Sid") != "OverTlsOnly":
            yield f"{stack} {name}: the statement that demands TLS is named {statement.get('Sid')}"


def export(output: dict) -> str | None:
    """The name under which an output is exported."""
    name = output.get("Export", {}).get("Name")
    return name.get("Fn::Sub") if isinstance(name, dict) else name


def imported(template: Template) -> set[str]:
    """The names that a stack imports."""
    return {node["Fn::ImportValue"].get("Fn::Sub") for node in nodes(template.parsed) if isinstance(node, dict) and "Fn::ImportValue" in node}


def imports_have_exports(templates: Templates) -> Iterator[str]:
    exported = {export(output): stack for stack, template in templates.items() for output in template.section("Outputs").values()}
    for stack, template in templates.items():
        for name in imported(template):
            if exported.get(name, stack) == stack:
                yield f"{stack} imports {name}, which no other stack exports"


def exports_are_imported(templates: Templates) -> Iterator[str]:
    """An export binds: while another stack imports it, it can be neither changed nor taken away. What people and scripts read needs none."""
    wanted = set().union(*(imported(template) for template in templates.values()))
    for stack, template in templates.items():
        for name, output in template.section("Outputs").items():
            if str(export(output)).startswith("${Name}-") and export(output) not in wanted:
                yield f"{stack} exports {name}, which no stack imports"


def exports_are_of_this_deployment(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        for name, output in template.section("Outputs").items():
            if not output.get("Description"):
                yield f"{stack} {name} is not described"
            if "Export" in output and not str(export(output)).startswith("${Name}-"):
                yield f"{stack} {name} is exported under a name that another deployment has too"


def templates_fit_into_a_request(templates: Templates) -> Iterator[str]:
    for stack, template in templates.items():
        if len(template.body.encode()) > LARGEST_BODY:
            yield f"{stack} has {len(template.body.encode())} bytes, more than a request may have"


def deploy_reads_the_parameters(templates: Templates) -> Iterator[str]:
    """deploy.sh finds parameters as keys two spaces deep below the line Parameters:."""
    for stack, template in templates.items():
        found = re.search(r"^Parameters:\n((?:(?: .*)?\n)*)", template.body, re.M)
        keys = re.findall(r"^  ([A-Za-z0-9]+):", found.group(1), re.M) if found else []
        if keys != list(template.section("Parameters")):
            yield f"{stack}: deploy.sh would find the parameters {keys}"


ALL = [
    actions_are_named, resources_are_named, nobody_is_everybody, services_act_for_this_account, only_the_load_balancer_is_open,
    ways_out_are_listed, nobody_signs_in_to_machines, buckets_are_closed, data_outlives_its_stack, logs_have_an_end, functions_have_logs,
    the_database_is_shut, machines_are_hardened, messages_are_encrypted, secrets_stay_in_their_store, parameters_are_checked,
    parameters_are_grouped, stacks_agree_on_parameters, names_are_of_one_style, imports_have_exports, exports_are_imported,
    exports_are_of_this_deployment, templates_fit_into_a_request, deploy_reads_the_parameters,
]
