"""Settings of buckets that the emulator's CloudFormation leaves out."""

from forms import xml
from ministack.services import s3
from ministack.services.cloudformation import provisioners


def encryption(props) -> bytes:
    """BucketEncryption as PutBucketEncryption takes it."""
    rules = [
        {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"], "BucketKeyEnabled": rule.get("BucketKeyEnabled", False)}
        for rule in props["ServerSideEncryptionConfiguration"]
    ]
    return xml("ServerSideEncryptionConfiguration", {"Rule": rules}).encode()


def ownership(props) -> bytes:
    """OwnershipControls as PutBucketOwnershipControls takes them."""
    return xml("OwnershipControls", {"Rule": props["Rules"]}).encode()


def lifecycle(props) -> bytes:
    """LifecycleConfiguration as PutBucketLifecycleConfiguration takes it; a member that is not known here is refused."""
    rules = []
    for rule in props["Rules"]:
        rest = dict(rule)
        made = {"ID": rest.pop("Id"), "Filter": {"Prefix": rest.pop("Prefix", "")}, "Status": rest.pop("Status")}
        expiration = {
            theirs: rest.pop(ours)
            for ours, theirs in (("ExpirationInDays", "Days"), ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker")) if ours in rest
        }
        if expiration:
            made["Expiration"] = expiration
        for same in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
            if same in rest:
                made[same] = rest.pop(same)
        if rest:
            raise ValueError(f"the emulator is not told what {', '.join(rest)} of a lifecycle rule means")
        rules.append(made)
    return xml("LifecycleConfiguration", {"Rule": rules}).encode()


def without_fail(put):
    """A call of S3's own, made to raise what it refuses."""

    def called(bucket, body):
        answer = put(bucket, body)
        if answer[0] >= 400:
            raise ValueError(f"{bucket}: {answer[2]!r}")

    return called


BUCKET_SETTINGS = (
    ("BucketEncryption", encryption, without_fail(s3._put_bucket_encryption), s3._delete_bucket_encryption),
    ("OwnershipControls", ownership, without_fail(s3._put_bucket_ownership_controls), s3._delete_bucket_ownership_controls),
    ("LifecycleConfiguration", lifecycle, without_fail(s3._put_bucket_lifecycle), s3._delete_bucket_lifecycle),
)


def register(_handlers: dict) -> None:
    provisioners._S3_BUCKET_CONFIGURATIONS += BUCKET_SETTINGS
