//! JSON values that keep their text until somebody needs what is in it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::event::{NotJson, Text, Visit};

/// Why a JSON value is not of the type that hydra-node writes there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{expected} expected, found {found}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct TypeError {
    /// The members that lead to the value, with dots between.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// The beginning of what is there.
    pub found: String,
}

/// So much of a value is shown in an error.
const SHOWN: usize = 40;

impl TypeError {
    pub(super) fn new(expected: impl Into<String>, found: &str) -> Self {
        let cut = found.char_indices().nth(SHOWN);
        let found = cut.map_or_else(|| found.to_owned(), |(at, _)| format!("{}…", found.get(..at).unwrap_or_default()));
        Self { path: String::new(), expected: expected.into(), found }
    }

    /// The same error, seen from the value around.
    pub(super) fn within(mut self, member: &str) -> Self {
        self.path = if self.path.is_empty() { member.to_owned() } else { format!("{member}.{}", self.path) };
        self
    }

    pub(super) fn not_json(text: &Text) -> impl FnOnce(NotJson) -> Self + '_ {
        |error| Self::new(format!("whole JSON ({error})"), text)
    }
}

/// A type of hydra-node's JSON. What is read comes back as equal JSON: what no type here knows of is kept as it stands.
pub trait Typed: Sized {
    /// Reads a value; nested values may stay as they are until they are asked for.
    ///
    /// # Errors
    ///
    /// [`TypeError`].
    fn read(text: &Text) -> Result<Self, TypeError>;

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// [`TypeError`] of a nested value, if those are to be read too.
    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError>;
}

/// Where JSON is written to.
#[derive(Debug, Default)]
pub struct JsonWriter {
    text: String,
    /// Whether values that were not read yet are read into their types first.
    through_types: bool,
}

impl JsonWriter {
    /// For writing every value from its type, down to the leaves.
    pub(super) fn through_types() -> Self {
        Self { text: String::new(), through_types: true }
    }

    pub(super) fn is_through_types(&self) -> bool {
        self.through_types
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn raw(&mut self, json: &str) {
        self.text.push_str(json);
    }

    pub(super) fn bracket(&mut self, bracket: char) {
        self.text.push(bracket);
    }

    /// Puts a comma where one belongs.
    pub(super) fn next(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    /// Begins a member; `key` is written as it stands between quotes.
    pub(super) fn key(&mut self, key: &str) {
        self.next();
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    pub(super) fn member<T: Typed>(&mut self, key: &str, value: &T) -> Result<(), TypeError> {
        self.key(key);
        value.write(self).map_err(|error| error.within(key))
    }
}

/// A value whose text is kept; it is read when [`get`](Self::get) is called.
pub struct Json<T> {
    text: Text,
    kind: PhantomData<fn() -> T>,
}

impl<T> Json<T> {
    /// The text as it stands in the log.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first member with one of these names, without a look at what follows it.
    pub(super) fn first_of(&self, names: &[&str]) -> Result<Option<Text>, TypeError> {
        first_of(&self.text, names)
    }

    /// The same text, taken for another type.
    pub(crate) fn cast<U>(&self) -> Json<U> {
        Json::from(self.text.clone())
    }

    /// For values that are kept longer than the page that they were read in.
    pub(super) fn apart(&self) -> Self {
        Self::from(self.text.apart())
    }
}

impl<T: Typed> Json<T> {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// [`TypeError`].
    pub fn get(&self) -> Result<T, TypeError> {
        T::read(&self.text)
    }

    /// The text of a value.
    pub(crate) fn of(value: &T) -> Result<Self, TypeError> {
        let mut out = JsonWriter::default();
        value.write(&mut out)?;
        Ok(Self::from(Text::from(out.finish())))
    }
}

impl<T> From<Text> for Json<T> {
    fn from(text: Text) -> Self {
        Self { text, kind: PhantomData }
    }
}

impl<T: Typed> Typed for Json<T> {
    fn read(text: &Text) -> Result<Self, TypeError> {
        Ok(Self::from(text.clone()))
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        if out.through_types {
            return self.get()?.write(out);
        }
        out.raw(&self.text);
        Ok(())
    }
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Self::from(self.text.clone())
    }
}

impl<T> PartialEq for Json<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Json<T> {}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A member of an object. hydra-node takes `null` and a missing member for the same; what comes back tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is `null`.
    Null,
    /// It is there.
    Is(T),
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

impl<T: Default> Field<T> {
    /// Changes the value, or a fresh one if there is none.
    pub(super) fn edit<R>(&mut self, edit: impl FnOnce(&mut T) -> R) -> R {
        match self {
            Self::Is(value) => edit(value),
            Self::Absent | Self::Null => {
                let mut value = T::default();
                let edited = edit(&mut value);
                *self = Self::Is(value);
                edited
            }
        }
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Is)
    }
}

impl<T: Typed> Field<T> {
    pub(super) fn read(text: &Text) -> Result<Self, TypeError> {
        // No other JSON value begins so.
        if text.starts_with("null") { Ok(Self::Null) } else { T::read(text).map(Self::Is) }
    }

