//! Stops a container on a person's request.

use std::time::Duration;

use super::engine::Engine;
use super::error::RegistrarError;
use super::settings::EngineEndpoint;

/// Checks that the engine responds.
///
/// # Errors
/// An invalid engine address, or an unreachable engine.
pub async fn reach(at: &EngineEndpoint) -> Result<(), RegistrarError> {
    let engine = Engine::new(at).map_err(|error| RegistrarError::Settings(error.why))?;
    let answered = engine.info().await;
    answered
        .map(drop)
        .map_err(|error| RegistrarError::Engine { url: engine.url().to_owned(), why: error.why })
}

/// Has the engine stop a container, by id or name. `grace` is the time between its stop signal and the kill; `None`:
/// the container's own.
///
/// # Errors
/// An invalid engine address, an unreachable engine, or a missing container.
pub async fn stop_container(
    at: &EngineEndpoint,
    container: &str,
    grace: Option<Duration>,
) -> Result<(), RegistrarError> {
    let engine = Engine::new(at).map_err(|error| RegistrarError::Settings(error.why))?;
    let stopped = engine.stop(container, grace).await;
    stopped.map_err(|error| RegistrarError::Engine { url: engine.url().to_owned(), why: error.why })
}
