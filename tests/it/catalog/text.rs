//! Text is stored exactly or refused, the same on every engine.

use photo_gallery::photo::{Description, Developed, FileName, Instance, Label, Owner, Taken};

use super::{
    Bed,
    cases::{ann, at, developed, found, insert, label, photo},
};

pub(super) async fn odd_text_comes_back_exactly(bed: &Bed) {
    let longest = "🦉".repeat(Description::MAX_CHARS);
    let texts = [
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "שלום \u{202e}abc",
        "a\u{301} á",
        "it's 100 %_\\ \"quoted\"; -- /* x */",
        "two  blanks \n\t and lines",
        &longest,
    ];
    let photos = insert(bed, &ann(), 1..=6).await;
    assert_eq!(photos.len(), texts.len());
    for (text, photo) in texts.iter().zip(&photos) {
        let description: Description = text.parse().expect("a description");
        assert!(bed.catalog.describe(&ann(), photo.id, &description).await.expect("described"));
        let back = bed.catalog.photo(&ann(), photo.id).await.expect("looked up").expect("there");
        assert_eq!(back.description.as_str(), *text);
    }
    let mut named = photo(&ann(), 100);
    named.file_name = FileName::new(&format!("{}.jpg", "ü".repeat(300)));
    bed.catalog.insert_photo(&named).await.expect("inserted");
    assert_eq!(bed.catalog.photo(&ann(), named.id).await.expect("looked up"), Some(named));
}

pub(super) async fn owners_that_differ_in_case_or_accent_are_strangers(bed: &Bed) {
    let longest = "🦉".repeat(Owner::MAX_CHARS);
    let owners: Vec<Owner> =
        ["ann", "Ann", "ánn", "a\u{301}nn", "ann%", &longest].iter().map(|o| o.parse().expect("an owner")).collect();
    for owner in &owners {
        let mine = insert(bed, owner, [1]).await;
        bed.catalog.save_labels(mine[0].id, &[label("Dog", 50.0)], at(9)).await.expect("saved");
    }
    for owner in &owners {
        assert_eq!(found(bed, owner, &[]).await.len(), 1, "{}", owner.as_str());
        assert_eq!(bed.catalog.label_totals(owner).await.expect("counted"), [("Dog".to_owned(), 1)]);
    }
    for refused in ["ann ", " ann", "a\0nn", "", &"x".repeat(Owner::MAX_CHARS + 1)] {
        assert!(refused.parse::<Owner>().is_err(), "{refused:?}");
    }
}

pub(super) async fn a_taken_time_that_mysql_cannot_keep_is_refused(bed: &Bed) {
    for year in ["0999", "+10000"] {
        let at = format!("{year}-06-01T00:00:00Z").parse().expect("a moment");
        let mut odd = photo(&ann(), 1);
        odd.developed = Some(Developed { taken: Some(Taken { at, offset_known: true }), ..developed() });
        let refusal = bed.catalog.insert_photo(&odd).await.expect_err("refused");
        assert!(format!("{refusal:#}").contains("years 1000 to 9999"), "{refusal:#}");
    }
    assert!(found(bed, &ann(), &[]).await.is_empty());
}

pub(super) async fn hostile_labels_are_kept_whole_or_dropped(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    let boxed = |left: f64| Instance { confidence: 90.0, left, top: 0.0, width: 0.5, height: 1.0 };
    let mut labels: Vec<Label> = (0..1000).map(|n| label(&format!("Thing {n}"), 10.0)).collect();
    labels
        .push(Label { instances: vec![boxed(f64::NAN), boxed(0.25)], ..label("<script>alert('x')</script>", 1000.0) });
    labels.push(label(&"long".repeat(2500), 99.0));
    labels.push(label("Nowhere", f64::NAN));
    labels.push(label("dog", 98.0));
    labels.push(label("Dog", 97.0));
    labels.push(label("Café 🦉", 96.0));
    labels.push(label("   ", 95.0));
    assert!(bed.catalog.save_labels(one.id, &labels, at(9)).await.expect("saved"));
    let kept = bed.catalog.labels(&[one.id]).await.expect("read").remove(&one.id).expect("labels");
    assert_eq!(kept, Label::tidy(labels));
    assert_eq!(kept.len(), Label::MAX_PER_PHOTO);
    assert_eq!(kept[0].instances, [boxed(0.25)]);
    assert_eq!(
        kept[..3].iter().map(|label| label.name.as_str()).collect::<Vec<_>>(),
        ["<script>alert('x')</script>", "dog", "Café 🦉"]
    );
    assert_eq!(bed.catalog.label_totals(&ann()).await.expect("counted").len(), Label::MAX_PER_PHOTO);
}

pub(super) async fn the_label_text_is_cut_between_names(bed: &Bed) {
    let one = insert(bed, &ann(), [1]).await.remove(0);
    let labels: Vec<Label> = (0..100).map(|n| label(&format!("{n:02} {}", "ß".repeat(90)), 50.0)).collect();
    bed.catalog.save_labels(one.id, &labels, at(9)).await.expect("saved");
    let text = bed.catalog.photo(&ann(), one.id).await.expect("looked up").expect("there").label_text;
    assert_eq!(text.split(", ").count(), 21);
    assert!(text.split(", ").all(|name| name.chars().count() == 93));
    assert_eq!(bed.catalog.labels(&[one.id]).await.expect("read")[&one.id].len(), 100);
}
