//! stub
mod limits;
mod reads;
mod values;
pub use limits::Limits;
pub use reads::Reads;
pub use values::{Change, Datum, Scope, Touched, Values, View};
