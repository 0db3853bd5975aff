//! Showing settings: those in force for `photo-gallery settings`, all of them for README.

use std::fmt;

use toml::Value;

use super::{Loaded, Origin, Settings, course, section::Presence};

/// One setting as README lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in the settings file, with its sections: `upload.max_bytes`.
    pub name: &'static str,
    /// The environment variable that sets it.
    pub variable: String,
    /// The course's and AWS's variables that set it too.
    pub other_variables: Vec<&'static str>,
    /// The default as TOML; empty when there is none.
    pub default: String,
    /// What it does, with its unit.
    pub about: String,
}

/// Every setting there is.
pub fn table() -> Vec<Row> {
    let row = |setting: &super::Setting| Row {
        name: setting.name,
        variable: setting.variable(),
        other_variables: course::variables(setting.name).collect(),
        default: setting.default().map(|value| value.to_string()).unwrap_or_default(),
        about: match setting.presence {
            Presence::Required => format!("{} Required.", setting.about.trim()),
            _ => setting.about.trim().to_owned(),
        },
    };
    Settings::all().map(row).collect()
}

/// [`table`] as the Markdown table of README, ending with a line break.
pub fn markdown() -> String {
    let mut lines = vec!["| setting | default | what it does |".to_owned(), "|---|---|---|".to_owned()];
    for Row { name, other_variables, default, about, .. } in table() {
        let default = if default.is_empty() { default } else { format!("`{default}`") };
        let also = match other_variables.join("` or `") {
            also if also.is_empty() => also,
            also => format!(" Also `{also}`."),
        };
        lines.push(format!("| `{name}` | {default} | {about}{also} |"));
    }
    lines.push(String::new());
    lines.join("\n")
}

impl fmt::Display for Loaded {
    /// One `name = value  # origin` a line, as a settings file; a line that says nothing or hides a secret is commented out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
        let name_width = self.lines.iter().map(|line| line.name.len() + 2).max().unwrap_or(0);
        let value_width =
            self.lines.iter().map(|line| shown(&line.value).chars().count()).filter(|w| *w <= 40).max().unwrap_or(0);
        for line in &self.lines {
            let name = if line.remark { format!("# {}", line.name) } else { line.name.to_owned() };
            let value = shown(&line.value);
            let origin = if line.value.is_none() { "not set".to_owned() } else { line.origin.to_string() };
            let origins: Vec<String> = [origin].into_iter().chain(line.over.iter().map(Origin::to_string)).collect();
            let remark = crate::photo::plain_line(&origins.join(", over "));
            writeln!(f, "{name:<name_width$} = {value:<value_width$}  # {remark}")?;
        }
        for notice in &self.notices {
            writeln!(f, "# {}", crate::photo::plain_line(notice))?;
        }
        Ok(())
    }
}
