//! The command that takes a folder in.

use photo_gallery::{import::Summary, photo::Owner};

use crate::{
    pictures,
    process::{Process, run},
    site::Site,
};

#[tokio::test]
async fn a_folder_is_taken_in_once_however_often_it_is_imported() {
    let site = Site::new().await;
    let folder = site.folder.path().join("photos");
    std::fs::create_dir_all(folder.join("deep/er")).unwrap();
    std::fs::create_dir_all(folder.join(".hidden")).unwrap();
    for (seed, name) in ["a.jpg", "deep/b.jpg", "deep/er/c.jpg", ".hidden/d.jpg", ".e.jpg"].into_iter().enumerate() {
        std::fs::write(folder.join(name), pictures::jpeg(64, 48, u32::try_from(seed).unwrap())).unwrap();
    }
    std::fs::write(folder.join("deep/same as a.jpg"), pictures::jpeg(64, 48, 0)).unwrap();
    std::fs::write(folder.join("notes.txt"), "no photo").unwrap();
    let owner = site.owner().await;
    let import = || photo_gallery::import::import(site.app.album(), &owner, &folder, site.app.data(), 2);
    let first = import().await.unwrap();
    let second = import().await.unwrap();
    assert_eq!(first, Summary { new: 3, already_here: 1, refused: 1, failed: 0 });
    assert_eq!(second, Summary { new: 0, already_here: 4, refused: 1, failed: 0 });
    let (_, listing) = site.json("/photos").await;
    assert_eq!(listing["photos"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_never_overfills_the_queue() {
    let site = Site::with(|settings| {
        settings.upload.threads = 4;
        settings.upload.queue = 1;
    })
    .await;
    let folder = site.folder.path().join("photos");
    std::fs::create_dir(&folder).unwrap();
    for seed in 0..12 {
        let png = pictures::encoded(image::ImageFormat::Png, 400, 300, seed);
        std::fs::write(folder.join(format!("{seed}.png")), png).unwrap();
    }
    let at_once = site.app.imports_at_once();
    let summary =
        photo_gallery::import::import(site.app.album(), &Owner::anonymous(), &folder, site.app.data(), at_once)
            .await
            .unwrap();
    assert_eq!(summary, Summary { new: 12, already_here: 0, refused: 0, failed: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_how_far_it_is_and_what_it_did_not_take() {
    let home = tempfile::tempdir().unwrap();
    let photos = home.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for seed in 0..2 {
        std::fs::write(photos.join(format!("{seed}.jpg")), pictures::jpeg(64, 48, seed)).unwrap();
    }
    for copy in 2..210 {
        std::fs::copy(photos.join("0.jpg"), photos.join(format!("{copy}.jpg"))).unwrap();
    }
    std::fs::write(photos.join("notes.txt"), "no photo").unwrap();
    let environment = [("GALLERY__LABELER", "none"), ("GALLERY__IDENTITY", "none")];
    for says in ["2 new, 208 here before, 1 refused, 0 failed.", "0 new, 210 here before, 1 refused, 0 failed."] {
        let output = run(home.path(), &["import", photos.to_str().unwrap()], &environment, "");
        let (told, summary) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
        assert!(output.status.success() && summary.starts_with(says), "{summary}{told}");
        let mut lines: Vec<&str> = told.lines().filter(|line| line.ends_with(" files")).collect();
        assert_eq!(lines, ["100 of 211 files", "200 of 211 files"]);
        lines = told.lines().filter(|line| line.contains("notes.txt: ")).collect();
        assert_eq!((lines.len(), told.lines().count()), (1, 3), "{told}");
    }
    let server = Process::serve(home.path(), &environment).await;
    assert_eq!(server.all().await.len(), 2);
}

#[test]
fn what_is_no_folder_is_named() {
    let home = tempfile::tempdir().unwrap();
    for missing in ["nowhere", "log"] {
        std::fs::write(home.path().join("log"), "a file").unwrap();
        let output = run(home.path(), &["import", missing], &[], "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(
            told,
            format!("photo-gallery: {missing} is not a folder; name the folder whose photos shall be taken in\n")
        );
        assert!(!home.path().join("data").exists());
    }
}

#[tokio::test]
async fn the_gallerys_own_folder_is_not_taken_in() {
    let site = Site::new().await;
    site.uploaded("a.jpg", pictures::jpeg(64, 48, 1)).await;
    std::fs::write(site.folder.path().join("b.jpg"), pictures::jpeg(64, 48, 2)).unwrap();
    let nobody = Owner::anonymous();
    let import = || photo_gallery::import::import(site.app.album(), &nobody, site.folder.path(), site.app.data(), 2);
    assert_eq!(import().await.unwrap(), Summary { new: 1, ..Summary::default() });
    assert_eq!(import().await.unwrap(), Summary { already_here: 1, ..Summary::default() });
}
