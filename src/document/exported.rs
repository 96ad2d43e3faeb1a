//! Names with a special meaning in a document from `ctl export`: `$key`, `$value`, `$ttl`.

use super::Node;

/// The name at the top of a document that holds the key it was read from.
pub const KEY: &str = "$key";
/// The name that holds the text of a file that expires.
pub const VALUE: &str = "$value";
/// The name that holds the seconds to live of a file or a directory.
pub const TTL: &str = "$ttl";

/// Removes the key of an exported document from it, and returns it.
///
/// # Errors
/// It is not a valid key.
pub fn own_key(document: &mut Node) -> Result<Option<String>, String> {
    let Node::Map(entries) = document else { return Ok(None) };
    let Some(at) = entries.iter().position(|(name, _)| name == KEY) else { return Ok(None) };
    let (_, value) = entries.remove(at);
    let is_whole =
        |text: &&str| text.starts_with('/') && !text.split('/').any(|part| matches!(part, "." | ".."));
    match value.scalar_text().filter(is_whole) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(format!("\"{KEY}\" must be the key of the whole document, such as /app")),
    }
}
