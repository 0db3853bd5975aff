//! What names pictures.

use super::{Process, credentials::Standing};
use crate::{
    app::labeler,
    doctor::{Chart, Seen},
    settings::{self, Labeler, Settings},
};

pub(super) async fn examine(settings: &Settings, standing: &Standing, process: Process, chart: &mut Chart) {
    if !process.finishes(settings) {
        return chart.note("labels", Ok(Seen::ok("this process asks for none: workers elsewhere do")));
    }
    match (&settings.labeler, standing) {
        (Labeler::None, _) => chart.note("labels", Ok(Seen::ok("none: photos stay without labels"))),
        (Labeler::Builtin(percent), _) => {
            let whole = labeler::builtin(percent).check().map_err(anyhow::Error::new);
            chart.note("labels", whole.map(|()| Seen::ok("the models inside the program are whole")));
        }
        (Labeler::Rekognition(_), Standing::Unusable(why)) => chart.skip("rekognition:DetectLabels", why),
        (Labeler::Rekognition(asked), Standing::Usable { .. }) => {
            chart.look("rekognition:DetectLabels", allowed(settings, asked)).await;
        }
    }
}

async fn allowed(settings: &Settings, asked: &settings::Rekognition) -> anyhow::Result<Seen> {
    Ok(if labeler::rekognition(settings, asked).await?.may_ask().await? {
        Seen::ok("Rekognition may be asked, which was found out at no cost")
    } else {
        Seen::warn(
            "Rekognition has more requests than it takes, and says nothing of the right to ask it: look again later, and have the account's \
             quota raised where that stays so",
        )
    })
}
