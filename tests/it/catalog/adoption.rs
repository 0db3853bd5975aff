//! The course's table becomes a gallery: nothing lost, safe to repeat.

use futures_util::future::join_all;
use photo_gallery::{
    catalog::Connection,
    photo::{MediaType, Owner, Photo, PhotoId, Sha256, State, Term},
};

use super::{
    Bed,
    cases::{ann, at, developed, found, label},
    mariadb_place,
};

/// As the course's script made it.
const COURSE_TABLE: &str = "CREATE TABLE photo (object_key NVARCHAR(80) NOT NULL, labels NVARCHAR(200), description NVARCHAR(200), \
     cognito_username NVARCHAR(150), created_datetime DATETIME DEFAULT CURRENT_TIMESTAMP, CONSTRAINT object_key_pk PRIMARY KEY (object_key));";

const COURSE_ROWS: &str = "INSERT INTO photo (object_key, labels, description, cognito_username, created_datetime) VALUES \
     ('photos/0123456789abcdef.png', 'Toy, Teddy Bear, Person', 'Zoë''s birthday', 'ann', '2018-05-06 07:08:09'), \
     ('photos/0123456789abcde0.png', 'Toy', NULL, NULL, '2018-05-06 07:08:10'), \
     ('photos/0123456789abcde1.jpeg', NULL, '', 'ann', NULL);";

/// What the course's own app writes later.
const LATER_ROW: &str = "INSERT INTO photo (object_key, labels, description, cognito_username) VALUES ('photos/fedcba9876543210.png', 'Dog, Pet', 'later', 'ann')";

pub(super) async fn a_course_row_inserted_later_is_adopted(bed: &Bed) {
    assert_eq!(bed.catalog.adopt(at(0), 100).await.expect("adopted"), 0);
    bed.run(LATER_ROW).await;
    assert!(found(bed, &ann(), &[]).await.is_empty());
    assert_eq!(bed.catalog.adopt(at(0), 100).await.expect("adopted"), 1);
    assert_eq!(found(bed, &ann(), &[Term::label("Pet")]).await.len(), 1);
    assert_eq!(bed.catalog.adopt(at(0), 100).await.expect("adopted"), 0);
}

pub(super) async fn rows_that_cannot_be_photos_are_set_aside(bed: &Bed) {
    bed.run(
        "INSERT INTO photo (object_key, cognito_username) VALUES ('../../etc/passwd', 'ann'), ('photos/a.png', ' ann '), ('photos/b.png', 'ann')",
    )
    .await;
    assert_eq!(bed.catalog.adopt(at(0), 100).await.expect("adopted"), 3);
    assert_eq!(bed.catalog.adopt(at(0), 100).await.expect("adopted"), 0);
    let listed = bed.catalog.photos(&ann(), &[], None, 100).await.expect("listed");
    assert_eq!(listed.iter().map(|photo| photo.original.as_str()).collect::<Vec<_>>(), ["photos/b.png"]);
    assert_eq!(bed.catalog.unfinished(at(1), 100).await.expect("listed").len(), 1);
}

