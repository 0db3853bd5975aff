//! Hostile and odd pictures of other projects' tests, fetched from their packages, through the front door.

mod with_servers {
    use std::{path::PathBuf, time::Duration};

    use futures_util::{StreamExt, stream};
    use reqwest::{Client, multipart};
    use walkdir::WalkDir;

    use crate::{pictures, process::Process};

    #[expect(clippy::disallowed_methods, reason = "script/test says where it put the corpus")]
    fn corpus() -> Vec<PathBuf> {
        let folder =
            std::env::var("TEST_CORPUS").expect("TEST_CORPUS names the folder of odd pictures; run script/test");
        let small =
            |file: &walkdir::DirEntry| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() < 50_000_000);
        WalkDir::new(folder)
            .sort_by_file_name()
            .into_iter()
            .flatten()
            .filter(small)
            .map(walkdir::DirEntry::into_path)
            .collect()
    }

    async fn upload(client: &Client, url: &str, name: String, bytes: Vec<u8>) -> (String, u16, Duration) {
        let began = std::time::Instant::now();
        let form = multipart::Form::new().part("photo", multipart::Part::bytes(bytes).file_name(name.clone()));
        let answer = client
            .post(format!("{url}/photos"))
            .header("accept", "application/json")
            .multipart(form)
            .send()
            .await
            .unwrap();
        (name, answer.status().as_u16(), began.elapsed())
    }

    #[tokio::test]
    async fn no_picture_of_a_hostile_corpus_harms_the_server() {
        let files = corpus();
        assert!(files.len() > 1000, "the corpus has {} files", files.len());
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::serve(folder.path(), &[("GALLERY__LABELER", "none")]).await;
        let client = server.client.clone();
        for seed in 0..4 {
            let (_, status, _) =
                upload(&client, &server.url, "warm.jpg".to_owned(), pictures::jpeg(4000, 3000, seed)).await;
            assert_eq!(status, 201);
        }
        let before = server.resident();
        let sending = stream::iter(files).map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            upload(&client, &server.url, name, std::fs::read(path).unwrap())
        });
        let answers: Vec<_> = sending.buffer_unordered(4).collect().await;
        let odd: Vec<_> = answers.iter().filter(|(_, status, _)| !matches!(status, 200 | 201 | 400..500)).collect();
        assert!(odd.is_empty(), "{odd:?}");
        let taken = answers.iter().filter(|(_, status, _)| *status < 300).count();
        assert!(taken > answers.len() / 5, "{taken} of {} were taken", answers.len());
        assert!(server.is_alive());
        let after = server.resident();
        assert!(after < before + 100, "resident memory was {before} MB and is {after} MB");
        let (_, status, _) = upload(&client, &server.url, "fine.jpg".to_owned(), pictures::jpeg(64, 48, 99)).await;
        assert_eq!(status, 201);
        println!("{taken} of {} taken; resident {before} MB before, {after} MB after", answers.len());
    }
}
