"""People of an account, with keys of their own."""

import json

from ministack import MiniStack


def somebody(aws: MiniStack) -> dict[str, str]:
    """The keys of a new user who may do everything that no resource's policy denies, as `MiniStack.client` takes them."""
    iam = aws.client("iam")
    name = f"somebody-{len(iam.list_users()['Users'])}"
    iam.create_user(UserName=name)
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="everything", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
