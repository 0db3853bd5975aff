//! Labels by content: one of many asks, and all know.

use futures_util::future::join_all;
use photo_gallery::{catalog::Known, photo::Sha256};

use super::{
    Bed,
    cases::{at, label},
};

const CONTENT: Sha256 = Sha256([7; 32]);
const NAME: &str = "a labeler of labels";

/// What is known, asked by `mark` at second `now` for 20 seconds.
async fn known(bed: &Bed, mark: &str, now: i64) -> Known {
    bed.catalog.known_labels(CONTENT, NAME, mark, at(now), at(now + 20)).await.expect("answered")
}

pub(super) async fn of_many_who_meet_one_content_one_asks(bed: &Bed) {
    for round in 0..2 {
        let marks: Vec<String> = (0..12).map(|number| format!("mark {number}")).collect();
        let answers = join_all(marks.iter().map(|mark| known(bed, mark, round * 20))).await;
        assert_eq!(answers.iter().filter(|known| **known == Known::Nothing).count(), 1, "round {round}");
        let until = at(round * 20 + 20);
        assert!(answers.iter().all(|known| matches!(known, Known::Nothing) || *known == Known::Asked(until)));
    }
}

pub(super) async fn what_was_said_is_known_to_all_until_nobody_asks_for_long(bed: &Bed) {
    const DAY: i64 = 24 * 60 * 60;
    assert_eq!(known(bed, "one", 0).await, Known::Nothing);
    bed.catalog.go_on_asking(CONTENT, NAME, "one", at(100)).await.expect("noted");
    assert_eq!(known(bed, "two", 99).await, Known::Asked(at(100)));
    bed.catalog.stop_asking(CONTENT, NAME, "two").await.expect("answered");
    assert_eq!(known(bed, "two", 99).await, Known::Asked(at(100)), "only who asks stops");
    bed.catalog.stop_asking(CONTENT, NAME, "one").await.expect("noted");
    assert_eq!(known(bed, "two", 99).await, Known::Nothing);
    assert_eq!(known(bed, "two", 99).await, Known::Nothing, "asked again after a lost answer");
    let labels = [label("Dog", 97.123_456_789), label("<b>Tree</b>", 1.0 / 3.0)];
    bed.catalog.keep_labels(CONTENT, NAME, &labels, at(100)).await.expect("kept");
    assert_eq!(known(bed, "three", 101).await, Known::Labels(labels.to_vec()));
    bed.catalog.stop_asking(CONTENT, NAME, "two").await.expect("answered");
    assert_eq!(known(bed, "three", 101).await, Known::Labels(labels.to_vec()), "what is known stays");
    let other = bed.catalog.known_labels(CONTENT, "another", "one", at(101), at(120)).await.expect("answered");
    assert_eq!(other, Known::Nothing, "of another labeler nothing is known");

    assert_eq!(known(bed, "four", 80 * DAY).await, Known::Labels(labels.to_vec()));
    assert_eq!(bed.catalog.forget_labels(at(60 * DAY), 10).await.expect("forgotten"), 1, "the other's question");
    assert_eq!(known(bed, "four", 80 * DAY).await, Known::Labels(labels.to_vec()));
    assert_eq!(bed.catalog.forget_labels(at(81 * DAY), 10).await.expect("forgotten"), 1);
    assert_eq!(known(bed, "four", 81 * DAY).await, Known::Nothing);
    assert_eq!(bed.catalog.forget_labels(at(81 * DAY), 10).await.expect("forgotten"), 0);
}

pub(super) async fn labels_that_cannot_be_read_are_asked_for_again_by_one(bed: &Bed) {
    bed.catalog.keep_labels(CONTENT, NAME, &[label("Dog", 97.5)], at(0)).await.expect("kept");
    bed.run("UPDATE content_label SET labels = '[{\"name\"'").await;
    assert_eq!(known(bed, "one", 1).await, Known::Nothing);
    assert_eq!(known(bed, "two", 1).await, Known::Asked(at(21)));
    bed.catalog.keep_labels(CONTENT, NAME, &[label("Cat", 97.5)], at(2)).await.expect("kept");
    assert_eq!(known(bed, "two", 3).await, Known::Labels(vec![label("Cat", 97.5)]));
}

pub(super) async fn a_question_that_a_wrong_clock_asks_for_very_long_is_asked_anew(bed: &Bed) {
    assert_eq!(known(bed, "one", 24 * 60 * 60).await, Known::Nothing);
    assert_eq!(known(bed, "two", 1).await, Known::Nothing);
    assert_eq!(known(bed, "three", 1).await, Known::Asked(at(21)));
}
