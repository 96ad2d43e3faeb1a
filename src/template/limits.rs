//! What one rendering may use before it is stopped.

/// Bounds on one rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of the template machine; a loop over 10,000 keys uses some 200,000.
    pub fuel: u64,
    /// Bytes of output.
    pub output: usize,
    /// How deep includes, macros and blocks may nest.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 100_000_000, output: 64 << 20, depth: 50 }
    }
}
