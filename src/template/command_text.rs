//! `{{.src}}` and `{{.dest}}` in a resource's commands.

/// Replaces the placeholders in a check or reload command by the paths, quoted for the shell when necessary.
///
/// Inside quotes that the user wrote around a placeholder, the path is escaped for those quotes instead.
///
/// # Errors
/// The text holds any other `{{…}}`, or one without its end.
pub fn expand_command(text: &str, src: &str, dest: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + dest.len());
    let mut quote = Quote::None;
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        quote = quote.after(&rest[..at]);
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let Some(end) = body.find("}}") else {
            return Err(format!("the command `{text}` has a `{{{{` without its `}}}}`"));
        };
        let name = body[..end].trim_matches('-').trim();
        let path = match name.strip_prefix('.').unwrap_or(name) {
            "src" => src,
            "dest" => dest,
            _ => {
                return Err(format!(
                    "`{{{{{}}}}}` is not known in a command: use {{{{.src}}}} or {{{{.dest}}}}",
                    &body[..end]
                ));
            }
        };
        quote.put(&mut out, path);
        rest = &body[end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The shell quotes that are open at a point of the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl Quote {
    fn after(mut self, text: &str) -> Self {
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            self = match (self, character) {
                (Self::None, '\'') => Self::Single,
                (Self::None, '"') => Self::Double,
                (Self::Single, '\'') | (Self::Double, '"') => Self::None,
                (Self::None | Self::Double, '\\') => {
                    characters.next();
                    self
                }
                _ => self,
            };
        }
        self
    }

    fn put(self, out: &mut String, path: &str) {
        match self {
            Self::None => out.push_str(&shell_quote(path)),
            Self::Single => out.push_str(&path.replace('\'', r"'\''")),
            Self::Double => {
                for character in path.chars() {
                    if matches!(character, '"' | '\\' | '$' | '`') {
                        out.push('\\');
                    }
                    out.push(character);
                }
            }
        }
    }
}

/// Returns text as one word of a POSIX shell, without quotes if it needs none.
pub(super) fn shell_quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_placeholder_becomes_the_path() {
        for text in
            ["nginx -t -c {{.src}}", "nginx -t -c {{ .src }}", "nginx -t -c {{ src }}", "nginx -t -c {{src}}"]
        {
            assert_eq!(
                expand_command(text, "/tmp/.x-1", "/d").as_deref(),
                Ok("nginx -t -c /tmp/.x-1"),
                "{text}"
            );
        }
        assert_eq!(expand_command("cp {{.src}} {{.dest}}.bak", "/s", "/d").as_deref(), Ok("cp /s /d.bak"));
        assert_eq!(expand_command("true", "/s", "/d").as_deref(), Ok("true"));
    }

    #[test]
    fn a_path_cannot_escape_its_quotes() {
        let path = "/a b'$(x)\"";
        for (text, want) in [
            ("t {{.src}}", r#"t '/a b'\''$(x)"'"#),
            ("t '{{.src}}'", r#"t '/a b'\''$(x)"'"#),
            ("t \"{{.src}}\"", r#"t "/a b'\$(x)\"""#),
        ] {
            assert_eq!(expand_command(text, path, "/d").as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn the_shell_reads_the_path_back_whole() {
        let path = "/tmp/a b'c\"d$HOME`x`\\e";
        for text in ["printf %s {{.src}}", "printf %s '{{.src}}'", "printf %s \"{{.src}}\""] {
            let line = expand_command(text, path, "/d").unwrap();
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), path, "{line}");
        }
    }

    #[test]
    fn any_other_placeholder_is_named_in_the_error() {
        assert!(expand_command("x {{ .Src }}", "/s", "/d").unwrap_err().contains("`{{ .Src }}`"));
        assert!(expand_command("x {{getv \"/a\"}}", "/s", "/d").unwrap_err().contains("getv"));
        assert!(expand_command("x {{.src", "/s", "/d").is_err());
    }
}
