//! Stopping a container on behalf of a person.

use std::time::Duration;

use super::engine::Engine;
use super::error::RegistrarError;
use super::settings::EngineAt;

/// Asks whether the engine answers.
///
/// # Errors
/// An address of the engine that makes no sense, or an engine that cannot be asked.
pub async fn reach(at: &EngineAt) -> Result<(), RegistrarError> {
    let engine = Engine::new(at).map_err(|error| RegistrarError::Settings(error.why))?;
    let answered = engine.info().await;
    answered
        .map(drop)
        .map_err(|error| RegistrarError::Engine { url: engine.url().to_owned(), why: error.why })
}

/// Has the engine stop a container, by id or name. `grace` is the time from its stop signal to the kill; `None`: the
/// container's own.
///
/// # Errors
/// An address of the engine that makes no sense, an engine that cannot be asked, or a container that there is not.
pub async fn stop_container(
    at: &EngineAt,
    container: &str,
    grace: Option<Duration>,
) -> Result<(), RegistrarError> {
    let engine = Engine::new(at).map_err(|error| RegistrarError::Settings(error.why))?;
    let stopped = engine.stop(container, grace).await;
    stopped.map_err(|error| RegistrarError::Engine { url: engine.url().to_owned(), why: error.why })
}
