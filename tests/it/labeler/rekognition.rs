//! Amazon Rekognition, against a stand-in that answers with everything that can go wrong.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use photo_gallery::{
    labeler::{Labeler, Rekognition, Unlabelled},
    photo::{Instance, Label},
};
use serde_json::{Value, json};

use super::{
    photo,
    rekognition_stand_in::{Answer, StandIn, client},
};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn a_dog() -> Value {
    json!([
        {
            "Name": "Dog", "Confidence": 97.5, "Aliases": [],
            "Parents": [{"Name": "Animal"}, {"Name": "Mammal"}],
            "Categories": [{"Name": "Animals and Pets"}],
            "Instances": [
                {"Confidence": 96.0, "BoundingBox": {"Left": 0.25, "Top": 0.5, "Width": 0.5, "Height": 0.25}},
                {"Confidence": 90.0}
            ]
        },
        {"Name": "Animal", "Confidence": 99.0, "Parents": [], "Categories": [], "Instances": []}
    ])
}

async fn answering(answers: impl IntoIterator<Item = Answer>) -> (StandIn, Rekognition) {
    let stand_in = StandIn::answering(answers).await;
    let rekognition = Rekognition::new(stand_in.client(PATIENCE), 7, 55.0);
    (stand_in, rekognition)
}

async fn answered(answer: Answer) -> Result<Vec<Label>, Unlabelled> {
    let (_stand_in, rekognition) = answering([answer]).await;
    rekognition.labels(photo("chelsea.jpg")).await
}

mod suite {
    use super::{Answer, Labeler, a_dog, answering};

    /// The labeler with its server, which must live as long.
    struct Served(super::StandIn, super::Rekognition);

    #[async_trait::async_trait]
    impl Labeler for Served {
        async fn labels(&self, jpeg: bytes::Bytes) -> Result<Vec<super::Label>, super::Unlabelled> {
            let before = self.0.requests().len();
            let labels = self.1.labels(jpeg).await;
            assert!(self.0.requests().len() > before, "the server was asked");
            labels
        }
    }

    async fn served() -> Served {
        let (stand_in, rekognition) = answering([Answer::Labels(a_dog())]).await;
        Served(stand_in, rekognition)
    }

    super::super::conformance!(served());
}

#[tokio::test]
async fn the_request_holds_the_picture_and_the_limits() {
    let (stand_in, rekognition) = answering([Answer::Labels(a_dog())]).await;
    rekognition.labels(photo("chelsea.jpg")).await.expect("labels");
    let requests = stand_in.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["MaxLabels"], 7);
    assert_eq!(requests[0]["MinConfidence"], 55.0);
    assert_eq!(requests[0]["Image"]["Bytes"], BASE64_STANDARD.encode(photo("chelsea.jpg")));
}

#[tokio::test]
async fn a_picture_in_the_bucket_is_named_and_not_sent() {
    let (stand_in, rekognition) = answering([Answer::Labels(a_dog())]).await;
    let rekognition = rekognition.reading_from("my-photos".to_owned());
    let path = "renditions/0/display.jpg".parse().expect("a path");
    let labels = rekognition.labels_of(&path).await.expect("it reads the bucket").expect("labels");
    assert_eq!(labels.len(), 2);
    let requests = stand_in.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0],
        json!({"Image": {"S3Object": {"Bucket": "my-photos", "Name": path.as_str()}}, "MaxLabels": 7, "MinConfidence": 55.0})
    );
}

#[tokio::test]
async fn without_a_bucket_or_where_it_is_out_of_reach_the_bytes_are_wanted() {
    let path = "renditions/0/display.jpg".parse().expect("a path");
    let (stand_in, rekognition) =
        answering([Answer::Error { status: 400, code: "InvalidS3ObjectException", retry_after: None }]).await;
    assert!(rekognition.labels_of(&path).await.is_none());
    assert_eq!(stand_in.requests().len(), 0, "nobody was asked");
    let rekognition = rekognition.reading_from("elsewhere".to_owned());
    assert!(rekognition.labels_of(&path).await.is_none());
    assert_eq!(stand_in.requests().len(), 1, "and not again");
}

#[tokio::test]
async fn each_answer_is_paid_for_and_depends_on_the_limits() {
    let (stand_in, rekognition) = answering([Answer::Labels(a_dog())]).await;
    let name = rekognition.paid_as().expect("Amazon is paid");
    assert_eq!(name, "Amazon Rekognition: at most 7 labels of at least 55 percent");
    let other = Rekognition::new(stand_in.client(PATIENCE), 8, 55.0);
    assert_ne!(other.paid_as(), Some(name));
    assert_eq!(rekognition.max_bytes(), Rekognition::MAX_BYTES);
}

