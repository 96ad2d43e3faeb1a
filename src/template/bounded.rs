//! Makes a template check the size of what its operators build.
//!
//! `~`, `+`, `*` and slices run inside the engine, which calls nothing of ours meanwhile: thirty times `x ~ x` makes
//! gigabytes of one letter. So each chain of these operators is put into a call, before the engine compiles the text:
//! `{{ a ~ b }}` becomes `{{ __limit(a ~ b) }}`. Lines stay where they are. A text that does not parse stays as it is;
//! the engine reports its mistake.

use std::borrow::Cow;
use std::ops::Range;

use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, Expr, Spanned, Stmt};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

use super::error::over_limit;

/// The function that checks a value and returns it.
pub(super) const FUNCTION: &str = "__limit";
/// How many operators of a chain are evaluated before the next check.
const MAX_UNCHECKED: usize = 8;
/// The most operators, filters and attributes in a row. The engine recurses on each of them.
const MAX_CHAIN: usize = 500;
/// The most bytes of constant texts like `'x' * 1000`, which the engine builds when it compiles a template.
const MAX_CONSTANT_BYTES: usize = 16 << 20;

/// Returns the text to compile.
///
/// # Errors
/// An expression that is too long for the engine, or whose constant value is too large.
pub(super) fn bounded(source: &str) -> Result<Cow<'_, str>, Error> {
    if !source.contains(['{', '~', '+', '*']) {
        return Ok(Cow::Borrowed(source));
    }
    if !has_operators(source)? {
        return Ok(Cow::Borrowed(source));
    }
    let Ok(template) = parse(source, "template", SyntaxConfig::default()) else {
        return Ok(Cow::Borrowed(source));
    };
    let mut found = Found::default();
    found.statement(&template);
    if found.constants > MAX_CONSTANT_BYTES {
        return Err(over_limit("a constant text of the template is too large"));
    }
    Ok(found.insert_into(source))
}

/// Returns whether the template has operators whose result may be larger than its operands.
fn has_operators(source: &str) -> Result<bool, Error> {
    let mut found = false;
    // How many operators follow each other, in each open bracket.
    let mut chains: Vec<usize> = vec![0];
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let Ok((token, span)) = token else { return Ok(false) };
        match token {
            Token::VariableStart | Token::BlockStart => chains = vec![0],
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => chains.push(0),
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                chains.pop();
                // A call or an index is a link of a chain, too.
                count(&mut chains);
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            Token::Tilde | Token::Plus | Token::Mul | Token::Colon => {
                found = true;
                count(&mut chains);
            }
            Token::Minus
            | Token::Div
            | Token::FloorDiv
            | Token::Mod
            | Token::Pow
            | Token::Pipe
            | Token::Dot => {
                count(&mut chains);
            }
            Token::Ident("and" | "or" | "not" | "if" | "else" | "is") => count(&mut chains),
            _ => {}
        }
        if chains.last().is_some_and(|chain| *chain > MAX_CHAIN) {
            let line = span.start_line;
            let what = format!("more than {MAX_CHAIN} operators in a row in line {line}; use several `set`");
            return Err(Error::new(ErrorKind::SyntaxError, what));
        }
    }
    Ok(found)
}

fn count(chains: &mut [usize]) {
    if let Some(chain) = chains.last_mut() {
        *chain += 1;
    }
}

/// The expressions to check.
#[derive(Default)]
struct Found {
    spans: Vec<Range<usize>>,
    /// Bytes of constant texts.
    constants: usize,
}

