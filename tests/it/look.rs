//! The pages as a browser gets them: rendered with sample data and read for what the content policy forbids, for what a
//! screen reader needs, and for their weight.

use std::{collections::HashSet, fs, io::Write, path::Path};

use askama::Template;
use photo_gallery::pages::{
    Frame, Next, SeenBy,
    account::{Account, Changed, SessionLine, delete::DeleteAccount},
    form::{Notice, Problems},
    gallery::{Day, Gallery, Tile},
    labels::{Counted, Labels},
    photo::{Fact, LabelBar, PhotoPage},
    problem::ProblemPage,
    reset::{Forgot, Reset},
    sign_in::{Login, challenge::ChallengePage, leaving::Logout},
    sign_up::{Asked, Confirm, SignUp},
    unfinished::{Line, UnfinishedPage},
    upload::{Outcome, UploadPage},
};
use photo_gallery::{
    accounts::Usage,
    album::Backlog,
    identity::{Challenge, Factor, Offers},
};

/// Text that breaks out of HTML wherever it is not escaped.
const HOSTILE: &str = "\"><script>alert('x')</script><b onclick=\"x\" & {{ 1 }}";

fn frame(q: &str) -> Frame {
    let seen_by = SeenBy::Person { name: HOSTILE.to_owned(), email: Some(format!("{HOSTILE}@example.org")) };
    Frame { q: q.to_owned(), photos: Some(1_234_567), token: "token".to_owned(), seen_by }
}

/// The `n`th sample photo; ids, links and hashes differ as much as real ones, so that compression is not flattered.
fn tile(n: u32) -> Tile {
    let noise =
        |salt: u32| format!("{:08x}", (n + 1).wrapping_mul(2_654_435_761).rotate_left(salt * 5) ^ (salt * 40_503));
    let noises = |from: u32, count: u32| (from..from + count).map(noise).collect::<String>();
    let id = format!("0197a2b4-{}-7d3e-8c1a-{}", &noise(1)[..4], &noises(2, 2)[..12]);
    Tile {
        thumb: format!("/media/renditions/{id}/thumb.jpg?until=1795161600&signature={}", noises(3, 8)),
        display: format!("/media/renditions/{id}/display.jpg?until=1795161600&signature={}", noises(11, 8)),
        id,
        width: [6000, 4000, 3000, 12_000, 1080][n as usize % 5],
        height: [4000, 6000, 3000, 2000, 1920][n as usize % 5],
        thumbhash: noises(19, 4),
        colour: format!("#{}", &noise(23)[..6]),
        alt: format!("Dog, Grass, Sky {n}"),
        state: ["labelled", "labelling", "failed"][n as usize % 3],
    }
}

fn gallery(days: Vec<Day>) -> Gallery {
    let next = (!days.is_empty()).then(|| "/photos?before=0123456789abcdef0123456789abcdef".to_owned());
    Gallery {
        frame: frame(""),
        label: None,
        days,
        next,
        further: false,
        unfinished: Backlog::default(),
        max_bytes: 50_000_000,
    }
}

/// Sixty photos of six days.
fn sixty() -> Gallery {
    let day = |d: u32| Day {
        heading: format!("Friday, {d} November 2026"),
        date: format!("2026-11-{d:02}"),
        tiles: (d * 10..d * 10 + 10).map(tile).collect(),
    };
    gallery((10..16).rev().map(day).collect())
}

fn photo(state: &'static str) -> PhotoPage {
    let sample = tile(7);
    let label = |name: &str, count: usize| LabelBar {
        name: name.to_owned(),
        percent: Some(91),
        count,
        parents: "Animal, Pet".to_owned(),
        boxes: vec![[1.5, 2.0, 30.0, 40.0]; count],
        url: format!("/photos?label={name}"),
    };
    PhotoPage {
        frame: frame(""),
        id: sample.id,
        file_name: "IMG_0001.jpg".to_owned(),
        display: sample.display,
        width: 6000,
        height: 4000,
        thumbhash: sample.thumbhash,
        colour: sample.colour,
        alt: sample.alt,
        state,
        problem: (state == "failed").then(|| "The file is cut short.".to_owned()),
        can_be_tried_again: state == "failed",
        delay: None,
        date: "Friday, 20 November 2026, 14:03".to_owned(),
        taken: true,
        uploaded: "2026-11-20T12:06:00Z".to_owned(),
        description: "At the lake".to_owned(),
        description_problem: None,
        labels: if state == "labelled" { vec![label("Dog", 2), label("Grass", 0)] } else { vec![] },
        facts: vec![Fact { name: "Camera", value: "Canon EOS 5D".to_owned(), at: String::new() }],
        newer: Some("/photos/newer".to_owned()),
        older: None,
    }
}

