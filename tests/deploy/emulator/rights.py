"""How the emulator decides over requests.

* Who asks for an absent object and may not list its bucket is told that access is denied, as by S3.
* Rights to write logs are asked for on the stream, as CloudWatch Logs has it, and not on its group.
* With SECURE_TRANSPORT=1 requests count as having come over TLS, which policies of the stacks demand.
* With DECISIONS=FILE every decision over a request's rights is written there.
"""

import json
import os

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import s3


def count_as_tls() -> None:
    """Has policies see every request as one that came over TLS."""
    pin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _secure: pin(source_ip, True)


def name_log_streams() -> None:
    """Has policies see the stream of logs that is made or written to, below its group."""
    resource_of_ministack = iam_actions.extract_resource_arn

    def resource(service, method, path, headers, body, *place):
        arn = resource_of_ministack(service, method, path, headers, body, *place)
        stream = json.loads(body or b"{}").get("logStreamName") if service == "logs" else None
        return f"{arn}:log-stream:{stream}" if stream else arn

    iam_actions.extract_resource_arn = resource


def record_decisions(file: str) -> None:
    """Writes a line of JSON for each decision over a request: who asked, for which action, on what, and whether it was allowed."""
    decide = iam_evaluator.enforce

    def decided(access_key, action, service, region, resource_arn="*", service_context=None):
        refusal = decide(access_key, action, service, region, resource_arn=resource_arn, service_context=service_context)
        told = {
            "principal": iam_evaluator.caller_arn(), "action": action, "resource": resource_arn, "allowed": refusal is None,
        }
        with open(file, "a") as decisions:
            decisions.write(json.dumps(told) + "\n")
        return refusal

    iam_evaluator.enforce = decided


def forbid_absent_objects() -> None:
    """Has an absent object answer "not found" only to who may list its bucket."""
    decide = iam_evaluator.enforce

    def decided(access_key, action, service, region, resource_arn="*", service_context=None):
        refusal = decide(access_key, action, service, region, resource_arn=resource_arn, service_context=service_context)
        if refusal is None and action == "s3:GetObject":
            bucket, _, key = resource_arn.removeprefix("arn:aws:s3:::").partition("/")
            if key not in s3._buckets.get(bucket, {}).get("objects", {}):
                return decide(access_key, "s3:ListBucket", service, region, resource_arn=f"arn:aws:s3:::{bucket}")
        return refusal

    iam_evaluator.enforce = decided


def register(_handlers: dict) -> None:
    name_log_streams()
    if os.environ.get("SECURE_TRANSPORT") == "1":
        count_as_tls()
    if os.environ.get("DECISIONS"):
        record_decisions(os.environ["DECISIONS"])
    forbid_absent_objects()
