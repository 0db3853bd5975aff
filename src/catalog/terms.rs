//! Filing photos under the words by which they are found.

use std::collections::BTreeSet;

use super::Session;
use crate::photo::{Details, Label, Owner, Term, TimelineKey};

const IN_HAND: &str = "INSERT INTO photo_term (owner, term, timeline_key) VALUES (?, ?, ?)";
/// How many rows [`ARMFUL`] holds.
const ARMFUL_ROWS: usize = 8;
const ARMFUL: &str = "INSERT INTO photo_term (owner, term, timeline_key) \
     VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?)";

pub(super) const TERMS: &str =
    "SELECT term FROM photo_term /*! FORCE INDEX (photo_term_by_photo) */ WHERE timeline_key = ? AND owner = ?";

/// Every term under which a photo is filed: words of its name, description, camera, lens, labels and their parents, and each label whole.
pub(super) fn terms_of<'a>(
    file_name: &str,
    description: &str,
    details: Option<&Details>,
    labels: impl IntoIterator<Item = (&'a str, &'a [String])>,
) -> BTreeSet<Term> {
    let mut terms: BTreeSet<Term> = [file_name, description].into_iter().flat_map(Term::words).collect();
    if let Some(details) = details {
        terms.extend([&details.camera, &details.lens].into_iter().flatten().flat_map(|text| Term::words(text)));
    }
    for (name, parents) in labels {
        terms.insert(Term::label(name));
        terms.extend(Term::words(name));
        terms.extend(parents.iter().flat_map(|parent| Term::words(parent)));
    }
    terms
}

/// [`terms_of`]'s view of labels.
pub(super) fn named(labels: &[Label]) -> impl Iterator<Item = (&str, &[String])> {
    labels.iter().map(|label| (label.name.as_str(), label.parents.as_slice()))
}

/// Files a photo at `key` under exactly `terms`, writing only what changes.
pub(super) async fn refile(
    session: &mut Session<'_>,
    owner: &Owner,
    key: &TimelineKey,
    terms: &BTreeSet<Term>,
) -> Result<(), sqlx::Error> {
    let filed = select!(session, fetch_all, (String,), TERMS, key.as_str(), owner.as_str())?;
    let filed: BTreeSet<String> = filed.into_iter().map(|(term,)| term).collect();
    let wanted: BTreeSet<&str> = terms.iter().map(Term::as_str).collect();
    for gone in filed.iter().filter(|term| !wanted.contains(term.as_str())) {
        execute!(
            session,
            "DELETE FROM photo_term WHERE owner = ? AND term = ? AND timeline_key = ?",
            owner.as_str(),
            gone.as_str(),
            key.as_str()
        )?;
    }
    let new: Vec<&str> = wanted.into_iter().filter(|term| !filed.contains(*term)).collect();
    let armfuls = new.chunks_exact(ARMFUL_ROWS);
    for term in armfuls.remainder() {
        execute!(session, IN_HAND, owner.as_str(), *term, key.as_str())?;
    }
    for armful in armfuls {
        either!(Session, session, link => {
            let mut statement = sqlx::query(ARMFUL);
            for term in armful {
                statement = statement.bind(owner.as_str()).bind(*term).bind(key.as_str());
            }
            statement.execute(&mut **link).await.map(|_| ())
        })?;
    }
    Ok(())
}

/// Takes a photo out of all files.
pub(super) async fn unfile(session: &mut Session<'_>, owner: &Owner, key: &TimelineKey) -> Result<(), sqlx::Error> {
    execute!(session, "DELETE FROM photo_term WHERE timeline_key = ? AND owner = ?", key.as_str(), owner.as_str())?;
    Ok(())
}
