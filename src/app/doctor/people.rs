//! Who may sign in, and how they hear of their codes.

use anyhow::Context as _;

use crate::{
    app::{local::open_mail, open_cognito},
    doctor::{Chart, Seen},
    identity::cognito::Cognito,
    settings::{self, Identity, Settings},
};

pub(super) async fn examine(settings: &Settings, chart: &mut Chart) {
    match &settings.identity {
        Identity::None(_) => chart.note("accounts", Ok(Seen::ok("none: every visitor is the one owner"))),
        Identity::Local(local) => of_our_own(settings, local, chart).await,
        Identity::Cognito(pool) => of_a_pool(settings, pool, chart).await,
    }
}

async fn of_our_own(settings: &Settings, local: &settings::Local, chart: &mut Chart) {
    chart.note("accounts", Ok(Seen::ok("the gallery's own, in its database")));
    let mail = match open_mail(settings, local) {
        Ok(Some(mail)) => mail,
        Ok(None) => return,
        Err(cause) => return chart.note("mail server", Err(cause)),
    };
    let checked = async {
        mail.check().await?;
        Ok(Seen::ok(format!("{} lets us in", local.smtp_host.as_deref().unwrap_or_default())))
    };
    chart.look("mail server", checked).await;
}

async fn of_a_pool(settings: &Settings, pool: &settings::Cognito, chart: &mut Chart) {
    let cognito = match open_cognito(settings, pool).await.context("reaching the user pool") {
        Ok(cognito) => cognito,
        Err(cause) => return chart.note("user pool", Err(cause)),
    };
    if chart.look("user pool", keys(&cognito, &pool.pool_id)).await.is_none() {
        return chart.skip("app client", "the user pool does not answer");
    }
    chart.look("app client", client(&cognito)).await;
    if pool.domain.is_some() {
        chart.look("pool's own pages", pages(&cognito)).await;
    }
}

async fn keys(cognito: &Cognito, id: &str) -> anyhow::Result<Seen> {
    cognito.check_keys().await?;
    Ok(Seen::ok(format!("{id} gives out its keys")))
}

async fn client(cognito: &Cognito) -> anyhow::Result<Seen> {
    cognito.check_flow().await?;
    Ok(Seen::ok("it is there, its secret is right, and it lets people sign in"))
}

async fn pages(cognito: &Cognito) -> anyhow::Result<Seen> {
    cognito.check_pages().await?;
    Ok(Seen::ok("they sign people in, and lead back to the gallery"))
}
