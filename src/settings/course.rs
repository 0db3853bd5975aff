//! The names under which a user of the course's app, or of the AWS tools, already has settings, and what they mean here.

/// Which setting a variable stands for. Of two for one setting the first that is set counts.
pub(super) const NAMES: [(&str, &str); 10] = [
    ("PHOTOS_BUCKET", "store.s3.bucket"),
    ("FLASK_SECRET", "server.secret"),
    ("BASE_URL", "server.base_url"),
    ("DATABASE_HOST", "catalog.mysql.host"),
    ("DATABASE_USER", "catalog.mysql.user"),
    ("DATABASE_PASSWORD", "catalog.mysql.password"),
    ("DATABASE_DB_NAME", "catalog.mysql.database"),
    ("AWS_REGION", "aws.region"),
    ("AWS_DEFAULT_REGION", "aws.region"),
    ("AWS_ENDPOINT_URL", "aws.endpoint"),
];

/// The course's variables for sign-in, which nothing reads while `identity` knows only `none`.
pub(super) const ACCOUNTS: [&str; 4] =
    ["COGNITO_POOL_ID", "COGNITO_CLIENT_ID", "COGNITO_CLIENT_SECRET", "COGNITO_DOMAIN"];

/// What a deployment of the course expects where nothing is set: (variable in force, setting, value).
pub(super) const IMPLIED: [(&str, &str, &str); 5] = [
    ("PHOTOS_BUCKET", "labeler", "rekognition"),
    ("PHOTOS_BUCKET", "server.bind", "0.0.0.0"),
    ("DATABASE_HOST", "server.bind", "0.0.0.0"),
    ("PHOTOS_BUCKET", "aws.region", "us-west-2"),
    ("DATABASE_HOST", "aws.region", "us-west-2"),
];

/// The variables that stand for `setting`.
pub(super) fn variables(setting: &str) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(move |(_, known)| *known == setting).map(|(name, _)| name)
}
