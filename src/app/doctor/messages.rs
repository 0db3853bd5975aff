//! Topic and queue: whether what is announced reaches workers.

use std::time::Duration;

use anyhow::ensure;

use super::{Process, credentials::Standing};
use crate::{
    app::events::open_aws,
    doctor::{Chart, Seen, alone},
    events::{Aws, Events as _, Message},
    photo::counted,
    settings::{Events, Settings, Topic},
};

pub(super) async fn examine(settings: &Settings, standing: &Standing, process: Process, chart: &mut Chart) {
    let Events::Aws(set) = &settings.events else { return };
    let (region, account) = match standing {
        Standing::Usable { region, account } => (set.region.as_deref().unwrap_or(region), account.as_deref()),
        Standing::Unusable(why) => return chart.skip("topic and queue", why),
    };
    let events = match open_aws(settings, set).await {
        Ok(events) => events,
        Err(cause) => return chart.note("topic and queue", Err(cause)),
    };
    if let Some(arn) = &set.topic_arn {
        let parts: Vec<&str> = arn.split(':').collect();
        let place = Place { region: parts.get(3).copied(), account: parts.get(4).copied() };
        chart.note("topic ARN", agreed("the topic", "events.aws.topic_arn", &place, region, account));
        // A worker with a queue tells of photos again through that.
        if process == Process::Server || set.queue_url.is_none() {
            chart.look("sns:Publish", published(&events)).await;
        }
    }
    let Some(url) = &set.queue_url else { return chart.note("queue", Ok(without_queue(settings))) };
    chart.note("queue URL", agreed("the queue", "events.aws.queue_url", &Place::of_queue(url), region, account));
    if chart.look("queue", answers(&events, set)).await.is_none() {
        return chart.skip("rights at the queue", "it is not as it should be");
    }
    chart.look("dead letters", dead(&events)).await;
    chart.look("sqs:SendMessage", sent(&events)).await;
    if process.finishes(settings) {
        let nothing = Message {
            subjects: Ok(Vec::new()),
            trace: None,
            received: 1,
            receipt: "of no message, says the doctor".to_owned(),
        };
        chart.look("sqs:ReceiveMessage", received(&events)).await;
        chart.look("sqs:DeleteMessage", removed(&events, &nothing)).await;
        chart.look("sqs:ChangeMessageVisibility", put_off(&events, &nothing)).await;
    }
}

/// Where a thing at AWS is, as far as its name says.
struct Place<'a> {
    region: Option<&'a str>,
    account: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// Of `https://sqs.us-west-2.amazonaws.com/123456789012/uploads-queue`.
    fn of_queue(url: &'a str) -> Self {
        let mut parts = url.split('/').skip(2);
        let host = parts.next().unwrap_or_default();
        let region = host.strip_prefix("sqs.").and_then(|rest| Some(rest.split_once(".amazonaws.com")?.0));
        Self { region, account: parts.next() }
    }
}

/// Whether a thing is where it is asked for.
fn agreed(what: &str, setting: &str, place: &Place<'_>, asked: &str, account: Option<&str>) -> anyhow::Result<Seen> {
    if let Some(there) = place.region {
        ensure!(
            there == asked,
            "{what} is in {there}, and is asked for in {asked}: set events.aws.region to {there}, or correct {setting}"
        );
    }
    if let (Some(theirs), Some(ours)) = (place.account, account)
        && theirs != ours
    {
        return Ok(Seen::warn(format!(
            "{what} is of account {theirs}, and the credentials are of {ours}: see that {setting} is meant so"
        )));
    }
    Ok(Seen::ok("region and account agree with the settings"))
}

async fn published(events: &Aws) -> anyhow::Result<Seen> {
    events.publish_test().await.map_err(|cause| alone(&cause))?;
    Ok(Seen::ok("a test message was published, which workers pass over"))
}

async fn sent(events: &Aws) -> anyhow::Result<Seen> {
    events.send_test().await.map_err(|cause| alone(&cause))?;
    Ok(Seen::ok("a test message was sent, which workers pass over"))
}

async fn received(events: &Aws) -> anyhow::Result<Seen> {
    events.receive_test().await.map_err(|cause| alone(&cause))?;
    Ok(Seen::ok("messages may be received; the one that came was left at once"))
}

/// Tries with a receipt of no message: the right is looked at first.
async fn removed(events: &Aws, nothing: &Message) -> anyhow::Result<Seen> {
    events.done(nothing).await.map_err(|cause| alone(&cause))?;
    Ok(Seen::ok("messages may be removed"))
}

async fn put_off(events: &Aws, nothing: &Message) -> anyhow::Result<Seen> {
    events.put_off(nothing, Duration::ZERO).await.map_err(|cause| alone(&cause))?;
    Ok(Seen::ok("messages may be put off"))
}

fn without_queue(settings: &Settings) -> Seen {
    if settings.worker.beside_server {
        Seen::ok("none is set: photos are finished by the worker's sweep, or elsewhere")
    } else {
        Seen::ok("none is set: photos are finished elsewhere")
    }
}

async fn answers(events: &Aws, set: &Topic) -> anyhow::Result<Seen> {
    let setup = events.setup().await.map_err(|cause| alone(&cause))?.unwrap_or_default();
    ensure!(setup.unreached.is_none(), "{}", setup.unreached.unwrap_or_default());
    if let Some(doubt) = setup.undying.or(setup.unclear) {
        return Ok(Seen::warn(doubt));
    }
    let lets = if set.topic_arn.is_some() { "its policy lets the topic send, " } else { "" };
    Ok(Seen::ok(format!("it is there, {lets}and it gives up what nobody can read")))
}

async fn dead(events: &Aws) -> anyhow::Result<Seen> {
    let depth = events.depth().await.map_err(|cause| alone(&cause))?.unwrap_or_default();
    Ok(match depth.dead {
        Some(0) => Seen::ok(format!(
            "none; {} waiting, {} in hand",
            counted(depth.waiting, "message", "messages"),
            depth.in_hand
        )),
        Some(dead) => Seen::warn(format!(
            "{} in the dead-letter queue: read one to see why it was given up, set that right, and move them back (\"redrive\")",
            counted(dead, "message lies", "messages lie")
        )),
        None => Seen::warn(
            "they cannot be counted: give the queue a dead-letter queue, and allow sqs:GetQueueUrl and sqs:GetQueueAttributes on it",
        ),
    })
}
