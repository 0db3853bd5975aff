//! The bucket: where it lies, each right that the gallery needs there, links, and that nobody else gets in.

use anyhow::{Context as _, anyhow, bail, ensure};
use futures_util::TryStreamExt as _;

use super::{Process, credentials::Standing, web::Web};
use crate::{
    app::{edge, open_bucket},
    doctor::{Chart, Seen, alone},
    photo::{MediaType, ObjectPath},
    settings::{CloudFront, S3 as Set, Settings, Store as Chosen},
    store::{Content, Disposition, S3, Store as _},
};

/// What is written, and removed at once.
const TEXT: &[u8] = b"photo-gallery doctor was here; this object can be deleted";
/// Where originals lie.
const ORIGINALS: &str = "photos";
/// Where originals and renditions lie.
const FOLDERS: [&str; 2] = [ORIGINALS, "renditions"];

pub(super) async fn examine(settings: &Settings, standing: &Standing, process: Process, chart: &mut Chart) {
    let Chosen::S3(set) = &settings.store else { return };
    let region = match standing {
        Standing::Usable { region, .. } => set.region.as_ref().unwrap_or(region),
        Standing::Unusable(why) => return chart.skip("bucket", why),
    };
    let web = Web::new(&settings.aws);
    let Some(place) = chart.look("bucket", whereabouts(settings, set, region, &web)).await else {
        return chart.skip("rights in the bucket", "the bucket is not there as the settings have it");
    };
    let lists = chart.look("s3:ListBucket", listed(&place.store)).await.is_some();
    let mut reads = true;
    for folder in FOLDERS {
        let path = format!("{folder}/doctor-{}", place.number);
        match path.parse() {
            // A worker writes no original, so that its rights to read and remove are tried without one.
            Ok(path) if process == Process::Worker && folder == ORIGINALS => {
                removed(&place.store, folder, &path, chart).await;
            }
            Ok(path) => reads &= rights(&place, &web, folder, &path, chart).await,
            Err(malformed) => chart.note("bucket", Err(anyhow::Error::new(malformed))),
        }
    }
    let absent = "absent object";
    match (lists, reads) {
        (true, true) => drop(chart.look(absent, not_found(&place)).await),
        (false, _) => chart.skip(absent, "s3:ListBucket is missing"),
        (true, false) => chart.skip(absent, "s3:GetObject is missing"),
    }
}

/// Where the bucket is.
struct Place<'a> {
    settings: &'a Settings,
    set: &'a Set,
    store: S3,
    /// What the names of the objects end with that are written here.
    number: String,
    /// Where objects are asked for, with a slash at the end.
    url: String,
}

/// Asks for the bucket without credentials: only its owner may see what is in it, and everybody learns where it lies.
async fn whereabouts<'a>(
    settings: &'a Settings,
    set: &'a Set,
    asked: &str,
    web: &Web,
) -> anyhow::Result<Seen<Place<'a>>> {
    let bucket = &set.bucket;
    let (store, _) = open_bucket(settings, set).await?;
    let number = format!("{:016x}", getrandom::u64().context("the system gives no random numbers")?);
    let any: ObjectPath = format!("renditions/absent-{number}").parse()?;
    let link = store.link(&any, MediaType::Jpeg, &Disposition::Inline).await?;
    let url = link
        .split('?')
        .next()
        .and_then(|url| url.strip_suffix(any.as_str()))
        .context("reading a link into the bucket")?;
    let answer = web.ask("HEAD", url, None).await?;
    if let Some(region) = answer.bucket_region.as_ref().filter(|region| **region != asked) {
        bail!(
            "the bucket {bucket} lies in {region}, and is asked for in {asked}: set store.s3.region (or aws.region) to {region}"
        );
    }
    match answer.status {
        404 => bail!("there is no bucket {bucket}: create it, or correct store.s3.bucket"),
        301 | 307 => {
            bail!("the bucket {bucket} lies in another region: set store.s3.region to the one in which it was created")
        }
        200 => bail!("everybody may list what is in the bucket {bucket}: block public access to it"),
        _ => {}
    }
    let region = answer.bucket_region.map(|region| format!(", in {region}")).unwrap_or_default();
    let url = url.to_owned();
    Ok(Seen::ok(format!("{bucket} is there{region}, and strangers may not list it")).with(Place {
        settings,
        set,
        store,
        number,
        url,
    }))
}

async fn listed(store: &S3) -> anyhow::Result<Seen> {
    store.lists().await.map_err(|cause| alone(&cause))?;
    Ok(Seen::ok("what lies under photos/ and renditions/ can be listed"))
}

async fn not_found(place: &Place<'_>) -> anyhow::Result<Seen> {
    let path: ObjectPath = format!("photos/absent-{}", place.number).parse()?;
    let there = place.store.size(&path).await.map_err(|cause| alone(&cause))?;
    ensure!(there.is_none(), "an object that nobody wrote is there");
    Ok(Seen::ok("an object that is not there is told from one that is denied"))
}

