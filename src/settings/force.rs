//! Which value is in force: the strongest place's, of the back ends that are chosen.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{
    CHOICES, Origin, Refusal, Settings, conflict, course,
    kind::MASK,
    layer::{Given, Layer},
    section::{Presence, Setting},
};

/// The settings in force, and where each came from. `Display` prints them as TOML, secrets masked.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Sentences that the operator should read at start: what was given and has no effect, what is risky.
    pub notices: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// One setting in force, as it is listed.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The value, or the mask of a secret; `None` when it is unset.
    pub(super) value: Option<Value>,
    pub(super) origin: Origin,
    /// Weaker places that said something else.
    pub(super) over: Vec<Origin>,
    /// Whether the line is only a remark in a settings file: secrets, and choices that other lines make.
    pub(super) remark: bool,
}

impl Loaded {
    /// Where the value of a setting came from; `None` for unknown settings and those of back ends that are not chosen.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.lines.iter().find(|line| line.name == name).map(|line| &line.origin)
    }
}

/// The back ends in force: for each choice its word and who made it.
struct Chosen(BTreeMap<&'static str, (String, Origin)>);

impl Chosen {
    /// The strongest layer that says something chooses; a layer that says two things is refused.
    fn new(layers: &[Layer]) -> Result<Self, Refusal> {
        let mut chosen = BTreeMap::new();
        for choice in CHOICES {
            let strongest =
                layers.iter().rev().map(|layer| Self::of(choice, layer)).find(|said| !matches!(said, Ok(None)));
            let default = choice.default().and_then(|word| Some((word.as_str()?.to_owned(), Origin::Default)));
            if let Some(said) = strongest.transpose()?.flatten().or(default) {
                chosen.insert(choice.name, said);
            }
        }
        Ok(Self(chosen))
    }

    /// What one layer says of `choice`.
    fn of(choice: &Setting, layer: &Layer) -> Result<Option<(String, Origin)>, Refusal> {
        let mut said: Option<(String, Origin)> = None;
        for given in layer {
            let word =
                if given.setting.name == choice.name { given.value.as_str() } else { back_end(given.setting, choice) };
            match (word, &said) {
                (Some(word), None) => said = Some((word.to_owned(), given.origin.clone())),
                (Some(word), Some((earlier, origin))) if word != earlier => {
                    let (name, by) = (choice.name, &given.origin);
                    return Err(Refusal::new(&format!(
                        "{name} cannot be both {earlier} ({origin}) and {word} ({}, {by}): choose one",
                        given.setting.name
                    )));
                }
                _ => {}
            }
        }
        Ok(said)
    }

    /// The choice that keeps `setting` out of force: its name, its word and who made it.
    fn against(&self, setting: &Setting) -> Option<(&'static str, &str, &Origin)> {
        CHOICES.iter().find_map(|choice| {
            let back_end = back_end(setting, choice)?;
            let (word, origin) = self.0.get(choice.name)?;
            (word != back_end).then_some((choice.name, word.as_str(), origin))
        })
    }
}

/// The back end of `choice` to which `setting` belongs: `s3` for `store.s3.bucket`.
fn back_end(setting: &Setting, choice: &Setting) -> Option<&'static str> {
    let (word, _) = setting.name.strip_prefix(choice.name)?.strip_prefix('.')?.split_once('.')?;
    Some(word)
}

