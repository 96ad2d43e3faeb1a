//! Expressions that sort existing nodes instead of rejecting them.

use super::Dialect;
use super::expression::{Expression, ExpressionKind};
use super::facts::Node;
use super::filter::meets;
use super::pattern::ExpressionError;

/// Expressions that apply together, in our own dialect.
#[derive(Clone, Debug)]
pub struct Selection(Vec<Expression>);

impl Selection {
    /// Parses expressions with their kind (`constraint:zone==a`); without a kind it is a constraint.
    ///
    /// # Errors
    /// One of them is invalid.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, ExpressionError> {
        let mut expressions: Vec<Expression> = Vec::new();
        let mut soft = 0;
        for text in texts {
            let (kind, text) = ExpressionKind::of(text).unwrap_or((ExpressionKind::Constraint, text));
            let expr = Expression::parse(kind, text, soft, Dialect::Plain)?;
            soft += usize::from(expr.soft.is_some());
            expressions.push(expr);
        }
        Ok(Self(expressions))
    }

    /// Returns the expressions.
    #[must_use]
    pub fn expressions(&self) -> &[Expression] {
        &self.0
    }

    /// Returns for each node whether it is chosen. Of soft expressions that no node meets together, the last ones are
    /// given up first, one by one; if a hard one fails everywhere, none is chosen.
    #[must_use]
    pub fn choose<'n>(&self, nodes: impl IntoIterator<Item = &'n Node>) -> Vec<bool> {
        let met: Vec<Option<usize>> = nodes.into_iter().map(|node| self.met(node)).collect();
        let most = met.iter().flatten().max().copied();
        met.into_iter().map(|met| met.is_some() && met == most).collect()
    }

    /// Returns how many soft expressions a node meets before the first that fails; `None`: a hard one fails.
    fn met(&self, node: &Node) -> Option<usize> {
        let mut soft = 0;
        let mut failed = false;
        for expr in &self.0 {
            let meets = || meets(expr, node, Dialect::Plain);
            match expr.soft {
                None if !meets() => return None,
                Some(_) if !failed && meets() => soft += 1,
                Some(_) => failed = true,
                None => {}
            }
        }
        Some(soft)
    }
}