/// Tries each right under one folder with an object of its own, which is removed whatever happens. Whether it may be read there, as far as
/// that was seen.
async fn rights(place: &Place<'_>, web: &Web, folder: &str, path: &ObjectPath, chart: &mut Chart) -> bool {
    let Place { store, set, .. } = place;
    let put = chart.look(format!("s3:PutObject {folder}/"), async {
        store.put(path, MediaType::Jpeg, Content::Bytes(TEXT)).await.map_err(|cause| alone(&cause))?;
        Ok(Seen::ok("an object was written"))
    });
    if put.await.is_none() {
        chart.skip(format!("the rest of {folder}/"), "nothing can be written there");
        // Whatever the answer was: it may be of another try than the one that wrote.
        let gone = tokio::time::timeout(super::LAST_TRY, store.delete(path)).await;
        if !gone.is_ok_and(|gone| gone.is_ok()) {
            chart.note(
                "leftover",
                Ok(Seen::warn(format!("if {path} was written after all, it could not be removed: remove it"))),
            );
        }
        return true;
    }
    let reads = chart.look(format!("s3:GetObject {folder}/"), whole(store, path)).await.is_some();
    if reads {
        chart.look(format!("signed link {folder}/"), linked(store, web, path)).await;
    } else {
        chart.skip(format!("signed link {folder}/"), "the object may not be read");
    }
    if let Some(front) = set.cloudfront.as_ref().filter(|_| folder == ORIGINALS) {
        chart.look("CloudFront link", through(place, front, web, path)).await;
    }
    let url = format!("{}{path}", place.url);
    chart.look(format!("unsigned link {folder}/"), unsigned(web, &url)).await;
    if reads && url.starts_with("https:") && folder == FOLDERS[1] {
        chart.look("plain HTTP", unencrypted(store, web, path)).await;
    }
    removed(store, folder, path, chart).await;
    reads
}

/// Removes an object, or what is not there.
async fn removed(store: &S3, folder: &str, path: &ObjectPath, chart: &mut Chart) {
    let deleting = async {
        store
            .delete(path)
            .await
            .map_err(|cause| anyhow!("{cause}; {path} stays in the bucket if it is there, and can be removed then"))?;
        Ok(Seen::ok("objects may be removed"))
    };
    chart.look(format!("s3:DeleteObject {folder}/"), deleting).await;
}

/// Follows a signed link that leads through the distribution, as a browser does.
async fn through(place: &Place<'_>, front: &CloudFront, web: &Web, path: &ObjectPath) -> anyhow::Result<Seen> {
    let store = open_bucket(place.settings, place.set).await?.0.behind(edge(front)?);
    let link = store.link(path, MediaType::Jpeg, &Disposition::Inline).await?;
    let answer = web.ask("GET", &link, None).await?;
    ensure!(
        answer.status == 200 && answer.body == TEXT,
        "a signed link through CloudFront is answered with status {}: see that store.s3.cloudfront.key_pair_id is the id of the public key \
         that belongs to private_key, that the distribution trusts a key group with it, and that the bucket's policy lets the distribution \
         read (PhotosDistribution of the stack data)",
        answer.status
    );
    Ok(Seen::ok("browsers can follow it through the distribution"))
}

async fn whole(store: &S3, path: &ObjectPath) -> anyhow::Result<Seen> {
    let object =
        store.get(path).await.map_err(|cause| alone(&cause))?.context("an object just written is not there")?;
    let read = object.content.try_fold(Vec::new(), async |mut all, piece| {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    ensure!(read.await.context("reading an object just written")? == TEXT, "an object just written reads differently");
    Ok(Seen::ok("it reads as it was written"))
}

/// Follows a signed link as a browser does, whole and in part.
async fn linked(store: &S3, web: &Web, path: &ObjectPath) -> anyhow::Result<Seen> {
    let link = store.link(path, MediaType::Jpeg, &Disposition::Inline).await?;
    let answer = web.ask("GET", &link, None).await?;
    ensure!(
        answer.status == 200 && answer.body == TEXT,
        "a signed link is answered with status {}: browsers get no pictures; check the clock, the region, and the bucket's policy",
        answer.status
    );
    let part = web.ask("GET", &link, Some("bytes=0-12")).await?;
    ensure!(
        part.status == 206 && part.body == TEXT[..13],
        "a part of an object is answered with status {}: something on the way to the bucket takes the Range away",
        part.status
    );
    Ok(Seen::ok("browsers can follow it, and ask for a part"))
}

async fn unsigned(web: &Web, url: &str) -> anyhow::Result<Seen> {
    match web.ask("GET", url, None).await?.status {
        200..300 => bail!("everybody may read photos without a signed link: block public access to the bucket"),
        status => Ok(Seen::ok(format!("without a signature nothing is given out (status {status})"))),
    }
}

async fn unencrypted(store: &S3, web: &Web, path: &ObjectPath) -> anyhow::Result<Seen> {
    let link = store.link(path, MediaType::Jpeg, &Disposition::Inline).await?.replacen("https:", "http:", 1);
    Ok(match web.ask("GET", &link, None).await {
        Ok(answer) if answer.status == 200 => Seen::warn(
            "the bucket also answers unencrypted: deny everything in its policy where aws:SecureTransport is false",
        ),
        Ok(_) | Err(_) => Seen::ok("the bucket gives nothing out unencrypted"),
    })
}
