//! stub
mod settings;
pub use settings::{Backend, Follow, Login, Secret, Settings, Tls};