fn unfinished(failed: u32, waiting: u32) -> UnfinishedPage {
    let line = |n: u32, state: &'static str| {
        let Tile { id, thumb, width, height, thumbhash, colour, .. } = tile(n);
        Line {
            id,
            file_name: HOSTILE.to_owned(),
            thumb,
            width: if n.is_multiple_of(3) { 0 } else { width },
            height,
            thumbhash,
            colour,
            state,
            told: HOSTILE.to_owned(),
            can_be_tried_again: state == "failed",
            delay: if n.is_multiple_of(2) { HOSTILE.to_owned() } else { String::new() },
            since: "2026-11-20T14:03:00Z".to_owned(),
            since_told: "20 November 2026, 14:03 UTC".to_owned(),
        }
    };
    UnfinishedPage {
        frame: frame(""),
        unfinished: Backlog { waiting: waiting.into(), failed: failed.into() },
        failed: (0..failed).map(|n| line(n, "failed")).collect(),
        waiting: (failed..failed + waiting).map(|n| line(n, "labelling")).collect(),
        next: (waiting > 0).then(|| "/unfinished?waiting=0123456789abcdef0123456789abcdef".to_owned()),
        here: "/unfinished".to_owned(),
    }
}

fn upload(outcomes: Vec<Outcome>) -> UploadPage {
    UploadPage { frame: frame(""), outcomes, description: String::new(), max_bytes: 50_000_000 }
}

fn outcome(problem: Option<&str>) -> Outcome {
    let kept = problem.is_none();
    Outcome {
        file: "a.jpg".to_owned(),
        photo: kept.then(|| "/photos/a".to_owned()),
        already_here: kept,
        problem: problem.map(str::to_owned),
    }
}

fn problem(status: u16) -> ProblemPage {
    ProblemPage {
        frame: Frame::default(),
        status,
        title: "Not available".to_owned(),
        detail: "The catalog does not answer.".to_owned(),
        request_id: (status >= 500).then(|| "request-7".to_owned()),
        on: ("/".to_owned(), "Go to the gallery"),
    }
}

fn labels(count: u64) -> Labels {
    let counted =
        |n| Counted { name: format!("Label {n}"), photos: 5000 - n, url: format!("/photos?label=Label%20{n}") };
    Labels { frame: frame(""), labels: (0..count).map(counted).collect() }
}

const OFFERS: Offers = Offers {
    sign_up: true,
    codes: true,
    phone: false,
    hosted: false,
    password: true,
    confirm_password: true,
    password_chars: 8,
};

fn wrong(name: &'static str) -> Problems {
    Problems { general: Some(HOSTILE.to_owned()), fields: vec![(name, HOSTILE.to_owned())], ..Problems::default() }
}

fn challenge(challenge: Challenge, problems: Problems) -> String {
    let (email, nickname) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    html(&ChallengePage { frame: Frame::default(), offers: OFFERS, email, challenge, nickname, problems })
}

