"""What a role allows, held against what was decided over requests with its rights."""

import fnmatch

from botocore.exceptions import ClientError
from denied import calls
from deployment import NAME, Deployment, Role

REFUSED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "403"}


def allowed(role: Role) -> set[tuple[str, str]]:
    """Each action with each resource that the role's policies allow."""
    return {
        (action, resource)
        for statement in role.statements() if statement["Effect"] == "Allow"
        for action in statement["Action"] for resource in statement["Resource"]
    }


def unused(role: Role, decisions: list[dict]) -> set[tuple[str, str]]:
    """What of that no request has used."""
    used = {(one["action"], one["resource"]) for one in decisions if one["allowed"]}
    return {
        (action, resource) for action, resource in allowed(role)
        if not any(action == done and fnmatch.fnmatchcase(to, resource) for done, to in used)
    }


def refusal(client, operation: str, parameters: dict) -> str:
    """The code with which a call is refused; empty when it is not."""
    try:
        getattr(client, operation)(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def not_denied(deployment: Deployment, role: Role) -> list[tuple]:
    """Those of an intruder's calls that are not denied, with what was said."""
    account = role.arn.split(":")[4]
    queues = deployment.aws.client("sqs")
    there = {
        **deployment.outputs,
        "account": account, "role": role.name, "other_role": f"arn:aws:iam::{account}:role/another",
        "stack": f"{NAME}-web", "other_stack": f"{NAME}-data",
        "DeadLetterQueueUrl": queues.get_queue_url(QueueName=deployment.outputs["DeadLetterQueueName"])["QueueUrl"],
        "other_queue": queues.create_queue(QueueName="another-queue")["QueueUrl"],
    }
    answers = ((call, refusal(role.client(call[0]), *call[1:])) for call in calls(there))
    return [(*call, said) for call, said in answers if said not in REFUSED]
