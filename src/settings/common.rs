//! The items that the builders of all commands share.

use super::invocation::{Dialect, Invocation, Log, Output, Task};
use super::reader::{Built, Reader};
use crate::{reloader, source};

pub(super) const OUTPUTS: &[(&str, Output)] = &[("text", Output::Text), ("json", Output::Json)];

/// The options that commands which render nothing have besides their task.
#[derive(Clone, Copy)]
pub(super) struct CommonOptions {
    pub(super) log: Log,
    pub(super) output: Output,
}

impl CommonOptions {
    /// Returns the invocation, with every problem found.
    pub(super) fn built(self, read: &mut Reader<'_>, task: Task, source: source::Settings) -> Built {
        self.typed_as(Dialect::Retune, read, task, source)
    }

    /// The same for another program's command line.
    pub(super) fn typed_as(
        self,
        dialect: Dialect,
        read: &mut Reader<'_>,
        task: Task,
        source: source::Settings,
    ) -> Built {
        let reloader = reloader::Settings::default();
        let (log, output) = (self.log, self.output);
        let (warnings, notices) = (Vec::new(), Vec::new());
        read.finish(Invocation { task, dialect, log, source, reloader, output, warnings, notices })
    }
}
