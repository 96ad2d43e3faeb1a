//! Values named by --redact never appear in any output.

use crate::support::{Dir, Retune};

/// With a quote in it, since quoting must not hide it from the mask.
const SECRET: &str = "ca\"nary-of-mine";
/// The part that must not appear.
const SHOWN: &str = "nary-of-mine";

fn logged(template: &str, extra: &str, redact: bool) -> String {
    let dir = Dir::new();
    dir.write("values.yaml", &format!("secret: '{SECRET}'\n")).resource("a", template, extra);
    let mut all = String::new();
    for output in ["text", "json"] {
        let mut run =
            Retune::render(&dir).file("values.yaml").args(&["--output", output, "--log-level", "debug"]);
        if redact {
            run = run.args(&["--redact", "/secret"]);
        }
        let done = run.run().exits(1);
        all.push_str(&done.stdout);
        all.push_str(&done.stderr);
    }
    all
}

#[test]
fn a_redacted_value_is_shown_neither_by_fail_nor_by_a_failing_command() {
    let plain = "{{ getv(\"/secret\") }}\n";
    for (template, extra) in [
        ("{{ fail(getv(\"/secret\")) }}\n", ""),
        ("{{ fail(\"it is \" ~ getv(\"/secret\") ~ \"!\") }}\n", ""),
        (plain, "check_cmd = 'cat {{ src }}; exit 1'"),
        (plain, "check_cmd = 'cat {{ src }} >&2; exit 1'"),
        (plain, "reload_cmd = 'cat {{ dest }}; exit 1'"),
        (plain, "[template.verify]\ncommand = 'cat {out}/a.conf; exit 1'\ntimeout = '200ms'"),
        ("{{ getv(\"/\" ~ getv(\"/secret\")) }}\n", ""),
    ] {
        let bare = logged(template, extra, false);
        let masked = logged(template, extra, true);
        assert!(!masked.contains(SHOWN), "{template} {extra}\n{masked}");
        // Otherwise the line above would prove nothing.
        assert!(bare.contains(SHOWN), "{template} {extra}\n{bare}");
    }
}

#[test]
fn a_redacted_value_is_not_shown_by_a_syntax_error() {
    for format in ["json", "yaml", "toml"] {
        let extra = format!("output_format = '{format}'");
        let masked = logged("{ [ {{ getv(\"/secret\") }}\n{{ getv(\"/secret\") }} = : [\n", &extra, true);
        assert!(!masked.contains(SHOWN), "{format}\n{masked}");
        assert!(masked.contains("output format"), "it is the syntax that failed\n{masked}");
    }
}
