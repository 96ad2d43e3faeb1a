//! stub
mod settings;
pub use settings::{Settings, UnknownFields};
