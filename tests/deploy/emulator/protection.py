"""What refuses to be deleted.

* With PROTECT=1 load balancers and databases with deletion protection, and
  buckets with anything in them, refuse to be deleted by their stacks; what a
  rollback could not delete stays in its stack; load balancers write a line
  into the bucket of their access logs when they are made and when they go.
"""

import os

from forms import boolean
from ministack.services import alb, rds, s3
from ministack.services.cloudformation import stacks

LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"


def checked(check, delete):
    def deleted(physical, props):
        check(physical)
        delete(physical, props)

    return deleted


def with_first_log(create):
    """A load balancer that tries whether it may write access logs, as soon as it is made."""

    def created(logical_id, props, stack):
        made = create(logical_id, props, stack)
        write_log(made[0], "ELBAccessLogTestFile")
        return made

    return created


def write_log(arn: str, name: str) -> None:
    for attribute in alb._lb_attrs.get(arn, []):
        if attribute["Key"] == "access_logs.s3.bucket":
            s3._put_object(attribute["Value"], f"AWSLogs/{name}", b"a line", {})


def check_load_balancer(arn: str) -> None:
    """A load balancer that may go writes its last access log then, whether or not it was told to write no more."""
    attributes = {one["Key"]: one["Value"] for one in alb._lb_attrs.get(arn, [])}
    if attributes.get("deletion_protection.enabled") == "true":
        raise ValueError(f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled")
    write_log(arn, "last")


def check_database(identifier: str) -> None:
    if boolean(rds._instances.get(identifier, {}).get("DeletionProtection", False)):
        raise ValueError("Cannot delete protected DB Instance, please disable deletion protection and try again.")


def check_bucket(bucket: str) -> None:
    if s3._buckets.get(bucket, {}).get("objects"):
        raise ValueError("The bucket you tried to delete is not empty")


def keeping_what_stays(roll_back):
    """A rollback after which the stack still has what could not be deleted."""

    async def rolled_back(name, identifier, stack, operation):
        await roll_back(name, identifier, stack, operation)
        if stack["StackStatus"] == "ROLLBACK_FAILED":
            stack["_resources"] = {
                logical: {**record, "ResourceStatus": "DELETE_FAILED"} for logical, record in stack["_rollback_failed"].items()}
            stack["_template"] = operation["template"]

    return rolled_back


def register(handlers: dict) -> None:
    """Makes CloudFormation refuse, where it is asked for."""
    if os.environ.get("PROTECT") != "1":
        return
    for kind, check in ((LOAD_BALANCER, check_load_balancer), ("AWS::RDS::DBInstance", check_database), ("AWS::S3::Bucket", check_bucket)):
        handlers[kind]["delete"] = checked(check, handlers[kind]["delete"])
    handlers[LOAD_BALANCER]["create"] = with_first_log(handlers[LOAD_BALANCER]["create"])
    stacks._roll_back_operation = keeping_what_stays(stacks._roll_back_operation)