/// The pages of accounts, by name.
#[expect(clippy::too_many_lines, reason = "a table")]
fn account_pages() -> Vec<(&'static str, String)> {
    let (next, typed) = (Next::new("/photos?q=sea"), || HOSTILE.to_owned());
    let login = |offers, problems| Login {
        frame: Frame::default(),
        offers,
        done: Some("You are signed out."),
        email: typed(),
        next: next.clone(),
        problems,
    };
    let sign_up = |first, problems| SignUp {
        frame: Frame::default(),
        offers: OFFERS,
        first,
        email: typed(),
        nickname: typed(),
        next: next.clone(),
        problems,
    };
    let forgot = |codes| Forgot {
        frame: Frame::default(),
        offers: Offers { codes, ..OFFERS },
        email: typed(),
        next: next.clone(),
        problems: wrong("email"),
    };
    let session = |this_device| SessionLine {
        handle: "0123456789abcdef".to_owned(),
        browser: HOSTILE.to_owned(),
        address: "203.0.113.9".to_owned(),
        created_at: "2026-11-20T14:03:00Z".to_owned(),
        seen_at: "2026-11-20T14:03:00Z".to_owned(),
        this_device,
        since: "20 November 2026, 12:06 UTC".to_owned(),
        last_used: "today".to_owned(),
    };
    let account = |password, problems| Account {
        frame: frame(""),
        offers: Offers { password, ..OFFERS },
        done: Some(Changed::Nickname),
        nickname: typed(),
        email: Some(typed()),
        usage: Usage { photos: 1, bytes: 2_000_000 },
        sessions: vec![session(true), session(false)],
        problems,
    };
    let delete = |password, field| DeleteAccount {
        frame: frame(""),
        offers: Offers { password, ..OFFERS },
        email: Some(typed()),
        usage: Usage { photos: 12, bytes: 2_000_000 },
        problems: wrong(field),
    };
    let secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP".to_owned();
    let uri = format!("otpauth://totp/gallery:ann@example.org?secret={secret}&issuer=gallery");
    let next_page = next.clone();
    vec![
        ("sign in", html(&login(OFFERS, Problems::default()))),
        ("sign in refused", html(&login(Offers { phone: true, ..OFFERS }, wrong("email")))),
        ("sign in elsewhere", html(&login(Offers { hosted: true, ..OFFERS }, Problems::default()))),
        ("sign up", html(&sign_up(false, Problems::default()))),
        ("sign up first", html(&sign_up(true, wrong("password")))),
        (
            "confirm",
            html(&Confirm {
                frame: Frame::default(),
                offers: OFFERS,
                sent: Some(typed()),
                waits: true,
                resent: true,
                email: typed(),
                password: Asked::Perhaps,
                next: next_page.clone(),
                problems: wrong("code"),
            }),
        ),
        (
            "confirm in another browser",
            html(&Confirm {
                frame: Frame::default(),
                offers: OFFERS,
                sent: None,
                waits: false,
                resent: false,
                email: String::new(),
                password: Asked::Yes,
                next: next_page.clone(),
                problems: wrong("password"),
            }),
        ),
        ("forgot", html(&forgot(true))),
        ("forgot without mail", html(&forgot(false))),
        (
            "reset",
            html(&Reset {
                frame: Frame::default(),
                offers: OFFERS,
                sent: None,
                email: String::new(),
                next: next_page,
                problems: wrong("code"),
            }),
        ),
        ("new password asked", challenge(Challenge::NewPassword { nickname: true }, wrong("nickname"))),
        (
            "code asked",
            challenge(Challenge::Code { by: Factor::Sms, to: Some("+*******12".to_owned()) }, wrong("code")),
        ),
        ("choice asked", challenge(Challenge::Choose(vec![Factor::Authenticator, Factor::Email]), wrong("factor"))),
        ("set-up asked", challenge(Challenge::SetUp { secret, uri }, Problems::default())),
        ("something unknown asked", challenge(Challenge::Unknown(typed()), Problems::default())),
        ("signing out", html(&Logout { frame: frame("") })),
        (
            "notice",
            html(&Notice {
                frame: Frame::default(),
                title: typed(),
                text: typed(),
                on: ("/login".to_owned(), "Sign in"),
            }),
        ),
        ("account", html(&account(true, Problems::default()))),
        ("account refused", html(&account(true, wrong("new")))),
        ("account without password", html(&account(false, wrong("nickname")))),
        ("end of an account", html(&delete(true, "password"))),
        ("end of an account without password", html(&delete(false, "word"))),
    ]
}

fn html(page: &impl Template) -> String {
    page.render().expect("rendering to a string cannot fail")
}

