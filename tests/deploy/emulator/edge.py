"""Route 53's health checks, and the keys by which CloudFront knows signed URLs."""

from forms import new_id
from ministack.services import cloudfront, route53


def health_check_config(props) -> dict:
    """The configuration with every scalar as Route 53 tells it."""
    def text(value):
        return str(value).lower() if isinstance(value, bool) else str(value)

    config = props["HealthCheckConfig"]
    return {key: value if isinstance(value, (list, dict)) else text(value) for key, value in config.items()}


def create_health_check(_logical_id, props, _stack):
    check, reference = route53._hc_id(), new_id("cloudformation")
    route53._health_checks[check] = {
        "id": check, "caller_reference": reference, "config": health_check_config(props), "version": 1,
    }
    route53._hc_caller_refs[reference] = check
    return check, {"HealthCheckId": check}


def update_health_check(check, _old, new, _stack):
    route53._health_checks[check]["config"] = health_check_config(new)
    route53._health_checks[check]["version"] += 1
    return check, {"HealthCheckId": check}


def delete_health_check(check, _props):
    gone = route53._health_checks.pop(check, None)
    if gone:
        route53._hc_caller_refs.pop(gone["caller_reference"], None)


def create_public_key(_logical_id, props, _stack):
    config = dict(props["PublicKeyConfig"])
    if any(key["Config"]["Name"] == config["Name"] for key in cloudfront._public_keys.values()):
        raise ValueError(f"The public key '{config['Name']}' already exists")
    key = cloudfront._pk_id()
    cloudfront._public_keys[key] = {"Id": key, "ETag": new_id("etag"), "CreatedTime": cloudfront._now_iso(), "Config": config}
    return key, {"Id": key}


def update_public_key(key, old, new, _stack):
    if {**old["PublicKeyConfig"], "Comment": ""} != {**new["PublicKeyConfig"], "Comment": ""}:
        return create_public_key(None, new, None)
    cloudfront._public_keys[key]["Config"] = dict(new["PublicKeyConfig"])
    return key, {"Id": key}


def delete_public_key(key, _props):
    if cloudfront._public_keys_using(key):
        raise ValueError(f"The public key '{key}' is attached to a key group")
    cloudfront._public_keys.pop(key, None)


def write_key_group(group, props):
    """Makes or changes the key group of that id."""
    config = dict(props["KeyGroupConfig"])
    missing = [key for key in config["Items"] if key not in cloudfront._public_keys]
    if missing:
        raise ValueError(f"The public keys {missing} do not exist")
    cloudfront._key_groups[group] = {
        "Id": group, "ETag": new_id("etag"), "LastModifiedTime": cloudfront._now_iso(), "Config": config,
    }
    return group, {"Id": group}


def register(handlers: dict) -> None:
    handlers.update({
        "AWS::Route53::HealthCheck": {"create": create_health_check, "delete": delete_health_check, "update": update_health_check},
        "AWS::CloudFront::PublicKey": {"create": create_public_key, "delete": delete_public_key, "update": update_public_key},
        "AWS::CloudFront::KeyGroup": {
            "create": lambda _logical_id, props, _stack: write_key_group(cloudfront._kg_id(), props),
            "delete": lambda group, _props: cloudfront._key_groups.pop(group, None),
            "update": lambda group, _old, new, _stack: write_key_group(group, new),
        },
    })
