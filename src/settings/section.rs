//! The list of all settings, made from the same lines as the structs that hold them: name, type, default and meaning are written once.

use toml::Value;

use super::kind::Kind;

/// One setting as the program knows it.
pub(super) struct Setting {
    /// Its name with its sections: `store.s3.bucket`.
    pub(super) name: &'static str,
    /// What it may hold.
    pub(super) kind: Kind,
    /// What it does, as the doc comment of its field.
    pub(super) about: &'static str,
    /// What holds when nobody sets it.
    pub(super) presence: Presence,
}

/// What holds when nobody sets a setting.
pub(super) enum Presence {
    /// This value.
    Or(fn() -> Value),
    /// Nothing, and that is fine.
    Optional,
    /// Its back end cannot be chosen without it.
    Required,
}

impl Setting {
    /// The variable that sets it: `GALLERY__STORE__S3__BUCKET`.
    pub(super) fn variable(&self) -> String {
        format!("GALLERY__{}", self.name.to_uppercase().replace('.', "__"))
    }

    /// The default value.
    pub(super) fn default(&self) -> Option<Value> {
        match self.presence {
            Presence::Or(value) => Some(value()),
            Presence::Optional | Presence::Required => None,
        }
    }
}

/// A section of settings: the struct, and the `ROWS` that describe its fields.
macro_rules! section {
    (
        $(#[doc = $section:literal])+
        $name:ident in $prefix:literal {
            $(
                $(#[doc = $about:literal])+
                $field:ident: $type:ty, $kind:expr, $presence:ident $(($default:expr))?;
            )*
        }
        $(holding {
            $(
                $(#[doc = $part_about:literal])+
                $part:ident: $part_type:ty;
            )*
        })?
    ) => {
        $(#[doc = $section])+
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $about])+ pub $field: $type,)*
            $($($(#[doc = $part_about])+ pub $part: $part_type,)*)?
        }

        impl $name {
            const ROWS: &[Setting] = &[$(
                Setting {
                    name: concat!($prefix, stringify!($field)),
                    kind: $kind,
                    about: concat!($($about),+),
                    presence: section!(@$presence $($default)?),
                },
            )*];
        }
    };
    (@or $default:expr) => { Presence::Or(|| toml::Value::from($default)) };
    (@optional) => { Presence::Optional };
    (@required) => { Presence::Required };
}
pub(super) use section;
