//! Photos that are to be announced again.

use super::{
    Catalog, Session,
    row::{PhotoRow, columns},
};
use crate::photo::{Photo, PhotoId};

pub(super) const WITH_WORK_LEFT: &str =
    concat!("SELECT ", columns!(), " FROM photo p WHERE p.id = ? AND p.claimed_until IS NOT NULL");

impl Catalog {
    /// A photo, whoever's it is, when work is left to do for it.
    pub async fn photo_with_work_left(&self, id: PhotoId) -> anyhow::Result<Option<Photo>> {
        let row = read!(self, "reading a photo that waits", |session| Ok(select!(
            session,
            fetch_optional,
            PhotoRow,
            WITH_WORK_LEFT,
            id.to_string()
        )?))?;
        row.map(PhotoRow::photo).transpose()
    }
}
