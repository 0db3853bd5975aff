//! The account under which the web server works: it may read and write rows, and nothing else.

use anyhow::{Context as _, bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, Row as _};

use super::{Catalog, Connection};

/// MySQL's limit for account names, in characters.
const MAX_NAME_CHARS: usize = 32;

impl Catalog {
    /// Makes the account `name` of a MySQL database, or gives it `password`, and leaves it exactly SELECT, INSERT, UPDATE and DELETE on the
    /// catalog's database. Needs the master account. Name and password may hold any character but control characters.
    ///
    /// # Errors
    /// Also on SQLite, which knows no accounts, and when `name` is the account that is asking.
    pub async fn grant_web_user(&self, name: &str, password: &SecretString) -> anyhow::Result<()> {
        let (Connection::MySql { user, database, .. }, Some(options)) =
            (&self.connection, self.connection.mysql_options())
        else {
            bail!("a SQLite database knows no accounts: a web user is made on MySQL only")
        };
        ensure!(
            !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control),
            "the web user's name has 1 to {MAX_NAME_CHARS} characters and no control characters"
        );
        ensure!(name != user, "the web user must be another account than `{user}`, which makes it");
        ensure!(!password.expose_secret().is_empty(), "the web user needs a password");
        let outcome = async {
            let mut connection = self.master_connection(options).await?;
            grant(&mut connection, name, password, database).await?;
            connection.close().await?;
            Ok(())
        }
        .await;
        outcome.map_err(|error| self.explained(error, "granting the web user its rights"))
    }
}

async fn grant(
    connection: &mut MySqlConnection,
    name: &str,
    password: &SecretString,
    database: &str,
) -> anyhow::Result<()> {
    // Backslashes mean what `quoted` takes them to mean.
    run(connection, "SET SESSION sql_mode = 'STRICT_ALL_TABLES'".to_owned()).await?;
    let account = format!("{}@'%'", quoted(name));
    let secret = quoted(password.expose_secret());
    for verb in ["CREATE USER IF NOT EXISTS", "ALTER USER"] {
        run(connection, format!("{verb} {account} IDENTIFIED BY {secret}")).await.map_err(|error| match error {
            // A syntax error would quote the password.
            error if error.to_string().contains("1064") => {
                anyhow::anyhow!("the database did not understand the account's password")
            }
            error => error.context("making the web user"),
        })?;
    }
    if !excess(&grants_of(connection, &account).await?, database).is_empty() {
        run(connection, format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}")).await?;
    }
    run(connection, format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {}.* TO {account}", quoted_pattern(database)))
        .await?;
    let left = excess(&grants_of(connection, &account).await?, database);
    ensure!(left.is_empty(), "the web user still holds more than it needs, take it away by hand: {}", left.join("; "));
    Ok(())
}

async fn run(connection: &mut MySqlConnection, statement: String) -> anyhow::Result<()> {
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

async fn grants_of(connection: &mut MySqlConnection, account: &str) -> anyhow::Result<Vec<String>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("SHOW GRANTS FOR {account}"))).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0).context("reading the web user's rights")).collect()
}

/// The grants beyond `USAGE` and the four on `database`, without passwords.
pub(super) fn excess(grants: &[String], database: &str) -> Vec<String> {
    let four = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {}.* TO ", quoted_pattern(database));
    let plain = |grant: &&String| {
        (grant.starts_with("GRANT USAGE ON *.* TO ") || grant.starts_with(&four))
            && !grant.ends_with("WITH GRANT OPTION")
    };
    grants
        .iter()
        .filter(|grant| !plain(grant))
        .map(|grant| grant.split(" IDENTIFIED ").next().unwrap_or(grant).to_owned())
        .collect()
}

/// A text literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name of a database or table.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A database's name where GRANT reads `_` and `%` as wildcards.
fn quoted_pattern(name: &str) -> String {
    quoted_name(&name.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%"))
}
