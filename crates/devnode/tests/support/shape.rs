//! The shape of a JSON document: its keys in order and the types of its values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value without its content.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Null,
    Bool,
    Number,
    String,
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

impl Shape {
    pub fn of(text: &str) -> Self {
        serde_json::from_str(text).expect("JSON")
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map_or(&Self::Null, |(_, value)| value),
            _ => &Self::Null,
        }
    }

    /// Whether `other` has the same keys in the same order with the same types. Arrays are compared
    /// by their first elements, where both have one; `optional` keys may be missing on either side.
    pub fn differs(&self, other: &Self, optional: &[&str]) -> Option<String> {
        match (self, other) {
            (Self::Object(ours), Self::Object(theirs)) => {
                let names = |members: &[(String, Self)], present: &[(String, Self)]| {
                    members
                        .iter()
                        .map(|(name, _)| name.clone())
                        .filter(|name| {
                            !optional.contains(&name.as_str())
                                || present.iter().any(|(other, _)| other == name)
                        })
                        .collect::<Vec<_>>()
                };
                let (ours_named, theirs_named) = (names(ours, theirs), names(theirs, ours));
                if ours_named != theirs_named {
                    return Some(format!("keys {ours_named:?}, recorded {theirs_named:?}"));
                }
                ours_named.iter().find_map(|name| {
                    self.get(name)
                        .differs(other.get(name), optional)
                        .map(|difference| format!("{name}: {difference}"))
                })
            }
            (Self::Array(ours), Self::Array(theirs)) => match (ours.first(), theirs.first()) {
                (Some(ours), Some(theirs)) => ours
                    .differs(theirs, optional)
                    .map(|difference| format!("[0]: {difference}")),
                _ => None,
            },
            (ours, theirs) if ours == theirs => None,
            (ours, theirs) => Some(format!("{ours:?}, recorded {theirs:?}")),
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Shape::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Shape::Object(members))
    }
}
