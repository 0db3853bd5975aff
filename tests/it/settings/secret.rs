//! The secret that keys are derived from.

use super::*;

#[test]
fn keys_depend_on_the_secret_and_the_purpose() {
    let secret = |text: &str| Place::new().set("FLASK_SECRET", text).settings().secret().expect("the secret is set");
    let key = secret("something11").key("links");
    assert_eq!(key, secret("something11").key("links"));
    assert_ne!(key, secret("something11").key("sessions"));
    assert_ne!(key, secret("something12").key("links"));
    assert_ne!(secret("x").key("links"), secret(&"x".repeat(1000)).key("links"));
    assert!(!format!("{:?}", secret("something11")).contains("something11"));
}

#[test]
fn a_secret_that_nobody_set_is_made_once_and_kept_to_oneself() {
    let place = Place::new();
    let data = place.folder.path().join("new/data");
    let settings = place.set("GALLERY__DATA", data.as_os_str()).settings();
    assert!(!data.exists(), "loading settings writes nothing");
    let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| settings.secret().expect("the folder can be written").key("links")))
            .collect();
        started.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "all that start at once share one secret");
    assert_eq!(settings.secret().expect("the secret is there").key("links"), keys[0]);
    assert_eq!(fs::read_dir(&data).expect("the folder is there").count(), 1, "nothing temporary is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(data.join("secret")).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    fs::write(data.join("secret"), "short\n").expect("the folder can be written");
    let refusal = settings.secret().expect_err("five characters are no secret").to_string();
    assert!(refusal.contains("less than 32 characters of secret"), "{refusal}");
    fs::remove_file(data.join("secret")).expect("the file can be removed");
    fs::remove_dir(&data).expect("the folder can be removed");
    fs::write(&data, "a file in the folder's place").expect("the folder can be written");
    let refusal = format!("{:#}", settings.secret().expect_err("a file is no folder"));
    assert!(refusal.contains("data/secret"), "{refusal}");
}
