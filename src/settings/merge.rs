//! Stage two: flags, environment and file to one value for each option.

use super::args::TypedOption;
use super::invocation::CommandId;
use super::layers::{Layers, OptionValue, Rank, split};
use super::problem::Problem;
use super::row::{Row, Support, ValueKind};
use super::{Host, environment, etcd_file, file, options, units};

/// Merges flags, environment and file.
pub(super) fn merge(
    host: &Host<'_>,
    command: CommandId,
    typed: Vec<TypedOption>,
    problems: Vec<Problem>,
) -> Layers {
    let mut layers = Layers { problems, ..Layers::default() };
    take_flags(&mut layers, typed);
    for row in options::rows().filter(|row| row.belongs_to(command)) {
        take_variable(&mut layers, host, command, row);
    }
    if command == CommandId::Etcd {
        layers = etcd_file::replace_layers(layers);
    }
    environment::take_over(&mut layers, host, command);
    environment::report_unknown(&mut layers, host, command);
    if command != CommandId::Etcd {
        take_file(&mut layers, host, command);
    }
    refuse_foreign(&mut layers, command);
    layers
}

fn take_flags(layers: &mut Layers, typed: Vec<TypedOption>) {
    for TypedOption { row, spelled, value } in typed {
        let words = split(row.kind, value, row.kind == ValueKind::List);
        match layers.given.iter_mut().find(|given| given.row.name == row.name) {
            Some(OptionValue { words: Ok(list), .. }) if row.kind.many() => list.extend(words),
            // Go's rule: when a flag is given twice, the last one counts.
            Some(given) => (given.place, given.words) = (spelled, Ok(words)),
            None => {
                layers.given.push(OptionValue { row, rank: Rank::Flag, place: spelled, words: Ok(words) });
            }
        }
    }
}

fn take_variable(layers: &mut Layers, host: &Host<'_>, command: CommandId, row: &'static Row) {
    let variables = row.names().map(|name| options::variable(command, name));
    let mut set = variables.filter_map(|name| host.variable(&name).map(|value| (name, value)));
    if let Some((place, value)) = set.next() {
        // Warn when two names of one option have different values.
        for (other, _) in set.filter(|(_, second)| *second != value) {
            layers.warnings.push(format!("{other} is not used: {place} overrides it"));
        }
        // A variable cannot be repeated, so a comma separates in lists of every kind.
        let words = Ok(split(row.kind, value.into(), row.kind.many()));
        // etcd itself does not start with such a pair.
        if let Some(other) = layers.overriding(row, &words).filter(|_| command == CommandId::Etcd) {
            layers.warnings.push(format!("{place} is not used: {other} overrides it"));
        }
        layers.add_unless_set(OptionValue { row, rank: Rank::Environment, place, words });
    }
}

fn take_file(layers: &mut Layers, host: &Host<'_>, command: CommandId) {
    let named = layers.config_file();
    let default = if command == CommandId::Confd { "confd/confd.toml" } else { "retune/retune.toml" };
    let path = named.clone().unwrap_or_else(|| host.etc.join(default));
    let contents = file::load(&path, named.is_some(), command);
    layers.problems.extend(contents.problems);
    if command == CommandId::Confd {
        let lines = contents.idle.iter().map(|problem| format!("{problem} (no effect)"));
        layers.warnings.extend(lines);
    } else {
        layers.problems.extend(contents.idle);
    }
    let foreign = |row: &Row| {
        !row.belongs_to(command) && options::rows().any(|own| own.name == row.name && own.belongs_to(command))
    };
    // A key of another command's option does not apply to an option of the same name with another meaning.
    for given in contents.given.into_iter().filter(|given| !foreign(given.row)) {
        layers.add_unless_set(given);
    }
}

/// Reports values of options that have no meaning here, so that they are not silently ignored.
fn refuse_foreign(layers: &mut Layers, command: CommandId) {
    for given in &layers.given {
        let asked = match &given.words {
            Ok(words) => words.first().is_some_and(|word| {
                given.row.kind != ValueKind::Switch
                    || word.to_str().is_none_or(|word| units::switch(word) != Ok(false))
            }),
            Err(_) => true,
        };
        let idle = |reason| format!("{} has no effect: {reason}", given.place);
        let is_semantic = command == CommandId::Etcd;
        let problem = |reason| Problem { is_semantic, ..Problem::new(&given.place, reason) };
        match given.row.support {
            // The file serves all commands: values for another command are checked by that command.
            _ if !given.row.belongs_to(command)
                && (given.row.belongs_to(CommandId::Store) || given.row.belongs_to(CommandId::Etcd)) => {}
            Support::Used | Support::Ignored("") => {}
            Support::Ignored(reason) => layers.warnings.push(idle(reason)),
            _ if !asked => {}
            Support::NoEffect(reason) if given.rank != Rank::Flag => layers.warnings.push(idle(reason)),
            Support::NoEffect(reason) | Support::Refused(reason) => layers.problems.push(problem(reason)),
        }
    }
}
