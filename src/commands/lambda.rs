//! `lambda`: finishes photos under Lambda's runtime, or migrates, as the function's handler says. Batches of SQS are answered message by
//! message; notifications of SNS and S3 fail or succeed as a whole; a schedule sweeps.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use chrono::DateTime;
use futures_util::{StreamExt as _, stream};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::migrate;
use crate::{
    app::{self, App},
    error::causes,
    events::{
        Message,
        message::{self, TRACE, received},
    },
    settings::{self, Handler, Settings},
    worker::{Verdict, Worker},
};

/// What is kept of an invocation's time, to give back what is in hand and to answer.
const SPARE: Duration = Duration::from_secs(3);
/// How long giving back may take.
const GIVES_BACK: Duration = Duration::from_secs(1);
/// How many messages of a batch are looked at side by side; how many photos, the worker says.
const SIDE_BY_SIDE: usize = 10;

/// Takes invocations until Lambda ends the process.
pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    match settings::handler() {
        None => bail!(
            "this is not Lambda: its variables (AWS_LAMBDA_RUNTIME_API, AWS_LAMBDA_FUNCTION_NAME and others) are not set; use `photo-gallery work`"
        ),
        Some(Handler::Work) => {
            let app = App::open(settings).await?;
            let function = Arc::new(Function { worker: app.worker(), app });
            take(move |event| {
                let function = Arc::clone(&function);
                async move { function.invoked(event).await }
            })
            .await
        }
        Some(Handler::Migrate) => {
            let settings = Arc::new(settings);
            take(move |event| {
                let settings = Arc::clone(&settings);
                async move { migrated(&settings, event).await }
            })
            .await
        }
    }
}

/// Gives each invocation to `invoked`; an error is the function's error, and its sentence the message.
async fn take<Answer>(invoked: impl Fn(LambdaEvent<Value>) -> Answer) -> anyhow::Result<()>
where
    Answer: Future<Output = anyhow::Result<Value>>,
{
    let handler = service_fn(move |event| {
        let answer = invoked(event);
        async move { answer.await.map_err(|cause| lambda_runtime::Error::from(causes(cause.as_ref()))) }
    });
    lambda_runtime::run(handler).await.map_err(|cause| anyhow!(cause)).context("taking invocations from Lambda")
}

/// How long an invocation still has.
fn left(context: &lambda_runtime::Context) -> anyhow::Result<Duration> {
    let deadline = i64::try_from(context.deadline).ok().and_then(DateTime::from_timestamp_millis);
    let deadline = deadline.context("the invocation has no deadline")?;
    Ok((deadline - app::now()).to_std().unwrap_or_default())
}

/// Migrates in an invocation's time.
async fn migrated(settings: &Settings, event: LambdaEvent<Value>) -> anyhow::Result<Value> {
    let (event, context) = event.into_parts();
    let time = left(&context)?.saturating_sub(SPARE);
    let message = timeout(time, migrate::invoked(settings, &event)).await.context(
        "the function's time is over before the database is migrated; give it more and invoke it again: what is done stays done",
    )??;
    tracing::info!("{message}");
    Ok(json!({"message": message}))
}

struct Function {
    app: App,
    worker: Worker,
}

/// How long an invocation has.
#[derive(Clone)]
struct Time {
    /// When what is still at work is broken off, so that there is time to answer.
    end: Instant,
    /// Cancelled at half time: what has not begun by then is left to another invocation.
    begin: CancellationToken,
}

impl Time {
    /// `left` until Lambda ends it.
    fn within(left: Duration) -> Self {
        let (now, left) = (Instant::now(), left.saturating_sub(SPARE));
        let begin = CancellationToken::new();
        let half = begin.clone();
        tokio::spawn(async move {
            sleep_until(now + left / 2).await;
            half.cancel();
        });
        Self { end: now + left, begin }
    }

    /// What becomes of `work`; `None` when the time is over. Then what it had in hand has had a moment to be given back.
    async fn bounds<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let done = timeout_at(self.end, work).await.ok();
        if done.is_none() {
            sleep(GIVES_BACK).await;
        }
        done
    }
}

impl Function {
    async fn invoked(&self, event: LambdaEvent<Value>) -> anyhow::Result<Value> {
        let (event, context) = event.into_parts();
        let time = Time::within(left(&context)?);
        let records = event.get("Records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !records.is_empty() && records.iter().all(|record| record["eventSource"] == "aws:sqs") {
            return self.batch(records, &time).await;
        }
        if event["detail-type"] == "Scheduled Event" {
            time.bounds(self.worker.sweep_once(&time.begin)).await.context("the sweep needs more time")??;
            return Ok(Value::Null);
        }
        let told = message::read_value(&event, self.app.bucket())?;
        let message = Message { subjects: Ok(told.subjects), trace: told.trace, received: 1, receipt: String::new() };
        match time.bounds(self.worker.see_to(&message, &time.begin)).await {
            Some(Verdict::Done) => Ok(Value::Null),
            Some(Verdict::Back(_)) => bail!("not all could be done; the log says why, and Lambda is to try again"),
            None => bail!("the function's time is over; give it more, or fewer photos at a time"),
        }
    }

    /// Sees to the messages of a batch; the answer names those that are to come back.
    async fn batch(&self, records: &[Value], time: &Time) -> anyhow::Result<Value> {
        let seen: Vec<anyhow::Result<Option<Value>>> = stream::iter(records)
            .map(|record| self.record(record, time))
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        let failed = seen.into_iter().filter_map(Result::transpose).collect::<anyhow::Result<Vec<Value>>>()?;
        Ok(json!({"batchItemFailures": failed}))
    }

    /// Sees to one message; what the answer says of it when it is to come back.
    async fn record(&self, record: &Value, time: &Time) -> anyhow::Result<Option<Value>> {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let id = text("/messageId").context("a message of SQS has no `messageId`")?;
        let trace = record.pointer("/messageAttributes").and_then(|all| all.get(TRACE)?.get("stringValue")?.as_str());
        let count = text("/attributes/ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        let receipt = text("/receiptHandle").unwrap_or_default().to_owned();
        let message = received(text("/body").unwrap_or_default(), self.app.bucket(), trace, count, receipt);
        match time.bounds(self.worker.see_to(&message, &time.begin)).await {
            Some(Verdict::Done) => return Ok(None),
            Some(Verdict::Back(pause)) => {
                // Where the function knows the queue it says when; elsewhere the queue's own visibility timeout does.
                let told = timeout_at(time.end, self.app.events().put_off(&message, pause)).await;
                if let Err(cause) = told.unwrap_or_else(|_| Err(anyhow!("the time is over"))) {
                    tracing::warn!(
                        error = format!("{cause:#}"),
                        "a message comes back when its visibility timeout is over"
                    );
                }
            }
            None => tracing::warn!(
                message = id,
                "the function's time is over before a message is dealt with; it comes back"
            ),
        }
        Ok(Some(json!({"itemIdentifier": id})))
    }
}
