//! `migrate`: brings the database to this version's tables and makes the web server's account, for an operator at a terminal and for one who
//! invokes a Lambda function inside the database's network.

use anyhow::{Context as _, bail, ensure};
use secrecy::SecretString;
use serde_json::Value;

use super::{asked, first_line, secret};
use crate::{
    app,
    catalog::SchemaState,
    cli::Migrate,
    settings::{self, MySql, Settings},
};

/// The account that may create tables and accounts where nobody names one: what RDS calls it.
const ADMIN: &str = "master";
/// What an event must look like.
const EVENT: &str = r#"{"admin": "master", "password": "...", "user_password": "..."}"#;

/// Migrates as the command line says, asking for what is not given.
pub(super) async fn run(settings: &Settings, how: &Migrate) -> anyhow::Result<()> {
    let settings::Catalog::MySql(mysql) = &settings.catalog else {
        let state = app::migrate(settings, "", SecretString::default()).await?;
        println!("{} is at {}.", settings.catalog_file().display(), version(state));
        return Ok(());
    };
    let admin = match &how.admin {
        Some(admin) => admin.clone(),
        None => asked(&format!("Account on {} that may create tables [{ADMIN}]: ", mysql.host), "--admin NAME")?,
    };
    let admin = if admin.is_empty() { ADMIN.to_owned() } else { admin };
    let password =
        if how.password_stdin { first_line()? } else { secret(&format!("Password of {admin}: "), "--password-stdin")? };
    let own = match &mysql.password {
        None if mysql.user != admin => {
            Some(secret(&format!("Password that {} shall have: ", mysql.user), "catalog.mysql.password")?)
        }
        _ => None,
    };
    println!("{}", migrated(settings, mysql, &admin, password, own).await?);
    Ok(())
}

/// Migrates as an event of Lambda says: `admin`, its `password`, and the password that the web server's account shall have. What came of it,
/// in a sentence; neither that nor an error holds anything of the event but `admin`.
pub(super) async fn invoked(settings: &Settings, event: &Value) -> anyhow::Result<String> {
    let settings::Catalog::MySql(mysql) = &settings.catalog else {
        bail!("the catalog is SQLite, which migrates itself: set `catalog.mysql.host` (DATABASE_HOST)")
    };
    let fields = event.as_object().with_context(|| format!("the event must be an object: {EVENT}"))?;
    let known = ["admin", "password", "user_password"];
    ensure!(fields.keys().all(|name| known.contains(&name.as_str())), "the event has a field too many: {EVENT}");
    let text = |name: &str| match &event[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        _ => bail!("`{name}` of the event must be a text: {EVENT}"),
    };
    let admin = text("admin")?.unwrap_or_else(|| ADMIN.to_owned());
    let password = text("password")?.with_context(|| format!("the event has no `password`: {EVENT}"))?;
    let own = text("user_password")?.map(SecretString::from);
    ensure!(
        own.is_some() || mysql.password.is_some() || mysql.user == admin,
        "the event has no `user_password`, which {} shall have: {EVENT}",
        mysql.user
    );
    migrated(settings, mysql, &admin, password.into(), own).await
}

/// Migrates with the account `admin`; the web server's account has the password `own` then, or that of the settings.
async fn migrated(
    settings: &Settings,
    mysql: &MySql,
    admin: &str,
    password: SecretString,
    own: Option<SecretString>,
) -> anyhow::Result<String> {
    let password_of_user = own.or_else(|| mysql.password.clone());
    let mysql = MySql { password: password_of_user, ..mysql.clone() };
    let (database, host, user) = (mysql.database.clone(), mysql.host.clone(), mysql.user.clone());
    let settings = Settings { catalog: settings::Catalog::MySql(mysql), ..settings.clone() };
    let version = version(app::migrate(&settings, admin, password).await?);
    Ok(format!("{database} on {host} is at {version}, and {user} may read and write it."))
}

/// Which version a database is at that was migrated.
fn version(state: SchemaState) -> &'static str {
    if let SchemaState::Newer(_) = state { "a later version, on which this one works too" } else { "this version" }
}
