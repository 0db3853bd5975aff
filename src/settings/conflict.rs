//! Settings that are right by themselves and wrong together.

use std::net::IpAddr;

use super::{Catalog, CloudFront, Events, Handler, Identity, Labeler, Local, Refusal, S3, Settings, SmtpTls, Store};

/// Refuses settings that cannot hold together, or would open the gallery to those it is not meant for.
pub(super) fn refuse(settings: &Settings) -> Result<(), Refusal> {
    let bind = settings.server.bind;
    events(settings)?;
    labeler(settings)?;
    links(settings)?;
    match &settings.identity {
        Identity::None(without) if !bind.is_loopback() && !without.public => Err(Refusal::new(&format!(
            "identity is none and server.bind is {bind}: everybody who can reach the port could see, add and delete photos; set \
             identity to local or cognito, server.bind to 127.0.0.1, or identity.none.public to true (in the file: [identity.none] \
             in place of identity = \"none\")"
        ))),
        Identity::Cognito(cognito) if cognito.domain.is_some() && settings.server.base_url.is_none() => {
            Err(Refusal::new(
                "identity.cognito.domain is set, and the pool's pages must lead back: set server.base_url to the address under which \
                 browsers reach the gallery",
            ))
        }
        Identity::Local(local) => mail(local),
        Identity::None(_) | Identity::Cognito(_) => Ok(()),
    }
}

/// Refuses to keep on this machine what must last, where `data` is a folder that is gone with the function. A migration touches no photo.
pub(super) fn refuse_what_is_lost(settings: &Settings, handler: Handler) -> Result<(), Refusal> {
    let folder = settings.data.display();
    if matches!(settings.catalog, Catalog::Sqlite) {
        return Err(Refusal::new(&format!(
            "catalog is sqlite, and under Lambda a file in {folder} is empty at first and soon gone: set catalog.mysql.host and the other \
             settings of MySQL, or data to a folder that lasts"
        )));
    }
    if matches!(settings.store, Store::Disk) && handler == Handler::Work {
        return Err(Refusal::new(&format!(
            "store is disk, and under Lambda a folder in {folder} is empty at first and soon gone: set store.s3.bucket, or data to a folder \
             that lasts"
        )));
    }
    Ok(())
}

/// What is wrong with how uploads are to tell workers.
fn events(settings: &Settings) -> Result<(), Refusal> {
    match &settings.events {
        Events::Aws(topic) if topic.topic_arn.is_none() && topic.queue_url.is_none() => Err(Refusal::new(
            "events is aws, and neither a topic to announce uploads to nor a queue to listen at is named: set events.aws.topic_arn, \
             events.aws.queue_url or both",
        )),
        Events::Aws(_) | Events::InProcess => Ok(()),
    }
}

/// What is wrong with where browsers are to get photos from.
fn links(settings: &Settings) -> Result<(), Refusal> {
    let Store::S3(S3 { cloudfront: Some(edge), .. }) = &settings.store else { return Ok(()) };
    let CloudFront { domain, key_pair_id, private_key } = edge;
    if domain.is_some() && key_pair_id.is_some() && private_key.is_some() {
        return Ok(());
    }
    Err(Refusal::new(
        "a setting of store.s3.cloudfront is set and another is not: set domain, key_pair_id and private_key, or none of them",
    ))
}

/// What is wrong with where the labeler is to read pictures.
fn labeler(settings: &Settings) -> Result<(), Refusal> {
    let Labeler::Rekognition(rekognition) = &settings.labeler else { return Ok(()) };
    if !rekognition.from_bucket {
        return Ok(());
    }
    let Store::S3(s3) = &settings.store else {
        return Err(Refusal::new(
            "labeler.rekognition.from_bucket is true, and photos are not in a bucket: set it to false, or keep photos in one by \
             store.s3.bucket",
        ));
    };
    let region = |own: &Option<String>| own.clone().or(settings.aws.region.clone());
    match (region(&rekognition.region), region(&s3.region)) {
        (Some(asked), Some(kept)) if asked != kept => Err(Refusal::new(&format!(
            "labeler.rekognition.from_bucket is true, and the bucket is in {kept} and not in {asked}, where Rekognition is asked: set \
             labeler.rekognition.region to {kept}, or from_bucket to false"
        ))),
        _ => Ok(()),
    }
}

/// What is wrong with how mail is to be sent.
fn mail(local: &Local) -> Result<(), Refusal> {
    let Some(host) = &local.smtp_host else { return Ok(()) };
    if local.mail_from.is_none() {
        return Err(Refusal::new(
            "identity.local.smtp_host is set: set identity.local.mail_from to the address that mails shall come from",
        ));
    }
    if local.smtp_user.is_some() != local.smtp_password.is_some() {
        return Err(Refusal::new("set both identity.local.smtp_user and identity.local.smtp_password, or neither"));
    }
    let here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if local.smtp_password.is_some() && local.smtp_tls == SmtpTls::None && !here {
        return Err(Refusal::new(
            "identity.local.smtp_tls is none, so the mail server's password could be read on the way: set it to starttls or required",
        ));
    }
    Ok(())
}