/// A moment that is none, and a description that is too long: as an app may have left them that checked nothing.
pub(super) async fn a_row_that_cannot_be_read_holds_up_no_other(bed: &Bed) {
    let good = "('photos/1.png', 'one', '2018-05-06 07:08:09'), ('photos/9.png', 'nine', '2018-05-06 07:08:09')";
    let insert = "INSERT INTO photo (object_key, cognito_username, description, created_datetime) VALUES";
    match &bed.connection {
        Connection::Sqlite { .. } => {
            let long = "x".repeat(2001);
            let bad = format!("('photos/5.png', 'ann', '', 'no moment'), ('photos/6.png', 'ann', '{long}', NULL)");
            bed.run(&format!("{insert} {bad}")).await;
        }
        Connection::MySql { .. } => {
            let bad = "('photos/5.png', 'ann', '', '0000-00-00 00:00:00'), ('photos/6.png', 'ann', '', '2018-00-00 07:08:09')";
            bed.run(&format!("SET SESSION sql_mode = ''; {insert} {bad}")).await;
        }
    }
    bed.run(&format!("INSERT INTO photo (object_key, cognito_username, created_datetime) VALUES {good}")).await;
    for _ in 0..2 {
        bed.catalog.adopt(at(0), 2).await.expect("adopted");
    }
    assert_eq!(bed.catalog.adopt(at(0), 2).await.expect("answered"), 0, "none is looked at again");
    for owner in ["one", "nine"] {
        assert_eq!(found(bed, &owner.parse().expect("an owner"), &[]).await.len(), 1, "{owner}");
    }
    let aside = "SELECT COUNT(*) FROM photo WHERE timeline_key IS NULL AND problem LIKE 'not adopted: %'";
    let adopted = found(bed, &ann(), &[]).await.len();
    assert_eq!(bed.count(aside).await, 2 - i64::try_from(adopted).expect("few"), "set aside, with the reason");
    if matches!(bed.connection, Connection::Sqlite { .. }) {
        assert_eq!(adopted, 0);
    }
}

pub(super) async fn adopting_in_parallel_adopts_once(bed: &Bed) {
    let rows: Vec<String> = (0..30).map(|n| format!("('photos/{n:016x}.png', 'Toy, Car', 'ann')")).collect();
    bed.run(&format!("INSERT INTO photo (object_key, labels, cognito_username) VALUES {}", rows.join(", "))).await;
    for outcome in join_all((0..4).map(|_| bed.catalog.adopt(at(0), 10))).await {
        outcome.expect("adopted");
    }
    while bed.catalog.adopt(at(0), 10).await.expect("adopted") > 0 {}
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted").photos, 30);
    assert_eq!(
        bed.catalog.label_totals(&ann()).await.expect("counted"),
        [("Car".to_owned(), 30), ("Toy".to_owned(), 30)]
    );
    assert_eq!(found(bed, &ann(), &[Term::label("Toy")]).await.len(), 30);
}

/// The course's database, migrated and adopted: its photos are there with all they had.
async fn the_course_table_is_adopted(bed: &Bed) {
    bed.run(COURSE_TABLE).await;
    bed.run(COURSE_ROWS).await;
    bed.catalog.migrate().await.expect("migrated");
    assert_eq!(bed.catalog.adopt(at(0), 2).await.expect("adopted"), 2);
    assert_eq!(bed.catalog.adopt(at(0), 2).await.expect("adopted"), 1);
    assert_eq!(bed.catalog.adopt(at(0), 2).await.expect("adopted"), 0);

    let mine = bed.catalog.photos(&ann(), &[], None, 100).await.expect("listed");
    let [unlabelled, bear] = mine.as_slice() else { panic!("two photos of ann: {mine:?}") };
    assert_eq!(bear.description.as_str(), "Zoë's birthday");
    assert_eq!(
        (bear.original.as_str(), bear.media_type, bear.state()),
        ("photos/0123456789abcdef.png", MediaType::Png, State::Stored)
    );
    assert_eq!(
        (bear.file_name.as_str(), bear.label_text.as_str()),
        ("0123456789abcdef.png", "Toy, Teddy Bear, Person")
    );
    assert_eq!(bear.created_at.to_rfc3339(), "2018-05-06T07:08:09+00:00");
    assert_eq!(bear.labelled_at, Some(bear.created_at));
    assert_eq!((unlabelled.created_at, unlabelled.labelled_at, unlabelled.media_type), (at(0), None, MediaType::Jpeg));
    let labels = bed.catalog.labels(&[bear.id]).await.expect("read").remove(&bear.id).expect("labels");
    assert_eq!(
        labels.iter().map(|label| (label.name.as_str(), label.confidence)).collect::<Vec<_>>(),
        [("Person", None), ("Teddy Bear", None), ("Toy", None)]
    );

    let anonymous: Vec<Photo> = bed.catalog.photos(&Owner::anonymous(), &[], None, 100).await.expect("listed");
    assert_eq!(
        anonymous.iter().map(|photo| photo.original.as_str()).collect::<Vec<_>>(),
        ["photos/0123456789abcde0.png"]
    );
    for words in ["zoe", "teddy", "0123456789abcdef"] {
        assert_eq!(found(bed, &ann(), &Term::words(words)).await, [bear.id], "{words}");
    }
    assert_eq!(found(bed, &ann(), &[Term::label("Teddy Bear")]).await, [bear.id]);
    assert_eq!(bed.catalog.totals(&ann()).await.expect("counted").photos, 2);

    let mut left: Vec<PhotoId> = bed.catalog.unfinished(at(1), 10).await.expect("listed");
    left.sort();
    let mut all = vec![bear.id, unlabelled.id, anonymous[0].id];
    all.sort();
    assert_eq!(left, all);
    assert!(bed.catalog.save_developed(bear.id, Sha256([5; 32]), 77, &developed(), at(2)).await.expect("saved"));
    assert_eq!(bed.catalog.photo(&ann(), bear.id).await.expect("looked up").expect("there").state(), State::Labelled);
    assert!(bed.catalog.save_labels(bear.id, &[label("🧸", 90.0)], at(3)).await.expect("saved"));
    let described = "🎈".repeat(2000).parse().expect("a description");
    assert!(bed.catalog.describe(&ann(), bear.id, &described).await.expect("described"));
}