/// Every page in every state, by name.
fn pages() -> Vec<(&'static str, String)> {
    let searched = Gallery { label: Some("Dog".to_owned()), frame: frame("lake"), further: true, ..sixty() };
    let unfound = Gallery { frame: frame("flamingo"), ..gallery(vec![]) };
    let beyond = Gallery { further: true, ..gallery(vec![]) };
    let mut unknown = sixty();
    for tile in &mut unknown.days[0].tiles {
        (tile.width, tile.height, tile.thumbhash, tile.state) = (0, 0, String::new(), "stored");
    }
    let preparing = PhotoPage { display: String::new(), width: 0, height: 0, taken: false, ..photo("stored") };
    let mut hostile = Gallery { label: Some(HOSTILE.to_owned()), frame: frame(HOSTILE), ..sixty() };
    HOSTILE.clone_into(&mut hostile.days[0].tiles[0].alt);
    let mut hostile_photo = PhotoPage {
        file_name: HOSTILE.to_owned(),
        description: format!("</textarea>{HOSTILE}"),
        description_problem: Some(HOSTILE.to_owned()),
        ..photo("labelled")
    };
    HOSTILE.clone_into(&mut hostile_photo.labels[0].name);
    let hostile_file = Outcome { file: HOSTILE.to_owned(), ..outcome(Some(HOSTILE)) };
    let mut pages = account_pages();
    pages.extend([
        ("timeline", html(&sixty())),
        ("empty gallery", html(&gallery(vec![]))),
        ("filtered timeline", html(&searched)),
        ("search without result", html(&unfound)),
        ("end of the timeline", html(&beyond)),
        ("photos not yet developed", html(&unknown)),
        ("hostile timeline", html(&hostile)),
        ("photo", html(&photo("labelled"))),
        ("photo without labels yet", html(&photo("labelling"))),
        ("failed photo", html(&photo("failed"))),
        ("photo not yet developed", html(&preparing)),
        ("hostile photo", html(&hostile_photo)),
        ("put off photo", html(&PhotoPage { delay: Some(HOSTILE.to_owned()), ..photo("labelling") })),
        ("unfinished", html(&unfinished(20, 40))),
        ("only failed", html(&unfinished(1, 0))),
        ("nothing unfinished", html(&unfinished(0, 0))),
        ("timeline with unfinished", html(&Gallery { unfinished: Backlog { waiting: 3, failed: 1 }, ..sixty() })),
        ("labels", html(&labels(45))),
        ("no labels", html(&labels(0))),
        ("upload", html(&upload(vec![]))),
        ("upload outcomes", html(&upload(vec![outcome(None), outcome(Some("This is a PDF.")), hostile_file]))),
        ("not found", html(&problem(404))),
        ("unavailable", html(&problem(503))),
    ]);
    pages
}

/// The start tags of a page: name and attributes, whose values are kept with their quotes.
fn tags(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut tags = vec![];
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        if name.is_empty() {
            continue;
        }
        rest = &rest[name.len()..];
        let mut attributes = vec![];
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let end = rest.find(|c: char| c.is_whitespace() || "=>".contains(c)).expect("a tag ends");
            assert!(end > 0, "an attribute has a name: {}", &rest[..rest.len().min(60)]);
            let attribute = rest[..end].to_owned();
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let end = after.find('"').expect("a value ends");
                after[..end].clone_into(&mut value);
                rest = &after[end + 1..];
            } else {
                assert!(!rest.starts_with('='), "values are quoted: {name} {attribute}");
            }
            attributes.push((attribute, value));
        }
        tags.push((name, attributes));
    }
    tags
}

fn value<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// Bytes after brotli: static files are compressed once and well, pages each time and quickly.
fn compressed(bytes: &[u8], quality: u32) -> usize {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, quality, 22);
    writer.write_all(bytes).expect("a vector takes all bytes");
    writer.into_inner().len()
}

