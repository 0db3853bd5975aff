//! A disk without inodes.

use std::{fs::File, time::Duration};

use reqwest::StatusCode;

use crate::{
    aws,
    faults::gallery::{Gallery, Ledger},
    pictures,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_inodes_refuses_uploads_and_nothing_else() {
    let disk = tempfile::tempdir_in(aws::server("TEST_FEW_INODES")).unwrap();
    let gallery = Gallery::on_this_machine().with_data(&disk.path().join("data"));
    let (server, ledger) = (gallery.serve().await, Ledger::default());
    ledger.upload_at_last(&server, &pictures::jpeg(64, 48, 0), Duration::from_secs(5)).await;
    let fillers = disk.path().join("fillers");
    std::fs::create_dir(&fillers).unwrap();
    let mut last = 0;
    while File::create(fillers.join(last.to_string())).is_ok() {
        last += 1;
    }
    let (mut refused, mut seed) = (0, 0);
    // From no inode to more than enough for an upload: its temporary files, its three objects, their folders.
    for _ in 0..10 {
        seed += 1;
        match ledger.upload(&server, &pictures::jpeg(64, 48, seed)).await {
            Some(StatusCode::CREATED) => {}
            Some(StatusCode::INSUFFICIENT_STORAGE) => refused += 1,
            other => panic!("{other:?} {}", server.log()),
        }
        assert_eq!(gallery.incoming(), 0);
        assert_eq!(gallery.objects().await.len(), 3 * ledger.kept());
        assert_eq!(ledger.holds(&server).await.len(), ledger.kept());
        // A refused upload may leave a folder for photos to come: more than one file makes room.
        for _ in 0..last.min(6) {
            last -= 1;
            std::fs::remove_file(fillers.join(last.to_string())).unwrap();
        }
    }
    println!("{refused} uploads of {seed} were refused");
    assert!(refused > 0 && refused < seed);
    std::fs::remove_dir_all(&fillers).unwrap();
    ledger.upload_at_last(&server, &pictures::jpeg(64, 48, 99), Duration::from_secs(5)).await;
    ledger.holds(&server).await;
    drop(server);
    gallery.check_clean().await;
}
