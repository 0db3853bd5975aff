//! What browsers keep for us cannot be read, changed or used for something else.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use photo_gallery::{
    accounts::{Accounts, Underway},
    identity::{Challenge, Delivery, Departure, Pending},
};
use secrecy::ExposeSecret as _;

use super::{Bed, Gallery, keys, named, wait};

async fn gallery() -> Gallery {
    Gallery::new(Bed::bare_sqlite()).await
}

fn reset() -> Underway {
    Underway::Reset {
        name: named("ann@example.org"),
        delivery: Delivery { to: Some("a***@e***".to_owned()), mark: None },
    }
}

fn sealed(accounts: &Arc<Accounts>, underway: &Underway, next: &str) -> String {
    accounts.seal(underway, next).unwrap().expose_secret().to_owned()
}

#[tokio::test]
async fn a_sign_in_goes_on_at_another_instance_where_it_was_left() {
    let gallery = gallery().await;
    let cookie = sealed(&gallery.one, &reset(), "/photos?q=dog");
    let (underway, next) = gallery.two.unseal(&cookie).unwrap();
    assert!(matches!(underway, Underway::Reset { name, .. } if name == named("ann@example.org")));
    assert_eq!(next, "/photos?q=dog");
    assert_ne!(cookie, sealed(&gallery.one, &reset(), "/photos?q=dog"), "no two are alike");
}

#[tokio::test]
async fn a_sealed_cookie_tells_nothing_and_cannot_be_changed() {
    let gallery = gallery().await;
    let cookie = sealed(&gallery.one, &reset(), "/");
    let bytes = URL_SAFE_NO_PAD.decode(&cookie).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("ann"));
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut forged = bytes.clone();
            forged[at] ^= bit;
            assert!(gallery.one.unseal(&URL_SAFE_NO_PAD.encode(forged)).is_none(), "byte {at}");
        }
        assert!(gallery.one.unseal(&URL_SAFE_NO_PAD.encode(&bytes[..at])).is_none(), "cut at {at}");
    }
    for junk in [String::new(), "x".repeat(8192), format!("{cookie}AAAA"), format!("{cookie}=")] {
        assert!(gallery.one.unseal(&junk).is_none(), "{junk}");
    }
    let mut other = keys();
    other.seal = [9; 32];
    let (stranger, _) = Gallery::instance(&gallery.bed.connection, gallery.folder.path(), &gallery.town, other, 3);
    assert!(stranger.unseal(&cookie).is_none(), "another secret");
    assert!(gallery.one.unseal(gallery.one.new_device().unwrap().expose_secret()).is_none(), "another purpose");
}

#[tokio::test]
async fn a_sign_in_that_was_left_for_15_minutes_begins_anew() {
    let gallery = gallery().await;
    let cookie = sealed(&gallery.one, &reset(), "/");
    wait(Duration::from_mins(15) - Duration::from_millis(1));
    assert!(gallery.one.unseal(&cookie).is_some());
    wait(Duration::from_millis(1));
    assert!(gallery.one.unseal(&cookie).is_none());
}

#[tokio::test]
async fn the_longest_note_of_a_provider_has_room_in_a_cookie() {
    let gallery = gallery().await;
    let secret = "A".repeat(52);
    let uri = format!("otpauth://totp/Photos:{}?secret={secret}&issuer=Photos", "a".repeat(100));
    let pending = Pending {
        name: named(&format!("{}@example.org", "a".repeat(60))),
        challenge: Challenge::SetUp { secret, uri },
        state: "s".repeat(2048),
    };
    let underway = Underway::Challenge(pending);
    let next = format!("/photos?q={}", "x".repeat(900));
    let cookie = sealed(&gallery.one, &underway, &next);
    let whole = format!("__Host-sign-in={cookie}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=900");
    assert!(whole.len() < 4096, "{}", whole.len());
    assert_eq!(gallery.one.unseal(&cookie).unwrap().1, "/", "where to go at the end gives way");
    let short = Underway::Hosted(Departure { state: "s".into(), nonce: "n".into(), verifier: "v".into() });
    assert_eq!(gallery.one.unseal(&sealed(&gallery.one, &short, &next)).unwrap().1, next);
}

#[tokio::test]
async fn a_form_token_is_good_for_its_own_cookie_only() {
    let gallery = gallery().await;
    let token = gallery.one.form_token("ann's cookie");
    assert!(gallery.two.knows_token("ann's cookie", &token));
    assert!(!gallery.two.knows_token("bob's cookie", &token));
    for wrong in ["", "x", &token[1..], &format!("{token}A"), &gallery.one.form_token("bob's cookie")] {
        assert!(!gallery.two.knows_token("ann's cookie", wrong), "{wrong}");
    }
    let mut other = keys();
    other.form = [9; 32];
    let (stranger, _) = Gallery::instance(&gallery.bed.connection, gallery.folder.path(), &gallery.town, other, 3);
    assert!(!stranger.knows_token("ann's cookie", &token));
}
