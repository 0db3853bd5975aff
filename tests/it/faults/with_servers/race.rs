//! Two instances on one database.

use crate::faults::{gallery::Gallery, race::instances_race};

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_at_one_catalog_answer_as_one_would_on_a_database() {
    instances_race("a race on MariaDB", Gallery::on_database().await).await;
}