#[tokio::test]
async fn parents_categories_and_boxes_are_kept() {
    let labels = answered(Answer::Labels(a_dog())).await.expect("labels");
    assert_eq!(labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>(), ["Animal", "Dog"]);
    let dog = &labels[1];
    assert!((dog.by_confidence() - 97.5).abs() < 0.001);
    assert_eq!(dog.parents, ["Animal", "Mammal"]);
    assert_eq!(dog.categories, ["Animals and Pets"]);
    assert_eq!(dog.instances, [Instance { confidence: 96.0, left: 0.25, top: 0.5, width: 0.5, height: 0.25 }]);
}

#[tokio::test]
async fn what_rekognition_refuses_never_gets_labels() {
    for code in ["ImageTooLargeException", "InvalidImageFormatException", "InvalidParameterException"] {
        let (stand_in, rekognition) = answering([Answer::Error { status: 400, code, retry_after: None }]).await;
        match rekognition.labels(photo("chelsea.jpg")).await {
            Err(Unlabelled::Never(why)) => {
                assert!(
                    why.starts_with("Amazon Rekognition ") && why.ends_with("(said by the stand-in)."),
                    "{code}: {why}"
                );
            }
            other => panic!("{code} became {other:?}"),
        }
        assert_eq!(stand_in.requests().len(), 1, "{code} is not tried again");
    }
}

#[tokio::test]
async fn what_may_pass_is_asked_again_later() {
    let passing = [
        (400, "ThrottlingException", 2),
        (400, "ProvisionedThroughputExceededException", 2),
        (500, "InternalServerError", 2),
        (503, "ServiceUnavailable", 2),
        (400, "LimitExceededException", 2),
        (429, "TooManyRequestsException", 2),
        (500, "UnknownError", 2),
        (400, "ExpiredTokenException", 1),
        (400, "NoSuchThingException", 1),
    ];
    for (status, code, tries) in passing {
        let (stand_in, rekognition) = answering([Answer::Error { status, code, retry_after: None }]).await;
        match rekognition.labels(photo("chelsea.jpg")).await {
            Err(Unlabelled::NotNow { retry_after: None, cause }) => {
                assert!(cause.to_string().contains(code), "{code} is told: {cause}");
            }
            other => panic!("{code} became {other:?}"),
        }
        assert_eq!(stand_in.requests().len(), tries, "only the client tries again: {code}");
    }
}

#[tokio::test]
async fn a_missing_permission_names_what_to_allow() {
    match answered(Answer::Error { status: 400, code: "AccessDeniedException", retry_after: None }).await {
        Err(Unlabelled::NotNow { cause, .. }) => {
            assert!(cause.to_string().contains("rekognition:DetectLabels"), "{cause}");
            assert!(cause.to_string().contains("IAM policy"), "{cause}");
        }
        other => panic!("became {other:?}"),
    }
}

#[tokio::test]
async fn the_wait_that_a_throttling_answer_asks_for_is_kept_within_reason() {
    for (said, kept) in [(30, 30), (1_000_000, 900)] {
        match answered(Answer::Error { status: 400, code: "ThrottlingException", retry_after: Some(said) }).await {
            Err(Unlabelled::NotNow { retry_after, .. }) => assert_eq!(retry_after, Some(Duration::from_secs(kept))),
            other => panic!("became {other:?}"),
        }
    }
}

#[tokio::test]
async fn throttled_once_is_labelled_at_the_second_try() {
    let throttled = Answer::Error { status: 400, code: "ThrottlingException", retry_after: None };
    let (stand_in, rekognition) = answering([throttled, Answer::Labels(a_dog())]).await;
    assert_eq!(rekognition.labels(photo("chelsea.jpg")).await.expect("labels").len(), 2);
    assert_eq!(stand_in.requests().len(), 2);
}