#[tokio::test]
async fn a_course_table_in_sqlite_is_adopted() {
    let bed = Bed::bare_sqlite();
    the_course_table_is_adopted(&bed).await;
    bed.gone().await;
}

mod with_servers {
    use sqlx::{Connection as _, Executor as _, Row as _};

    use super::{
        Bed, COURSE_ROWS, COURSE_TABLE, LATER_ROW, ann, at, found, mariadb_place, the_course_table_is_adopted,
    };
    use crate::catalog::root;

    #[tokio::test]
    async fn a_course_table_in_latin1_is_adopted() {
        let bed = Bed::bare_mysql(&mariadb_place(), "CHARACTER SET latin1").await;
        the_course_table_is_adopted(&bed).await;
        bed.gone().await;
    }

    #[tokio::test]
    async fn a_course_table_in_case_insensitive_utf8_is_adopted() {
        let bed = Bed::bare_mysql(&mariadb_place(), "CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci").await;
        the_course_table_is_adopted(&bed).await;
        bed.gone().await;
    }

    #[tokio::test]
    async fn its_owner_still_searches_at_the_prompt_and_the_course_app_still_inserts() {
        let bed = Bed::bare_mysql(&mariadb_place(), "CHARACTER SET latin1").await;
        bed.run(COURSE_TABLE).await;
        bed.run(COURSE_ROWS).await;
        bed.catalog.migrate().await.expect("migrated");
        bed.run(LATER_ROW).await;
        while bed.catalog.adopt(at(0), 10).await.expect("adopted") > 0 {}
        let photo_gallery::catalog::Connection::MySql { database, .. } = &bed.connection else { panic!("MySQL") };
        let mut prompt = root(&mariadb_place(), Some(database)).await;
        let toys = prompt
            .fetch_all("select * from photo where labels like '%Toy%' order by object_key desc")
            .await
            .expect("answered");
        assert_eq!(toys.len(), 2);
        assert_eq!(toys[0].get::<String, _>("object_key"), "photos/0123456789abcdef.png");
        assert_eq!(toys[0].get::<String, _>("labels"), "Toy, Teddy Bear, Person");
        prompt.close().await.expect("closed");
        assert_eq!(found(&bed, &ann(), &[]).await.len(), 3);
        bed.gone().await;
    }
}
