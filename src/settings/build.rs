//! Stage three: typed values to the settings structs of the rooms below.

use super::Host;
use super::invocation::{Colour, CommandId, Invocation, Level, Log};
use super::layers::Layers;
use super::options;
use super::problem::Problems;
use super::reader::Reader;

/// Builds everything one call needs.
pub(super) fn invocation(
    host: &Host<'_>,
    command: CommandId,
    layers: &Layers,
) -> Result<Invocation, Problems> {
    let known = |name: &str| options::flag(name).is_some_and(|row| row.name == name);
    let mut read = Reader::new(command, host, layers, known);
    read.log = log(&mut read);
    let invocation = (command.spec().build)(&mut read);
    read.finish(invocation)
}

fn log(read: &mut Reader<'_>) -> Log {
    let levels = [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        // confd's own names.
        ("warning", Level::Warn),
        ("fatal", Level::Error),
        ("panic", Level::Error),
    ];
    let colours = [("auto", Colour::Auto), ("always", Colour::Always), ("never", Colour::Never)];
    Log {
        level: read.choice("log-level", &levels, Level::Info),
        format: read.format("log-format"),
        colour: read.choice("color", &colours, Colour::Auto),
    }
}
