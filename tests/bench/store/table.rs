//! Prints the results.

use super::large::Figures as Large;
use super::rates::{Method, Row, Seen};
use super::server::ServerKind;
use super::watchers::{self, WakeTimes};
use super::{Effort, median};

/// Prints the load and the disk.
pub fn rates(kinds: &[ServerKind], effort: Effort, seen: &Seen) {
    let (rounds, span) = (effort.rounds, effort.round.as_secs_f64());
    println!("\nRequests, {rounds} rounds of {span:.1} s, times in ms, CPU in us a request");
    print!("{:<9}", "");
    for kind in kinds {
        print!(" | {:>8} {:>7} {:>7} {:>6}", format!("{}/s", kind.name()), "p50", "p99", "CPU");
    }
    println!(" | {:>8} | ratio of the rates (rounds)", "load CPU");
    for row in &seen.rows {
        let method = if row.method == Method::Put { "PUT" } else { "GET" };
        print!("{method} x {:<3}", row.connections);
        for one in &row.figures {
            let rate = median(&mut one.rates.clone());
            print!(" | {rate:>8.0} {:>7.3} {:>7.3} {:>6.1}", one.p50, one.p99, one.cpu);
        }
        println!(" | {:>8.1} | {}", row.load_cpu, ratios(row));
    }
    println!(
        "The disk syncs 256 bytes {:.0} times a second over written blocks, {:.0} over reserved ones.",
        median(&mut seen.written.clone()),
        median(&mut seen.reserved.clone())
    );
    for (kind, one) in kinds.iter().zip(&seen.rows[0].figures) {
        let share = |syncs: &[f64]| 100.0 * median(&mut quotients(&one.rates, syncs));
        println!(
            "PUT on one connection, {}: {:.0} % of the first figure, {:.0} % of the second (median of the rounds)",
            kind.name(),
            share(&seen.written),
            share(&seen.reserved)
        );
    }
}

fn ratios(row: &Row) -> String {
    let [ours, theirs] = row.figures.as_slice() else { return "-".to_owned() };
    let mut ratios = quotients(&ours.rates, &theirs.rates);
    let middle = median(&mut ratios);
    format!("{middle:.2} ({:.2} to {:.2})", ratios[0], ratios[ratios.len() - 1])
}

/// Returns the quotients round by round: conditions of a round affect both figures.
fn quotients(upper: &[f64], lower: &[f64]) -> Vec<f64> {
    upper.iter().zip(lower).map(|(upper, lower)| upper / lower).collect()
}

/// Prints everything else.
pub fn rest(effort: Effort, large: &[Large], woken: &[WakeTimes]) {
    let keys = effort.keys;
    println!("\n{:<44} {:>9} {:>9} {:>7}", "", ServerKind::Retune.name(), ServerKind::Etcd.name(), "ratio");
    let of = |figure: fn(&Large) -> f64| large.iter().map(figure).collect::<Vec<_>>();
    line(&format!("fill {keys} keys, 64 connections, s"), 2, &of(|one| one.fill));
    line("list them all, the first time, ms", 1, &of(|one| one.first_list));
    line("list them all, best of 5 more, ms", 1, &of(|one| one.best_list));
    line("resident memory after the fill, MB", 1, &of(|one| one.filled));
    line("resident memory after the lists, MB", 1, &of(|one| one.listed));
    line("restart after SIGTERM, ms", 1, &of(|one| one.after_term));
    line("restart after kill -9, ms", 1, &of(|one| one.after_kill));
    let count = watchers::COUNT;
    let of = |figure: fn(&WakeTimes) -> f64| woken.iter().map(figure).collect::<Vec<_>>();
    line(&format!("wake {count} watchers, the median one, ms"), 2, &of(|one| one.median));
    line(&format!("wake {count} watchers, the last one, ms"), 2, &of(|one| one.last));
    println!("Ratios: above 1 retune does better, in both tables.");
}

fn line(what: &str, digits: usize, figures: &[f64]) {
    let show = |at: usize| figures.get(at).map_or("-".to_owned(), |figure| format!("{figure:.digits$}"));
    let ratio = match figures {
        [ours, theirs] => format!("{:.2}", theirs / ours),
        _ => "-".to_owned(),
    };
    println!("{what:<44} {:>9} {:>9} {ratio:>7}", show(0), show(1));
}
