//! One entry of a `for_each` directory, as a template sees it.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

/// An entry of `for_each`: has `item.name` and `item.key`, and prints as its name.
#[derive(Debug)]
pub struct ForEachItem {
    /// Its name in the directory.
    pub name: String,
    /// Its key, relative to the resource's prefix.
    pub key: String,
}

impl Object for ForEachItem {
    /// Prints as its name, not as a map.
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
