//! What names pictures, from its settings.

use std::sync::Arc;

use super::{aws, cores};
use crate::{
    album::Manner,
    labeler::{
        Labeler,
        builtin::{Builtin, fusion::Thresholds},
        rekognition::Rekognition,
    },
    settings::{self, Settings},
};

/// Photos that are labelled at once when the labeler is a service outside.
const OUTSIDE_AT_ONCE: usize = 4;

/// Photos that the builtin labeler looks at at once: half of the cores are left to those who wait for an answer, and each look
/// takes some 80 MB of memory.
fn looked_at_at_once() -> usize {
    cores().div_ceil(2)
}

/// How many photos are finished at once.
pub(super) fn at_once(settings: &Settings) -> usize {
    match settings.labeler {
        _ if settings.worker.at_once > 0 => settings.worker.at_once,
        settings::Labeler::Rekognition(_) => OUTSIDE_AT_ONCE,
        settings::Labeler::Builtin(_) | settings::Labeler::None => looked_at_at_once(),
    }
}

/// How photos are finished.
pub(super) fn manner(settings: &Settings) -> Manner {
    match &settings.labeler {
        settings::Labeler::Rekognition(rekognition) => Manner { reuse: rekognition.reuse, ..Manner::default() },
        settings::Labeler::Builtin(_) | settings::Labeler::None => Manner::default(),
    }
}

/// The labeler; `None` where photos stay without labels.
pub(super) async fn open(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Labeler>>> {
    Ok(match &settings.labeler {
        settings::Labeler::None => None,
        settings::Labeler::Builtin(percent) => {
            let builtin = builtin(percent);
            builtin.check()?;
            Some(Arc::new(builtin))
        }
        settings::Labeler::Rekognition(asked) => Some(Arc::new(rekognition(settings, asked).await?)),
    })
}

/// The models inside the program, not looked at yet.
pub(super) fn builtin(percent: &settings::Builtin) -> Builtin {
    let thresholds = Thresholds {
        class: percent.exact_percent,
        group: percent.general_percent,
        object: percent.object_percent,
        ..Thresholds::default()
    };
    Builtin::new(thresholds, looked_at_at_once())
}

/// Amazon Rekognition, not asked anything yet.
pub(super) async fn rekognition(settings: &Settings, asked: &settings::Rekognition) -> anyhow::Result<Rekognition> {
    let config = aws::config(&settings.aws, asked.region.as_deref(), asked.endpoint.as_deref()).await?;
    #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
    let client = aws_sdk_rekognition::Client::new(&config);
    let rekognition = Rekognition::new(client, asked.max_labels, asked.min_confidence);
    Ok(match &settings.store {
        settings::Store::S3(s3) if asked.from_bucket => rekognition.reading_from(s3.bucket.clone()),
        settings::Store::S3(_) | settings::Store::Disk => rekognition,
    })
}
