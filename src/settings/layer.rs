//! Reading one place of settings: the file, the course's variables, the `GALLERY__` variables. Values come out checked.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read as _,
    path::Path,
};

use toml::{Table, Value};

use super::{CHOICES, Origin, Refusal, Settings, course, kind::Kind, section::Setting};

/// The largest settings file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

const PREFIX: &str = "GALLERY__";

/// One checked value. Holds secrets as they are, so it has no `Debug`.
pub(super) struct Given {
    pub(super) setting: &'static Setting,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// All that one place says.
pub(super) type Layer = Vec<Given>;

fn known(name: &str) -> Option<&'static Setting> {
    Settings::all().find(|setting| setting.name == name)
}

/// Refuses a value of `setting`; shows it, when that is safe.
fn refused(setting: &Setting, shown: &str, origin: &Origin) -> Refusal {
    let Setting { name, kind, .. } = setting;
    let allowed = kind.allowed();
    // Before an @ a password may stand, whatever the value was meant for.
    if kind.is_delicate() || shown.contains('@') {
        return Refusal::new(&format!("{name} ({origin}) has a value that is refused: allowed is {allowed}"));
    }
    let shown: String =
        if shown.chars().count() > 80 { shown.chars().take(80).chain(['…']).collect() } else { shown.to_owned() };
    Refusal::new(&format!("{name} = {shown} ({origin}) is refused: allowed is {allowed}"))
}

/// Settings that had another name in an earlier version: (then, now).
const RENAMED: [(&str, &str); 1] = [("server.secret", "session.secret")];

/// The words of a sentence that proposes what a setting is called now, or the nearest of `names`.
fn proposal(wrong: &str, names: impl Iterator<Item = String>) -> String {
    let plain = wrong.strip_prefix(PREFIX).unwrap_or(wrong).replace("__", ".").to_ascii_lowercase();
    if let Some((_, now)) = RENAMED.iter().find(|(then, _)| *then == plain) {
        return format!(" any more; it is called {now} now");
    }
    names
        .map(|name| (strsim::damerau_levenshtein(wrong, &name), name))
        .min()
        .filter(|(distance, name)| *distance * 3 <= name.len())
        .map_or_else(
            || "; `photo-gallery settings --markdown` lists them all".to_owned(),
            |(_, name)| format!("; did you mean {name}?"),
        )
}

/// What the settings file says; `how` tells why it is read.
pub(super) fn file(path: &Path, how: &str) -> Result<Layer, Refusal> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| Refusal::new(&format!("the settings file {shown}, {how}, cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Refusal::new(&format!("the settings file {shown}, {how}, is larger than 1 MB")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::new(&format!("the settings file {shown}, {how}, is not UTF-8 text (at byte {at})"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        Refusal::new(&format!("the settings file {shown}, {how}, is not TOML: line {line}: {}", error.message()))
    })?;
    let mut layer = Layer::new();
    section("", table, &Origin::File(path.to_owned()), &mut layer)?;
    Ok(layer)
}

/// Takes what one table of a file says into `layer`.
fn section(prefix: &str, table: Table, origin: &Origin, layer: &mut Layer) -> Result<(), Refusal> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let within = format!("{name}.");
        match value {
            Value::Table(part)
                if is_back_end(&name) || Settings::all().any(|known| known.name.starts_with(&within)) =>
            {
                if let Some((choice, word)) = name.split_once('.').filter(|_| is_back_end(&name))
                    && let Some(setting) = known(choice)
                {
                    layer.push(Given { setting, value: word.into(), origin: origin.clone() });
                }
                section(&within, part, origin, layer)?;
            }
            value => match known(&name) {
                Some(setting) => {
                    let shown = value.to_string();
                    let value = setting.kind.read_toml(value).ok_or_else(|| refused(setting, &shown, origin))?;
                    layer.push(Given { setting, value, origin: origin.clone() });
                }
                None if Settings::all().any(|known| known.name.starts_with(&within)) => {
                    return Err(Refusal::new(&format!(
                        "{name} ({origin}) is a section, not a value: write [{name}] and its settings below it"
                    )));
                }
                None => {
                    let names = Settings::all().flat_map(|setting| with_sections(setting.name));
                    let proposal = proposal(&name, names);
                    return Err(Refusal::new(&format!("{name} ({origin}) is not a setting{proposal}")));
                }
            },
        }
    }
    Ok(())
}