/// Makes one whole of `layers`, weakest first.
pub(super) fn settle(layers: Vec<Layer>, mut notices: Vec<String>) -> Result<Loaded, Refusal> {
    let mut chosen = Chosen::new(&layers)?;
    let mut given: BTreeMap<&'static str, (Given, Vec<Origin>)> = BTreeMap::new();
    let mut course = Vec::new();
    for stronger in layers.into_iter().flatten() {
        let name = stronger.setting.name;
        if let Some((choice, word, by)) = chosen.against(stronger.setting) {
            notices.push(format!("{name} ({}) has no effect: {choice} is {word} ({by})", stronger.origin));
            continue;
        }
        if let Origin::Course(variable) = stronger.origin {
            course.push(variable);
        }
        let mut over = Vec::new();
        if let Some((weaker, its_over)) = given.remove(name) {
            over = its_over;
            if weaker.value != stronger.value {
                over.push(weaker.origin);
            }
        }
        given.insert(name, (stronger, over));
    }
    imply(&course, &mut chosen, &mut given);

    let mut tree = Table::new();
    let mut lines = Vec::new();
    for setting in Settings::all().filter(|setting| chosen.against(setting).is_none()) {
        let line = match (chosen.0.get(setting.name), given.remove(setting.name)) {
            (Some((word, origin)), given) => {
                let word = Value::from(word.as_str());
                let over = given.map_or_else(Vec::new, |(given, mut over)| {
                    over.extend((given.value != word).then_some(given.origin));
                    over
                });
                let path = format!("{}.{}.", setting.name, word.as_str().unwrap_or_default());
                let detailed = Settings::all().any(|other| other.name.starts_with(&path));
                if !detailed {
                    insert(&mut tree, setting.name, word.clone());
                }
                Line { name: setting.name, value: Some(word), origin: origin.clone(), over, remark: detailed }
            }
            (None, Some((Given { value, origin, .. }, over))) => {
                let secret = setting.kind.is_secret();
                let shown = if secret { MASK.into() } else { value.clone() };
                insert(&mut tree, setting.name, value);
                Line { name: setting.name, value: Some(shown), origin, over, remark: secret }
            }
            (None, None) => {
                if matches!(setting.presence, Presence::Required) {
                    return Err(missing(setting, &chosen));
                }
                let value = setting.default();
                if let Some(value) = &value {
                    insert(&mut tree, setting.name, value.clone());
                }
                Line { name: setting.name, remark: value.is_none(), value, origin: Origin::Default, over: Vec::new() }
            }
        };
        lines.push(line);
    }
    let settings: Settings =
        Value::Table(tree).try_into().map_err(|error: toml::de::Error| Refusal::new(error.message()))?;
    conflict::refuse(&settings)?;
    warn(&settings, &mut notices);
    Ok(Loaded { settings, notices, lines })
}

/// Fills in what a deployment of the course expects, where nobody said anything.
fn imply(course: &[&str], chosen: &mut Chosen, given: &mut BTreeMap<&'static str, (Given, Vec<Origin>)>) {
    for (variable, name, value) in course::IMPLIED {
        if !course.contains(&variable) {
            continue;
        }
        let origin = Origin::Implied(variable);
        if let Some(choice) = chosen.0.get_mut(name) {
            if choice.1 == Origin::Default {
                *choice = (value.to_owned(), origin);
            }
        } else if let Some(setting) = Settings::all().find(|setting| setting.name == name) {
            given.entry(setting.name).or_insert_with(|| (Given { setting, value: value.into(), origin }, Vec::new()));
        }
    }
}

/// Puts a value into the nested tables that `name` stands for.
fn insert(tree: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            tree.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let part = tree.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(part) = part {
                insert(part, rest, value);
            }
        }
    }
}

fn missing(setting: &Setting, chosen: &Chosen) -> Refusal {
    let name = setting.name;
    let why = CHOICES.iter().find_map(|choice| {
        let word = back_end(setting, choice)?;
        let (_, origin) = chosen.0.get(choice.name)?;
        Some(format!("{} is {word} ({origin})", choice.name))
    });
    let variables: Vec<String> =
        std::iter::once(setting.variable()).chain(course::variables(name).map(str::to_owned)).collect();
    let (why, variables, allowed) = (why.unwrap_or_default(), variables.join(" or "), setting.kind.allowed());
    Refusal::new(&format!(
        "{name} is not set, and {why} needs it: set it in the file, or set {variables}; allowed is {allowed}"
    ))
}

/// Tells of what is allowed, and better otherwise.
fn warn(settings: &Settings, notices: &mut Vec<String>) {
    use secrecy::ExposeSecret as _;

    let server = &settings.server;
    if matches!(settings.identity, super::Identity::None(_)) && !server.bind.is_loopback() {
        notices.push(format!(
            "identity is none and server.bind is {}: everybody who can reach the port can see, add and delete photos",
            server.bind
        ));
    }
    if matches!(settings.catalog, super::Catalog::MySql(_)) && settings.session.secret.is_none() {
        notices.push(
            "the catalog is MySQL and session.secret is not set, so this instance makes its own: instances that share a database need the \
             same session.secret; set it (GALLERY__SESSION__SECRET)"
                .to_owned(),
        );
    }
    if settings.session.secret.as_ref().is_some_and(|secret| secret.expose_secret().chars().count() < 16) {
        notices.push(
            "session.secret has fewer than 16 characters: signed links and sealed cookies could be forged by guessing it"
                .to_owned(),
        );
    }
}
