//! Renders text from templates and values, and records every read.
//!
//! Owns the template language as users see it: the engine with its functions and limits, how a source's values look in
//! a template, what a render read, and how mistakes are reported. Promises that equal inputs give equal text, that no
//! template exceeds its limits of time, depth and size, and that a value prints exactly as it was stored. Leaves out
//! where values come from (`source`) and what happens to the text (`reloader`).
//!
//! Size has a gap: between two checks the engine may evaluate eight operators, each of whose results it bounds itself
//! (100 MB), and text in a captured block is bounded by steps only.

mod backends;
mod bounded;
mod builtins;
mod convert;
mod crypt;
mod current;
mod dates;
mod engine;
mod error;
mod functions;
mod generation;
mod glob;
mod item;
mod limits;
mod lists;
mod loader;
mod math;
mod nearest;
mod net;
mod number;
mod pattern;
mod reads;
mod registry;
mod store;
mod system;
#[cfg(test)]
mod tests;
mod text;
mod unknown;
mod words;

pub use engine::{Engine, Rendered, check_text};
pub use error::{RenderFailure, TemplateError, TemplateErrorKind};
pub use generation::generation_of;
pub use glob::{BadPattern, glob_matches};
pub use item::ForEachItem;
pub use limits::Limits;
pub use reads::Reads;
pub use unknown::{Callable, UnknownName, defined_names, known_names};
