//! The command that takes a folder in.

use photo_gallery::{import::Summary, photo::Owner};

use crate::{pictures, site::Site};

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
    let nobody = Owner::anonymous();
    let import = || photo_gallery::import::import(site.app.album(), &nobody, &folder, 2);
    let first = import().await.unwrap();
    let second = import().await.unwrap();
    assert_eq!(first, Summary { new: 3, already_here: 1, refused: 1, failed: 0 });
    assert_eq!(second, Summary { new: 0, already_here: 4, refused: 1, failed: 0 });
    let (_, listing) = site.json("/photos").await;
    assert_eq!(listing["photos"].as_array().unwrap().len(), 3);
}
