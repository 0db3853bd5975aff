//! The names under which a user of the course's app, or of the AWS tools, already has settings, and what they mean here.

/// Which setting a variable stands for. Of two for one setting the first that is set counts.
pub(super) const NAMES: [(&str, &str); 14] = [
    ("PHOTOS_BUCKET", "store.s3.bucket"),
    ("FLASK_SECRET", "session.secret"),
    ("BASE_URL", "server.base_url"),
    ("DATABASE_HOST", "catalog.mysql.host"),
    ("DATABASE_USER", "catalog.mysql.user"),
    ("DATABASE_PASSWORD", "catalog.mysql.password"),
    ("DATABASE_DB_NAME", "catalog.mysql.database"),
    ("COGNITO_POOL_ID", "identity.cognito.pool_id"),
    ("COGNITO_CLIENT_ID", "identity.cognito.client_id"),
    ("COGNITO_CLIENT_SECRET", "identity.cognito.client_secret"),
    ("COGNITO_DOMAIN", "identity.cognito.domain"),
    ("AWS_REGION", "aws.region"),
    ("AWS_DEFAULT_REGION", "aws.region"),
    ("AWS_ENDPOINT_URL", "aws.endpoint"),
];

/// What a deployment of the course expects where nothing is set: (variable in force, setting, value).
pub(super) const IMPLIED: [(&str, &str, &str); 7] = [
    ("PHOTOS_BUCKET", "labeler", "rekognition"),
    ("PHOTOS_BUCKET", "server.bind", "0.0.0.0"),
    ("DATABASE_HOST", "server.bind", "0.0.0.0"),
    ("COGNITO_POOL_ID", "server.bind", "0.0.0.0"),
    ("PHOTOS_BUCKET", "aws.region", "us-west-2"),
    ("DATABASE_HOST", "aws.region", "us-west-2"),
    ("COGNITO_POOL_ID", "aws.region", "us-west-2"),
];

/// The variable by which Lambda is known.
pub(super) const LAMBDA: &str = "AWS_LAMBDA_RUNTIME_API";

/// What holds under Lambda, where only `/tmp` can be written and logs are read by machines: (setting, value).
pub(super) const UNDER_LAMBDA: [(&str, &str); 2] = [("data", "/tmp/photo-gallery"), ("log.format", "json")];

/// The variables that stand for `setting`.
pub(super) fn variables(setting: &str) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(move |(_, known)| *known == setting).map(|(name, _)| name)
}
