//! One entry of a directory that becomes a file of its own, as a template sees it.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

/// An entry of `for_each`: `item.name`, `item.key`, and printed by itself its name.
#[derive(Debug)]
pub struct Item {
    /// Its name in the directory.
    pub name: String,
    /// Its key, relative to the resource's prefix.
    pub key: String,
}

impl Object for Item {
    /// Printed as its name, not as a map.
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, field: &Value) -> Option<Value> {
        match field.as_str()? {
            "name" => Some(Value::from(self.name.as_str())),
            "key" => Some(Value::from(self.key.as_str())),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
