//! The examples on the templates page are correct.

use super::super::functions;
use super::*;

const PAGE: &str = include_str!("../../../docs/templates.md");

/// Returns the lines of every fenced block of a language, with the line each begins at.
fn blocks() -> Vec<(usize, String, String)> {
    let mut out = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (number, line) in PAGE.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => out.extend(open.take()),
            (None, Some(language)) => open = Some((number + 1, language.to_owned(), String::new())),
            (Some((_, _, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    out
}

fn fixture() -> View {
    let (_, _, body) = blocks().into_iter().find(|(_, language, _)| language == "keys").unwrap();
    let pairs: Vec<(&str, &str)> = body.lines().filter_map(|line| line.split_once(" = ")).collect();
    assert!(pairs.len() > 5);
    view_of("/", &["/", "/_retune/nodes"], &pairs)
}

#[test]
fn every_example_of_the_page_renders_as_documented() {
    let all = fixture();
    let blocks = blocks();
    let mut examples = 0;
    let mut wrong = Vec::new();
    for pair in blocks.windows(2) {
        let [(line, language, template), (_, next, want)] = pair else { continue };
        if language == "jinja" {
            assert_eq!(next, "text", "line {line}: an example without its result");
            let got = text(template, &all);
            if got != *want {
                wrong.push(format!("line {line}: {template}renders {got:?}, the page says {want:?}"));
            }
            examples += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(examples, blocks.iter().filter(|(_, language, _)| language == "jinja").count());
    assert!(examples > 60, "{examples}");
    // Results that depend on machine and time are shown, not compared; these are all of them.
    assert_eq!(blocks.iter().filter(|(_, language, _)| language == "jinja-varies").count(), 8);
}

#[test]
fn every_function_and_filter_is_documented() {
    let (functions, filters) = functions::names();
    assert!(functions.len() > 80 && filters.len() > 60);
    let absent: Vec<_> =
        functions.union(&filters).filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert!(absent.is_empty(), "not in the page: {absent:?}");
}