    pub(super) fn write(&self, key: &str, out: &mut JsonWriter) -> Result<(), TypeError> {
        match self {
            Self::Absent => {}
            Self::Null => {
                out.key(key);
                out.raw("null");
            }
            Self::Is(value) => out.member(key, value)?,
        }
        Ok(())
    }
}

/// Members that no version known here has, as they stand.
pub type Others = Vec<(String, Json<super::leaf::Raw>)>;

/// An object whose members depend on the version: each may be there or not.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $key:literal: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`.")] pub $field: $crate::head::typed::Field<$type>,)*
            /// Members that no version known here has.
            pub other: $crate::head::typed::Others,
        }

        impl $crate::head::typed::Record for $name {
            fn set(
                &mut self,
                key: &str,
                value: $crate::event::Text,
            ) -> Result<(), $crate::head::typed::TypeError> {
                match key {
                    $($key => {
                        let read = $crate::head::typed::Field::read(&value);
                        self.$field = read.map_err(|error| error.within($key))?;
                    })*
                    _ => self.other.push((key.to_owned(), value.into())),
                }
                Ok(())
            }

            fn write_members(
                &self,
                out: &mut $crate::head::typed::JsonWriter,
            ) -> Result<(), $crate::head::typed::TypeError> {
                $(self.$field.write($key, out)?;)*
                self.other.iter().try_for_each(|(key, value)| out.member(key, value))
            }
        }

        impl $crate::head::typed::Typed for $name {
            fn read(text: &$crate::event::Text) -> Result<Self, $crate::head::typed::TypeError> {
                let mut record = Self::default();
                $crate::head::typed::read_record(&mut record, text, &[], |visit| text.members(visit))?;
                Ok(record)
            }

            fn write(
                &self,
                out: &mut $crate::head::typed::JsonWriter,
            ) -> Result<(), $crate::head::typed::TypeError> {
                out.bracket('{');
                $crate::head::typed::Record::write_members(self, out)?;
                out.bracket('}');
                Ok(())
            }
        }
    };
}

/// A sum type: an object whose `tag` says which, its members beside the tag. A tag that is not known is kept as it stands.
macro_rules! tagged {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($record:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant(Box<$record>),)*
            /// A tag that is not known here, as it stands.
            Unknown($crate::head::typed::Json<$crate::head::leaf::Raw>),
        }

        impl $name {
            /// Reads the object with this tag; `walk` walks its members, which stand in `text`. No more than the `wanted` ones are read, if any
            /// are named.
            pub(super) fn of_tag(
                tag: &str,
                text: &$crate::event::Text,
                wanted: &[&str],
                walk: impl FnOnce($crate::event::Visit<'_>) -> Result<(), $crate::event::NotJson>,
            ) -> Result<Self, $crate::head::typed::TypeError> {
                match tag {
                    $(stringify!($variant) => {
                        let mut record = Box::default();
                        $crate::head::typed::read_record(&mut *record, text, wanted, walk)?;
                        Ok(Self::$variant(record))
                    })*
                    _ => Ok(Self::Unknown(text.clone().into())),
                }
            }
        }

        impl $crate::head::typed::Typed for $name {
            fn read(text: &$crate::event::Text) -> Result<Self, $crate::head::typed::TypeError> {
                let tag = $crate::head::typed::tag_of(text)?;
                Self::of_tag(&tag, text, &[], |visit| {
                    text.members(&mut |key, value| match key {
                        "tag" => std::ops::ControlFlow::Continue(()),
                        _ => visit(key, value),
                    })
                })
            }

            fn write(
                &self,
                out: &mut $crate::head::typed::JsonWriter,
            ) -> Result<(), $crate::head::typed::TypeError> {
                match self {
                    $(Self::$variant(record) => {
                        out.bracket('{');
                        out.key("tag");
                        out.raw(concat!("\"", stringify!($variant), "\""));
                        $crate::head::typed::Record::write_members(&**record, out)?;
                        out.bracket('}');
                        Ok(())
                    })*
                    Self::Unknown(json) => json.write(out),
                }
            }
        }
    };
}

pub(super) use {record, tagged};

/// What `record!` makes: an object that is read member by member.
pub(super) trait Record: Default {
    fn set(&mut self, key: &str, value: Text) -> Result<(), TypeError>;
    fn write_members(&self, out: &mut JsonWriter) -> Result<(), TypeError>;
}

/// Reads a record's members, which stand in `text`: all of them, or the `wanted` ones if any are named. Into a record that is there: some are
/// large, and moving them costs as much as reading them.
pub(super) fn read_record<R: Record>(
    record: &mut R,
    text: &Text,
    wanted: &[&str],
    walk: impl FnOnce(Visit<'_>) -> Result<(), NotJson>,
) -> Result<(), TypeError> {
    let (mut outcome, mut left) = (Ok(()), wanted.len());
    let walked = walk(&mut |key, value| {
        if !wanted.is_empty() && !wanted.contains(&key) {
            return ControlFlow::Continue(());
        }
        outcome = record.set(key, text.sub(value));
        // Behind the last wanted member lie, for some, kilobytes that nobody has touched yet.
        left = left.saturating_sub(1);
        let is_done = !wanted.is_empty() && left == 0;
        if outcome.is_err() || is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    walked.map_err(TypeError::not_json(text))?;
    outcome
}

/// The first member of an object that has one of these names.
pub(crate) fn first_of(text: &Text, names: &[&str]) -> Result<Option<Text>, TypeError> {
    let mut found = None;
    let walked = text.members(&mut |key, value| {
        if !names.contains(&key) {
            return ControlFlow::Continue(());
        }
        found = Some(text.sub(value));
        ControlFlow::Break(())
    });
    walked.map_err(TypeError::not_json(text))?;
    Ok(found)
}

/// The tag of an object.
pub(super) fn tag_of(text: &Text) -> Result<String, TypeError> {
    let tag = first_of(text, &["tag"])?;
    let tag = tag.as_deref().and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
    tag.map(str::to_owned).ok_or_else(|| TypeError::new("an object with a tag", text))
}
