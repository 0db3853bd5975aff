//! Every list, search and question of a worker walks an index: asked of the engines themselves, at some thousand photos.

use photo_gallery::{
    catalog::{Connection, SessionRecord, WALKS, Walk},
    photo::{Owner, Photo},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, Row as _,
    sqlite::SqliteConnectOptions,
};

use super::{
    Bed,
    cases::{ann, at, insert},
    root, rows,
};

const PHOTOS: usize = 5000;
/// A page of 60 photos reads at most this many index entries and rows.
const MOST_READS: i64 = 60 * 12;

pub(super) async fn every_walk_uses_an_index(bed: &Bed) {
    match &bed.connection {
        Connection::Sqlite { path } => {
            let mut connection = SqliteConnectOptions::new().filename(path).connect().await.expect("connected");
            rows::fill_sqlite(&mut connection, &ann(), PHOTOS).await.expect("filled");
            sqlite_plans(&mut connection).await;
            connection.execute("ANALYZE").await.expect("analysed");
            sqlite_plans(&mut connection).await;
            connection.close().await.expect("closed");
        }
        Connection::MySql { host, port, database, .. } => {
            let mut connection = root(&format!("{host}:{port}"), Some(database)).await;
            rows::fill_mysql(&mut connection, &ann(), PHOTOS).await.expect("filled");
            let bob: Owner = "bob".parse().expect("an owner");
            insert(bed, &bob, 1..=5).await;
            for number in 0..300 {
                let owner = if number < 10 { ann() } else { format!("owner {number}").parse().expect("an owner") };
                bed.catalog.begin_session(&session(owner, number), None, None).await.expect("begun");
            }
            connection
                .execute("ANALYZE TABLE photo, photo_term, photo_label, label_total, session")
                .await
                .expect("analysed");
            let some = bed.catalog.photos(&ann(), &[], None, 1000).await.expect("listed").pop().expect("a photo");
            let waits = format!("UPDATE photo SET claimed_until = created_datetime WHERE id = '{}'", some.id);
            connection.execute(AssertSqlSafe(waits)).await.expect("it waits");
            for walk in WALKS {
                mysql_plan(&mut connection, walk, &some).await;
            }
            connection.close().await.expect("closed");
        }
    }
}

async fn sqlite_plans(connection: &mut sqlx::SqliteConnection) {
    for walk in WALKS {
        let rows = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", walk.text)))
            .fetch_all(&mut *connection)
            .await
            .expect(walk.name);
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let table_steps: Vec<&String> =
            steps.iter().filter(|step| step.starts_with("SEARCH") || step.starts_with("SCAN")).collect();
        assert!(!table_steps.is_empty(), "{}: {steps:?}", walk.name);
        for step in table_steps {
            // What asks for the first rows of all reads the index in its order.
            let search = step.starts_with("SEARCH") || !walk.text.contains(" WHERE ");
            let indexed = search && (step.contains("INDEX") || step.contains("PRIMARY KEY"));
            assert!(indexed || step.contains("counted"), "{}: {steps:?}", walk.name);
        }
        assert!(
            !steps.iter().any(|step| step.contains("TEMP B-TREE") || step.contains("AUTOMATIC")),
            "{}: {steps:?}",
            walk.name
        );
    }
}

pub(super) fn session(owner: Owner, number: u32) -> SessionRecord {
    SessionRecord {
        id: format!("{number:064x}"),
        owner,
        email: None,
        nickname: None,
        name_hash: None,
        email_hash: None,
        sealed: vec![0; 60],
        agent: String::new(),
        address: "192.0.2.1".to_owned(),
        created_at: at(0),
        seen_at: at(0),
        renewed_at: at(0),
    }
}

/// The values that a walk's text asks for, in order.
fn values(walk: Walk, some: &Photo) -> Vec<Option<String>> {
    let owner = Some(some.owner.as_str().to_owned());
    let key = Some(some.timeline_key.as_str().to_owned());
    let text = |text: &str| Some(text.to_owned());
    match walk.name {
        "under terms" => {
            let mut values = vec![owner, text("dog"), key, text("img"), text("img"), text("jpg"), text("jpg")];
            values.resize(17, None);
            values
        }
        "count under term" => vec![owner, text("img")],
        "newest" | "newer" | "older" => vec![owner, key],
        "unfinished of an owner" => vec![owner, text("1"), key],
        "count unfinished" => vec![owner, text("2")],
        "inspected" => vec![text("")],
        "terms of inspected" => vec![key; 32],
        "progress" => vec![text(&some.id.to_string()); 64],
        "among" => [vec![owner], vec![text(&some.id.to_string()); 64]].concat(),
        "labels" => vec![text(&some.id.to_string()); 32],
        "terms of a photo" => vec![key, owner],
        "foreign rows" | "discarded" => Vec::new(),
        "photo" => vec![text(&some.id.to_string()), owner],
        "by sha256" => vec![owner, some.sha256.map(|digest| digest.to_string())],
        "session" => vec![text(&session(some.owner.clone(), 7).id)],
        "label totals" | "sessions" => vec![owner],
        "unfinished" | "unused labels" => vec![text(&at(3).naive_utc().to_string())],
        "far ahead" => vec![text("2099-01-01 00:00:00")],
        "with work left" => vec![Some(some.id.to_string())],
        other => panic!("say which values `{other}` takes"),
    }
}

/// Asks MySQL for its plan, then counts what it really reads.
async fn mysql_plan(connection: &mut MySqlConnection, walk: Walk, some: &Photo) {
    let values = values(walk, some);
    let limited = walk.text.matches('?').count() > values.len();
    let asked = async |connection: &mut MySqlConnection, text: String| {
        let mut statement = sqlx::query(AssertSqlSafe(text));
        for value in &values {
            statement = statement.bind(value.clone());
        }
        if limited {
            statement = statement.bind(60_i64);
        }
        statement.fetch_all(connection).await.expect(walk.name)
    };
    let mut tables = 0;
    for step in asked(connection, format!("EXPLAIN {}", walk.text)).await {
        let column = |name: &str| step.try_get::<Option<String>, _>(name).expect(name).unwrap_or_default();
        let (table, kind, key, extra) = (column("table"), column("type"), column("key"), column("Extra"));
        if table.starts_with('<') || table.is_empty() {
            continue;
        }
        tables += 1;
        let search = !["ALL", "index"].contains(&kind.as_str()) || !walk.text.contains(" WHERE ");
        assert!(!key.is_empty() && search, "{}: {table} by {kind} with `{key}`", walk.name);
        assert!(!extra.contains("filesort") && !extra.contains("temporary"), "{}: {extra}", walk.name);
    }
    assert!(tables > 0, "{}: the plan names no table", walk.name);

    connection.execute("FLUSH STATUS").await.expect("counters at zero");
    asked(connection, walk.text.to_owned()).await;
    let counters = connection.fetch_all("SHOW SESSION STATUS LIKE 'Handler_read%'").await.expect("counters");
    let read = counters.iter().map(|row| row.get::<String, _>(1).parse::<i64>().expect("a number")).sum::<i64>();
    assert!(read <= MOST_READS, "{} reads {read} rows of {PHOTOS} photos", walk.name);
}