fn static_file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("static").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The name under `static/` of a hashed URL.
fn plain_name(url: &str) -> Option<String> {
    let parts: Vec<&str> = url.strip_prefix("/static/")?.split('.').collect();
    let [stem, hash, extension] = parts[..] else { return None };
    (hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then(|| format!("{stem}.{extension}"))
}

#[test]
fn no_page_holds_what_the_content_policy_forbids() {
    for (name, page) in pages() {
        for (tag, attributes) in tags(&page) {
            assert_ne!(tag, "style", "{name}: a style element");
            for (attribute, _) in &attributes {
                assert!(attribute != "style" && !attribute.starts_with("on"), "{name}: {attribute} on {tag}");
            }
            if tag == "script" {
                let source = value(&attributes, "src").unwrap_or_default();
                assert!(plain_name(source).is_some(), "{name}: a script from {source:?}");
                assert_eq!(value(&attributes, "type"), Some("module"), "{name}: a script that is no module");
            }
        }
    }
}

#[test]
fn what_a_visitor_wrote_stays_text() {
    for (name, page) in pages() {
        assert!(!page.contains("<script>"), "{name}: a script of a visitor");
        assert!(!page.contains("</textarea>\">"), "{name}: a description that ends its field");
    }
    let hostile = pages().into_iter().filter(|(name, _)| name.starts_with("hostile"));
    assert_eq!(hostile.filter(|(_, page)| page.contains("&#60;script&#62;")).count(), 2);
}

#[test]
fn every_picture_has_its_words_and_its_size() {
    let mut pictures = 0;
    for (name, page) in pages() {
        for (_, attributes) in tags(&page).into_iter().filter(|(tag, _)| tag == "img") {
            pictures += 1;
            assert!(value(&attributes, "alt").is_some_and(|alt| !alt.is_empty()), "{name}: an image without words");
            for side in ["width", "height"] {
                let pixels: u32 = value(&attributes, side).unwrap_or_default().parse().unwrap_or(0);
                assert!(pixels > 0, "{name}: an image without {side}");
            }
        }
    }
    assert!(pictures > 200, "only {pictures} images were looked at");
}

#[test]
fn every_page_has_one_heading_landmarks_and_names_for_its_fields() {
    for (name, page) in pages() {
        let tags = tags(&page);
        let count = |wanted: &str| tags.iter().filter(|(tag, _)| tag == wanted).count();
        assert_eq!(count("h1"), 1, "{name}: h1");
        assert_eq!((count("main"), count("header"), count("title")), (1, 1, 1), "{name}: landmarks");
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}: its beginning");

        let mut ids = HashSet::new();
        for (_, attributes) in &tags {
            if let Some(id) = value(attributes, "id") {
                assert!(ids.insert(id), "{name}: two elements with the id {id}");
            }
        }
        for (tag, attributes) in &tags {
            for reference in ["for", "aria-labelledby", "aria-describedby"] {
                for id in value(attributes, reference).unwrap_or_default().split_whitespace() {
                    assert!(ids.contains(id), "{name}: {reference}={id} on {tag} points nowhere");
                }
            }
            if tag == "a" && value(attributes, "href").is_some_and(|to| to == "#main" || to == "#add") {
                assert!(ids.contains(&value(attributes, "href").unwrap_or_default()[1..]), "{name}: a dead jump");
            }
        }
    }
}

#[test]
fn every_element_that_is_opened_is_closed() {
    const VOID: [&str; 7] = ["meta", "link", "input", "img", "br", "hr", "wbr"];
    for (name, page) in pages() {
        let mut open: Vec<String> = vec![];
        let mut rest = page.as_str();
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            let end = rest.find('>').expect("a tag ends");
            let (tag, after) = rest.split_at(end);
            rest = &after[1..];
            let word: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
            if tag.starts_with('/') {
                assert_eq!(open.pop().as_deref(), Some(word.as_str()), "{name}: </{word}> closes another element");
            } else if !tag.starts_with('!') && !tag.ends_with('/') && !VOID.contains(&word.as_str()) {
                open.push(word);
            }
        }
        assert!(open.is_empty(), "{name}: left open: {open:?}");
    }
}