impl Found {
    /// Puts each expression into a call.
    fn insert_into(self, source: &str) -> Cow<'_, str> {
        if self.spans.is_empty() {
            return Cow::Borrowed(source);
        }
        // At one place, a call ends before the next one begins.
        let ends = self.spans.iter().map(|span| (span.end, false));
        let mut places: Vec<(usize, bool)> =
            ends.chain(self.spans.iter().map(|span| (span.start, true))).collect();
        places.sort_unstable();
        let mut out = String::with_capacity(source.len() + places.len() * (FUNCTION.len() + 2) / 2);
        let mut copied = 0;
        for (at, begins) in places {
            let Some(text) = source.get(copied..at) else { return Cow::Borrowed(source) };
            out.push_str(text);
            copied = at;
            if begins {
                out.push_str(FUNCTION);
            }
            out.push(if begins { '(' } else { ')' });
        }
        out.push_str(&source[copied..]);
        Cow::Owned(out)
    }

    fn statements(&mut self, list: &[Stmt<'_>]) {
        list.iter().for_each(|stmt| self.statement(stmt));
    }

    fn statement(&mut self, stmt: &Stmt<'_>) {
        match stmt {
            Stmt::Template(all) => self.statements(&all.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(each) => {
                self.expression(&each.iter);
                self.option(each.filter_expr.as_ref());
                self.statements(&each.body);
                self.statements(&each.else_body);
            }
            Stmt::IfCond(cond) => {
                self.expression(&cond.expr);
                self.statements(&cond.true_body);
                self.statements(&cond.false_body);
            }
            Stmt::WithBlock(with) => {
                with.assignments.iter().for_each(|(_, value)| self.expression(value));
                self.statements(&with.body);
            }
            Stmt::Set(set) => self.expression(&set.expr),
            Stmt::SetBlock(set) => {
                self.option(set.filter.as_ref());
                self.statements(&set.body);
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled);
                self.statements(&escape.body);
            }
            Stmt::FilterBlock(filter) => {
                self.expression(&filter.filter);
                self.statements(&filter.body);
            }
            Stmt::Block(block) => self.statements(&block.body),
            Stmt::Import(import) => self.expression(&import.expr),
            Stmt::FromImport(import) => self.expression(&import.expr),
            Stmt::Extends(extends) => self.expression(&extends.name),
            Stmt::Include(include) => self.expression(&include.name),
            Stmt::Macro(own) => {
                self.expressions(&own.defaults);
                self.statements(&own.body);
            }
            Stmt::CallBlock(call) => {
                self.expression(&call.call.expr);
                self.arguments(&call.call.args);
                self.expressions(&call.macro_decl.defaults);
                self.statements(&call.macro_decl.body);
            }
            Stmt::Do(call) => {
                self.expression(&call.call.expr);
                self.arguments(&call.call.args);
            }
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
        }
    }

    fn expressions(&mut self, list: &[Expr<'_>]) {
        list.iter().for_each(|expr| self.expression(expr));
    }

    fn option(&mut self, expr: Option<&Expr<'_>>) {
        expr.into_iter().for_each(|expr| self.expression(expr));
    }

    fn arguments(&mut self, list: &[CallArg<'_>]) {
        for argument in list {
            match argument {
                CallArg::Pos(expr) | CallArg::Kwarg(_, expr) => self.expression(expr),
                CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => self.expression(expr),
            }
        }
    }

    fn expression(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::BinOp(operation) => self.chain(operation),
            Expr::Slice(slice) => {
                // The span of a slice begins at its bracket when its operand is an attribute or an item.
                if let Some(start) = start(&slice.expr) {
                    self.spans.push(start..slice.span().end_offset as usize);
                }
                self.expression(&slice.expr);
                for bound in [&slice.start, &slice.stop, &slice.step] {
                    self.option(bound.as_ref());
                }
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|op| self.expression(&op.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                self.option(choice.false_expr.as_ref());
            }
            Expr::Filter(filter) => {
                self.option(filter.expr.as_ref());
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args);
            }
            Expr::GetAttr(attr) => self.expression(&attr.expr),
            Expr::GetItem(item) => {
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
            }
            Expr::Call(call) => {
                self.expression(&call.expr);
                self.arguments(&call.args);
            }
            Expr::List(list) => self.expressions(&list.items),
            Expr::Tuple(tuple) => self.expressions(&tuple.items),
            Expr::Map(map) => {
                self.expressions(&map.keys);
                self.expressions(&map.values);
            }
        }
    }

    /// Checks the result of a chain of operators, and that of every few on the way to it: of `a ~ b ~ c`, that is
    /// `(a ~ b) ~ c`.
    fn chain(&mut self, last: &Spanned<BinOp<'_>>) {
        self.constants = self.constants.saturating_add(constant(last).unwrap_or(0));
        let mut unchecked = MAX_UNCHECKED;
        let mut next = Some(last);
        while let Some(operation) = next {
            self.expression(&operation.right);
            if may_grow(operation) {
                unchecked += 1;
                if unchecked > MAX_UNCHECKED {
                    let span = operation.span();
                    self.spans.push(span.start_offset as usize..span.end_offset as usize);
                    unchecked = 0;
                }
            }
            next = match &operation.left {
                Expr::BinOp(left) => Some(left),
                other => {
                    self.expression(other);
                    None
                }
            };
        }
    }
}

/// Returns whether the result may be larger than the operands. A number can only be added to a number.
fn may_grow(operation: &BinOp<'_>) -> bool {
    let is_number = |expr: &Expr<'_>| matches!(expr, Expr::Const(number) if number.value.is_number());
    match operation.op {
        BinOpKind::Concat | BinOpKind::Mul => true,
        BinOpKind::Add => !is_number(&operation.left) && !is_number(&operation.right),
        _ => false,
    }
}

/// Returns how many bytes a constant text will have, `None` for what is not constant or no text.
fn constant(operation: &BinOp<'_>) -> Option<usize> {
    let text = |expr: &Expr<'_>| match expr {
        Expr::Const(text) => text.value.as_str().map(str::len),
        Expr::BinOp(inner) => constant(inner),
        _ => None,
    };
    let times = |expr: &Expr<'_>| match expr {
        Expr::Const(number) => number.value.as_usize(),
        _ => None,
    };
    let BinOp { op, left, right } = operation;
    match op {
        BinOpKind::Mul => {
            let (length, times) = text(left).zip(times(right)).or_else(|| text(right).zip(times(left)))?;
            Some(length.saturating_mul(times))
        }
        BinOpKind::Concat | BinOpKind::Add => {
            let (left, right) = (text(left), text(right));
            (left.is_some() || right.is_some()).then(|| left.unwrap_or(0).saturating_add(right.unwrap_or(0)))
        }
        _ => None,
    }
}

