//! Variables of the programs that retune replaces, and variables that nothing reads.
//!
//! A host that ran etcd or confd has its settings in `ETCD_*` or `CONFD_*`. Our commands that do the same job use them
//! where flags and `RETUNE_*` are not given. Each variable that is used, overridden or without effect is logged by
//! name: it may be meant for another program.

use super::invocation::{CommandId, Dialect};
use super::layers::{Layers, OptionValue, Rank, split};
use super::options;
use super::row::{Row, Support, ValueKind};
use super::{Host, units};
use crate::nearest::nearest;

/// Variables that this program sets for the commands it runs, which may run it again.
const SET_FOR_COMMANDS: &[&str] = &["RETUNE_DEST", "RETUNE_GENERATION"];
/// Any of our commands: they share one prefix.
const ANY_RETUNE_COMMAND: CommandId = CommandId::Render;

/// Takes over the environment variables of the program that `command` replaces.
pub(super) fn take_over(layers: &mut Layers, host: &Host<'_>, command: CommandId) {
    let Some(origin) = command.spec().replaces else { return };
    let (mut taken, mut idle) = (Vec::new(), Vec::new());
    for row in options::rows().filter(|row| row.belongs_to(origin)) {
        for variable in row.names().map(|name| options::variable(origin, name)) {
            let Some(value) = host.variable(&variable) else { continue };
            // Another program's settings file has another format.
            if !row.belongs_to(command) || row.name == "config-file" {
                if changes_behaviour(row, command, &value) {
                    idle.push(variable);
                }
                continue;
            }
            let words = Ok(split(row.kind, value.into(), row.kind.many()));
            if let Some(other) = layers.overriding(row, &words) {
                layers.warnings.push(format!("{variable} is not used: {other} overrides it"));
            } else if layers.get(row.name).is_none() {
                layers.add_unless_set(OptionValue {
                    row,
                    rank: Rank::Environment,
                    place: variable.clone(),
                    words,
                });
                taken.push(variable);
            }
        }
    }
    let title = command.title();
    if !taken.is_empty() {
        layers.notices.push(format!(
            "`retune {title}` takes {} from the environment; flags and RETUNE_ variables come first",
            taken.join(", ")
        ));
    }
    if !idle.is_empty() {
        let verb = if idle.len() == 1 { "has" } else { "have" };
        layers.warnings.push(format!("{} {verb} no effect on `retune {title}`", idle.join(", ")));
    }
}

/// Returns whether a variable asks for something beyond the command's normal behaviour.
fn changes_behaviour(row: &Row, command: CommandId, value: &str) -> bool {
    let on = row.kind != ValueKind::Switch || units::switch(value) != Ok(false);
    // The settings of a running member go beyond those of a restore.
    let more = command == CommandId::StoreRestore && row.belongs_to(CommandId::Store);
    on && !more
        && !matches!((row.name, command), ("watch", CommandId::Watch) | ("onetime", CommandId::Render))
}

/// Warns about variables with our prefix that are no settings: a mistyped one has no effect, and nothing else would
/// report it. Container images set `CONFD_VERSION` and the like, so only names close to a setting count; except
/// etcd's, where etcd warns about each one too.
pub(super) fn report_unknown(layers: &mut Layers, host: &Host<'_>, command: CommandId) {
    for origin in [Some(command), command.spec().replaces].into_iter().flatten() {
        for variable in &host.variables {
            let rest = variable.strip_prefix(origin.prefix()).and_then(|rest| rest.strip_prefix('_'));
            let Some(rest) = rest else { continue };
            match nearest_setting(origin, variable, rest) {
                Some(near) if near == *variable => {}
                Some(near) => layers.warnings.push(unrecognized(variable, &near)),
                None if origin == CommandId::Etcd => {
                    layers.warnings.push(format!("unrecognized environment variable {variable}"));
                }
                None => {}
            }
        }
    }
}

fn unrecognized(variable: &str, near: &str) -> String {
    format!("unrecognized environment variable {variable}; did you mean {near}?")
}

/// Returns the warning about a variable with our prefix that is close to a setting and is none.
pub(super) fn mistyped(variable: &str) -> Option<String> {
    let near = nearest_setting(ANY_RETUNE_COMMAND, variable, variable.strip_prefix("RETUNE_")?)?;
    (near != variable).then(|| unrecognized(variable, &near))
}

/// Returns whether a variable with our prefix is a setting of any command.
pub(super) fn is_setting(variable: &str) -> bool {
    is_setting_of(ANY_RETUNE_COMMAND, variable)
}

fn rows_of(origin: CommandId) -> impl Iterator<Item = &'static Row> {
    let ours = origin.dialect() == Dialect::Retune;
    options::rows().filter(move |row| ours || row.belongs_to(origin))
}

fn is_setting_of(origin: CommandId, variable: &str) -> bool {
    rows_of(origin).flat_map(Row::names).any(|name| options::variable(origin, name) == variable)
}

/// Returns the variable itself if it is a setting, or the nearest setting. All our commands share one prefix.
fn nearest_setting(origin: CommandId, variable: &str, rest: &str) -> Option<String> {
    let of_ctl = if origin.dialect() == Dialect::Retune { super::ctl::VARIABLES } else { &[] };
    if of_ctl.contains(&rest) || SET_FOR_COMMANDS.contains(&variable) || is_setting_of(origin, variable) {
        return Some(variable.to_owned());
    }
    let used = rows_of(origin).filter(|row| row.support == Support::Used).flat_map(Row::names);
    let of_ctl = of_ctl.iter().map(|name| name.replace('_', "-").to_lowercase());
    let names: Vec<String> = used.map(str::to_owned).chain(of_ctl).collect();
    let near = nearest(&rest.replace('_', "-"), names.iter().map(String::as_str))?;
    Some(options::variable(origin, near))
}
