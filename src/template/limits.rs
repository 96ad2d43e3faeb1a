//! The limits of one rendering.

/// The limits of one rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of the template machine; a loop over 10,000 keys uses about 200,000.
    pub fuel: u64,
    /// Bytes of output.
    pub output: usize,
    /// The deepest nesting of includes, macros and blocks.
    pub depth: usize,
    /// Bytes by which the process may grow while it renders, as far as the render can be the cause.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 100_000_000, output: 64 << 20, depth: 50, memory: 1 << 30 }
    }
}