#[tokio::test]
async fn silence_ends_with_the_clients_timeout() {
    let stand_in = StandIn::answering([Answer::Silence]).await;
    let asked = Instant::now();
    let impatient = Rekognition::new(stand_in.client(Duration::from_millis(200)), 7, 55.0);
    let answer = impatient.labels(photo("chelsea.jpg")).await;
    assert!(matches!(answer, Err(Unlabelled::NotNow { .. })), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "after {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_asked_again_later() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    let answer =
        Rekognition::new(client(&format!("http://{free}"), PATIENCE), 7, 55.0).labels(photo("chelsea.jpg")).await;
    assert!(matches!(answer, Err(Unlabelled::NotNow { .. })), "{answer:?}");
}

#[tokio::test]
async fn nonsense_instead_of_json_is_asked_again_later() {
    let nonsense = [
        (200, "<html>Welcome to the hotel's network</html>"),
        (200, "{\"Labels\": ["),
        (200, "{\"Labels\": \"none\"}"),
        (200, "[1, 2"),
        (502, "<html>Bad gateway</html>"),
        (403, "no"),
    ];
    for (status, body) in nonsense {
        let answer = answered(Answer::Body(status, body.to_owned())).await;
        assert!(matches!(answer, Err(Unlabelled::NotNow { .. })), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_without_labels_is_no_labels() {
    for body in ["{}", "{\"Labels\": []}", "{\"Labels\": null}"] {
        assert_eq!(answered(Answer::Body(200, body.to_owned())).await.expect("no labels"), [], "{body}");
    }
}

#[tokio::test]
async fn junk_values_are_left_out() {
    let long = "x".repeat(10_000);
    let junk = json!([
        {"Name": "Cat", "Confidence": 90.0, "Parents": [{"Name": long}, {}, {"Name": "Animal"}],
         "Instances": [
            {"Confidence": "NaN", "BoundingBox": {"Left": 0.1, "Top": 0.1, "Width": 0.1, "Height": 0.1}},
            {"Confidence": 50.0, "BoundingBox": {"Left": "Infinity", "Top": 0.1, "Width": 0.1, "Height": 0.1}},
            {"Confidence": 50.0, "BoundingBox": {"Left": 7.0, "Top": 0.1, "Width": 0.1, "Height": 0.1}},
            {"Confidence": 500.0, "BoundingBox": {"Left": -0.25, "Top": 0.5, "Width": 0.75, "Height": 3.0}},
         ]},
        {"Name": "cat", "Confidence": 80.0},
        {"Name": long, "Confidence": 99.0},
        {"Name": "Nameless", "Confidence": "NaN"},
        {"Name": "Sureless"},
        {"Confidence": 99.0},
        {"Name": "  \u{202e}\n ", "Confidence": 99.0},
        {"Name": "Too\nsure", "Confidence": 1e30},
        {"Name": "Unsure", "Confidence": -3.0},
    ]);
    let labels = answered(Answer::Labels(junk)).await.expect("labels");
    let names: Vec<_> = labels.iter().map(|label| (label.name.as_str(), label.by_confidence())).collect();
    assert_eq!(names, [("Too sure", 100.0), ("Cat", 90.0), ("Unsure", 0.0)]);
    assert_eq!(labels[1].parents, ["Animal"]);
    let inside = Instance { confidence: 100.0, left: 0.0, top: 0.5, width: 0.5, height: 0.5 };
    assert_eq!(labels[1].instances, [inside], "what lies within the picture");
    serde_json::to_string(&labels).expect("labels can be written as JSON");
}

#[tokio::test]
async fn a_thousand_labels_are_cut_to_the_surest() {
    let many: Vec<Value> = (0..1000)
        .map(|n| {
            let related: Vec<Value> = (0..1000).map(|p| json!({"Name": format!("Parent {p}")})).collect();
            json!({"Name": format!("Thing {n}"), "Confidence": f64::from(n) / 10.0, "Parents": if n > 990 { related } else { vec![] }})
        })
        .collect();
    let labels = answered(Answer::Labels(many.into())).await.expect("labels");
    assert_eq!(labels.len(), Label::MAX_PER_PHOTO);
    assert_eq!(labels[0].name, "Thing 999");
    assert_eq!(labels[0].parents.len(), Label::MAX_PARENTS);
}

#[tokio::test]
async fn a_name_with_markup_stays_plain_text_on_one_line() {
    let labels = json!([{"Name": "<script>\nalert(1)</script>", "Confidence": 90.0}]);
    let labels = answered(Answer::Labels(labels)).await.expect("labels");
    assert_eq!(labels[0].name, "<script> alert(1)</script>");
}

#[tokio::test]
async fn more_than_five_megabytes_are_refused_without_asking() {
    let (stand_in, rekognition) = answering([Answer::Labels(a_dog())]).await;
    let mut large = photo("chelsea.jpg").to_vec();
    large.resize(Rekognition::MAX_BYTES + 1, 0);
    match rekognition.labels(Bytes::from(large.clone())).await {
        Err(Unlabelled::Never(why)) => assert!(why.contains("5 MB"), "{why}"),
        other => panic!("became {other:?}"),
    }
    assert_eq!(stand_in.requests().len(), 0);
    large.truncate(Rekognition::MAX_BYTES);
    assert_eq!(rekognition.labels(Bytes::from(large)).await.expect("labels").len(), 2, "5 MB are taken");
}

/// Against moto's Rekognition, which answers every picture with the same labels.
mod with_servers {
    use super::{Labeler, PATIENCE, Rekognition, client, photo};
    use crate::labeler::named;

    fn moto() -> Rekognition {
        let endpoint = std::env::var("TEST_MOTO").expect(
            "TEST_MOTO is not set: run script/test, or start `moto_server` and set TEST_MOTO=http://127.0.0.1:PORT",
        );
        Rekognition::new(client(&endpoint, PATIENCE), 50, 50.0)
    }

    crate::labeler::conformance!(canned std::future::ready(moto()));

    #[tokio::test]
    async fn an_answer_in_amazons_own_shape_is_read_whole() {
        let labels = moto().labels(photo("chelsea.jpg")).await.expect("labels");
        let phone = named(&labels, "Mobile Phone").expect("moto's canned label");
        assert!(phone.by_confidence() > 99.0);
        assert!(phone.parents.iter().any(|parent| parent == "Phone"), "{phone:?}");
        assert_eq!(phone.instances.len(), 1);
        assert!(!phone.categories.is_empty(), "{phone:?}");
    }
}