/// Returns where an expression begins that is a name with attributes, items and slices.
fn start(expr: &Expr<'_>) -> Option<usize> {
    match expr {
        Expr::Var(name) => Some(name.span().start_offset as usize),
        Expr::GetAttr(attr) => start(&attr.expr),
        Expr::GetItem(item) => start(&item.expr),
        Expr::Slice(slice) => start(&slice.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chain_of_operators_is_put_into_one_call() {
        for (source, want) in [
            ("{{ a ~ b }}", "{{ __limit(a ~ b) }}"),
            ("a ~ b {{ 'a ~ b' }} {# a ~ b #}", "a ~ b {{ 'a ~ b' }} {# a ~ b #}"),
            (
                "{% raw %}{{ a ~ b }}{% endraw %}{{ a + b }}",
                "{% raw %}{{ a ~ b }}{% endraw %}{{ __limit(a + b) }}",
            ),
            ("é{{- (a ~ (b + c)) * d -}}", "é{{- __limit((a ~ (__limit(b + c))) * d) -}}"),
            ("{{ a ~ b ~ c|upper }}", "{{ __limit(a ~ b ~ c|upper) }}"),
            (
                "{{ loop.index + 1 }}{{ 1 + n }}{{ n - 1 }}{{ -n / 2 }}",
                "{{ loop.index + 1 }}{{ 1 + n }}{{ n - 1 }}{{ -n / 2 }}",
            ),
            ("{% set a, b = x ~ y, [p * 2] %}", "{% set a, b = __limit(x ~ y), [__limit(p * 2)] %}"),
            (
                "{% set ns.a = x[1:]\n ~ y.z[:2] %}",
                "{% set ns.a = __limit(__limit(x[1:])\n ~ __limit(y.z[:2])) %}",
            ),
            (
                "{% for a in b + c if a ~ d %}{% endfor %}",
                "{% for a in __limit(b + c) if __limit(a ~ d) %}{% endfor %}",
            ),
            (
                "{{ f(x=a ~ b)|g(c ~ d) if e ~ f else h ~ i }}",
                "{{ f(x=__limit(a ~ b))|g(__limit(c ~ d)) if __limit(e ~ f) else __limit(h ~ i) }}",
            ),
            (
                "{% macro m(a, b=c ~ d) %}{{ a ~ b }}{% endmacro %}",
                "{% macro m(a, b=__limit(c ~ d)) %}{{ __limit(a ~ b) }}{% endmacro %}",
            ),
            ("{{ a ~ }}", "{{ a ~ }}"),
        ] {
            assert_eq!(bounded(source).unwrap(), want);
        }
        let long = format!("{{{{ a{} }}}}", " ~ a".repeat(20));
        assert_eq!(bounded(&long).unwrap().matches(FUNCTION).count(), 3);
    }

    #[test]
    fn an_endless_chain_and_large_constants_are_refused_before_the_engine_sees_them() {
        for link in [" + a", "|a", ".a", "()", "[0]", " or a", " if a else a"] {
            let text = format!("x\n{{{{ a{} }}}}", link.repeat(100_000));
            let error = bounded(&text).unwrap_err();
            assert!(error.to_string().contains("in a row in line 2"), "{link}: {error}");
        }
        let list = format!("{{{{ [{}] }}}}", "a ~ b, f(x)|g, ".repeat(2_000));
        assert!(bounded(&list).unwrap().contains(FUNCTION));
        for text in ["{{ 'x' * 99999999 }}", "{{ ('x' * 4000) * 9000 ~ y }}"] {
            assert!(bounded(text).unwrap_err().to_string().contains("constant text"), "{text}");
        }
    }
}