/// The name of a setting, and those of the sections around it.
fn with_sections(name: &'static str) -> impl Iterator<Item = String> {
    let ends = name.match_indices('.').map(|(end, _)| end).chain([name.len()]);
    ends.map(|end| name[..end].to_owned())
}

/// Whether `name` is a back end as files write it: `store.disk`.
fn is_back_end(name: &str) -> bool {
    CHOICES.iter().any(|choice| {
        let word = name.strip_prefix(choice.name).and_then(|rest| rest.strip_prefix('.'));
        matches!(choice.kind, Kind::Word(words) if word.is_some_and(|word| words.contains(&word)))
    })
}

/// What holds where Lambda started the program and nobody says anything else.
pub(super) fn lambda(variables: &[(OsString, OsString)]) -> Layer {
    if !variables.iter().any(|(name, _)| name == course::LAMBDA) {
        return Layer::new();
    }
    let origin = Origin::Implied(course::LAMBDA);
    let given = |(name, value): (&str, &str)| {
        Some(Given { setting: known(name)?, value: value.into(), origin: origin.clone() })
    };
    course::UNDER_LAMBDA.into_iter().filter_map(given).collect()
}

/// What the environment says.
pub(super) struct Environment {
    /// Under the names of the course and of AWS.
    pub(super) course: Layer,
    /// Under the program's own names.
    pub(super) gallery: Layer,
    /// What its operator should know.
    pub(super) notices: Vec<String>,
}

impl Environment {
    /// Reads `variables`; an empty one counts as unset.
    pub(super) fn new(variables: &[(OsString, OsString)]) -> Result<Self, Refusal> {
        let set = |wanted: &str| {
            let same = |(name, _): &&(OsString, OsString)| name == wanted;
            variables.iter().rev().find(same).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let mut notices = Vec::new();
        let mut course = Layer::new();
        for (variable, name) in course::NAMES {
            let Some((value, setting)) = set(variable).zip(known(name)) else { continue };
            let given = given(setting, value, Origin::Course(variable))?;
            match course.iter().find(|earlier| earlier.setting.name == name) {
                None => course.push(given),
                Some(earlier) if earlier.value == given.value => {}
                Some(earlier) => {
                    let (counts, other) = (&earlier.origin, &given.origin);
                    notices.push(format!("{name}: {counts} counts, and {other} says something else"));
                }
            }
        }

        let mut gallery = Layer::new();
        for (variable, _) in variables {
            let variable = variable.to_string_lossy();
            if !variable.to_ascii_uppercase().starts_with(PREFIX) {
                continue;
            }
            let setting = Settings::all().find(|setting| setting.variable() == variable).ok_or_else(|| {
                let names = Settings::all().map(Setting::variable);
                let proposal = proposal(&variable.to_ascii_uppercase(), names);
                Refusal::new(&format!("the environment variable {variable} is not a setting{proposal}"))
            })?;
            let repeated = gallery.iter().any(|earlier: &Given| earlier.setting.name == setting.name);
            if let Some(value) = set(&variable).filter(|_| !repeated) {
                gallery.push(given(setting, value, Origin::Environment(variable.into_owned()))?);
            }
        }
        Ok(Self { course, gallery, notices })
    }
}

/// The checked value of one variable.
fn given(setting: &'static Setting, value: &OsStr, origin: Origin) -> Result<Given, Refusal> {
    let text = value.to_str().ok_or_else(|| {
        let name = setting.name;
        Refusal::new(&format!("{name} ({origin}) is not UTF-8 text"))
    })?;
    let value = setting.kind.read_text(text).ok_or_else(|| refused(setting, &format!("{text:?}"), &origin))?;
    Ok(Given { setting, value, origin })
}
