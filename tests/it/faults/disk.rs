//! The disk: folders that cannot be written any more (R28). A full one is in `operation.rs`, one without inodes in `with_servers`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::StatusCode;

use super::gallery::{Gallery, Ledger};
use crate::pictures;

/// Puts a file where a folder was, so that nobody, root neither, can write into it; gives back where the folder is meanwhile.
fn taken_away(folder: &Path) -> PathBuf {
    let aside = folder.with_extension("aside");
    fs::rename(folder, &aside).unwrap();
    File::create(folder).unwrap();
    aside
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_cannot_be_written_stop_uploads_and_nothing_else() {
    let gallery = Gallery::on_this_machine();
    let (server, ledger) = (gallery.serve().await, Ledger::default());
    ledger.upload_at_last(&server, &pictures::jpeg(64, 48, 0), Duration::from_secs(5)).await;
    let incoming = fs::read_dir(gallery.data().join("incoming")).unwrap().next().unwrap().unwrap().path();
    for (seed, folder) in (1..).zip([gallery.data().join("photos/tmp"), incoming]) {
        let aside = taken_away(&folder);
        let bytes = pictures::jpeg(64, 48, seed);
        let refused = ledger.upload(&server, &bytes).await;
        assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE), "{}", server.log());
        assert_eq!(ledger.holds(&server).await.len(), ledger.kept());
        fs::remove_file(&folder).unwrap();
        fs::rename(aside, &folder).unwrap();
        ledger.upload_at_last(&server, &bytes, Duration::from_secs(5)).await;
        assert_eq!(gallery.incoming(), 0, "temporary files are removed");
    }
    ledger.holds(&server).await;
    drop(server);
    gallery.check_clean().await;
}