#[test]
fn every_static_file_named_by_a_page_exists_and_none_is_idle() {
    let mut named = HashSet::new();
    for (name, page) in pages() {
        for (_, attributes) in tags(&page) {
            for url in ["src", "href"].into_iter().filter_map(|a| value(&attributes, a)) {
                if url.starts_with("/static/") {
                    named.insert(plain_name(url).unwrap_or_else(|| panic!("{name}: {url} has no hash, so no file")));
                }
            }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
    let files: HashSet<String> = fs::read_dir(folder)
        .expect("static/ is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(named, files);
}

#[test]
fn the_gallery_works_without_scripts() {
    let page = html(&sixty());
    assert!(page.contains("method=\"post\" action=\"/photos\" enctype=\"multipart/form-data\""));
    assert!(page.contains("name=\"photo\" multiple required accept=\"image/jpeg"));
    assert!(page.contains("rel=\"next\" href=\"/photos?before=0123456789abcdef0123456789abcdef\""));
    let photo = photo("labelled");
    let page = html(&photo);
    for action in ["description", "delete"] {
        assert!(page.contains(&format!("method=\"post\" action=\"/photos/{}/{action}\"", photo.id)), "{action}");
    }
    assert!(page.contains("rel=\"prev\" href=\"/photos/newer\"") && !page.contains("rel=\"next\""));
}

#[test]
fn clearing_one_filter_keeps_the_other() {
    let page = html(&Gallery { label: Some("Sea & sand".to_owned()), frame: frame("50%"), ..sixty() });
    assert!(page.contains("href=\"/photos?q=50%25\""), "the label can be cleared");
    assert!(page.contains("href=\"/photos?label=Sea%20%26%20sand\""), "the search can be cleared");
}

#[test]
fn every_shape_a_tile_can_have_stands_in_the_style_sheet() {
    let css = String::from_utf8(static_file("gallery.css")).expect("CSS is text");
    let sizes =
        [(1, 32_768), (32_768, 1), (0, 0), (0, 9), (9, 0), (3, 2), (2, 3), (4, 3), (16, 9), (u32::MAX, u32::MAX)];
    let mut seen = vec![];
    for (width, height) in sizes {
        let mut page = sixty();
        page.days.truncate(1);
        page.days[0].tiles = vec![Tile { width, height, ..tile(1) }];
        let page = html(&page);
        let at = page.find("class=\"tile r").expect("a tile has a shape") + 13;
        let shape: String = page[at..].chars().take_while(char::is_ascii_digit).collect();
        assert!(css.contains(&format!(".r{shape}{{--r:{shape}}}")), "{width} x {height}: r{shape}");
        seen.push(shape);
    }
    assert_eq!(seen, ["10", "60", "24", "24", "24", "36", "16", "32", "43", "24"]);
}

#[test]
fn words_can_be_read_in_both_themes() {
    let css = String::from_utf8(static_file("gallery.css")).expect("CSS is text");
    let (light, dark) = css.split_once("@media (prefers-color-scheme: dark)").expect("there are two themes");
    let pairs = [
        ("ink", "paper", 7.0),
        ("ink", "sheet", 7.0),
        ("ink", "well", 7.0),
        ("ink", "lamp-wash", 7.0),
        ("soft", "paper", 4.5),
        ("soft", "sheet", 4.5),
        ("soft", "well", 4.5),
        ("lamp", "paper", 4.5),
        ("lamp", "sheet", 4.5),
        ("good", "paper", 4.5),
        ("good", "sheet", 4.5),
        ("on-ink", "ink", 7.0),
        ("on-ink", "lamp", 4.5),
    ];
    for (theme, tokens) in [("light", light), ("dark", dark)] {
        for (text, ground, least) in pairs {
            let (a, b) = (luminance(tokens, text), luminance(tokens, ground));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= least, "{theme}: --{text} on --{ground} has a contrast of {contrast:.2}");
        }
    }
}

/// Relative luminance (WCAG 2) of a colour token.
fn luminance(tokens: &str, name: &str) -> f64 {
    let token = format!("--{name}: #");
    let at = tokens.find(&token).unwrap_or_else(|| panic!("no token {name}")) + token.len();
    let mut hex: String = tokens[at..].chars().take_while(char::is_ascii_hexdigit).collect();
    if hex.len() == 3 {
        hex = hex.chars().flat_map(|c| [c, c]).collect();
    }
    let channel = |n: usize| {
        let value = f64::from(u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("two digits")) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}

#[test]
fn the_first_page_of_sixty_photos_is_light() {
    let page = html(&sixty());
    let css = compressed(&static_file("gallery.css"), 11);
    let scripts: usize = tags(&page)
        .iter()
        .filter(|(tag, _)| tag == "script")
        .filter_map(|(_, attributes)| plain_name(value(attributes, "src")?))
        .map(|name| compressed(&static_file(&name), 11))
        .sum();
    let whole = compressed(page.as_bytes(), 4) + css + scripts;
    assert!(css < 6_000, "{css} bytes of CSS");
    assert!(scripts > 0 && scripts < 9_216, "{scripts} bytes of scripts");
    assert!(whole < 40_000, "{whole} bytes in all");
}
