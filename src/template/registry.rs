//! All functions and filters by name, in one environment.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use minijinja::functions::Function;
use minijinja::value::{ArgType, FunctionArgs, FunctionResult};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::error::fail;
use super::{
    backends, builtins, convert, crypt, dates, generation, lists, math, net, number, pattern, store, system,
    text, words,
};

/// An environment that is being filled.
pub(super) struct Registry {
    env: Environment<'static>,
    pub(super) functions: BTreeSet<&'static str>,
    pub(super) filters: BTreeSet<&'static str>,
}

impl Registry {
    /// Returns a filled environment. Filling is slow, so it happens once and every engine gets a copy.
    pub(super) fn build() -> Environment<'static> {
        Self::filled().env.clone()
    }

    /// Returns the shared registry, filled once.
    pub(super) fn filled() -> &'static Self {
        static FILLED: OnceLock<Registry> = OnceLock::new();
        FILLED.get_or_init(Self::fill)
    }

    fn fill() -> Self {
        let mut all = Self { env: Environment::new(), functions: BTreeSet::new(), filters: BTreeSet::new() };
        for register in [
            backends::register,
            builtins::register,
            convert::register,
            crypt::register,
            dates::register,
            generation::register,
            lists::register,
            math::register,
            net::register,
            pattern::register,
            store::register,
            system::register,
            text::register,
            words::register,
        ] {
            register(&mut all);
        }
        all
    }

    pub(super) fn function<F, Rv, Args>(&mut self, name: &'static str, f: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.functions.insert(name);
        self.env.add_function(name, f);
    }

    pub(super) fn filter<F, Rv, Args>(&mut self, name: &'static str, f: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.filters.insert(name);
        self.env.add_filter(name, f);
    }

    /// Registers a function and a filter, whose value is the first argument.
    pub(super) fn both<F, Rv, Args>(&mut self, name: &'static str, f: F)
    where
        F: Function<Rv, Args> + Clone,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.function(name, f.clone());
        self.filter(name, f);
    }

    /// Returns the names of all functions and of all filters.
    #[cfg(test)]
    pub(super) fn names() -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
        let all = Self::fill();
        (all.functions, all.filters)
    }
}

/// A text argument: any value that prints as text, as it would print.
pub(super) struct Text(pub(super) String);

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> ArgType<'a> for Text {
    type Output = Self;

    fn from_value(value: Option<&'a Value>) -> Result<Self, Error> {
        let value = value.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
        defined(value)?;
        if value.is_kwargs() {
            return Err(Error::new(ErrorKind::TooManyArguments, "this takes no named arguments"));
        }
        number::text(value).map(Self)
    }

    fn from_value_owned(value: Value) -> Result<Self, Error> {
        Self::from_value(Some(&value))
    }
}

/// An integer argument: a number, or text that is one.
pub(super) struct Int(pub(super) i64);

impl<'a> ArgType<'a> for Int {
    type Output = Self;

    fn from_value(value: Option<&'a Value>) -> Result<Self, Error> {
        let value = value.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
        defined(value)?;
        number::to_i64(value)
            .map(Self)
            .ok_or_else(|| fail(format!("{} is not an integer", number::show(value))))
    }

    fn from_value_owned(value: Value) -> Result<Self, Error> {
        Self::from_value(Some(&value))
    }
}

/// A list argument; text is rejected, since its characters are hardly meant.
pub(super) struct List(pub(super) Vec<Value>);

impl<'a> ArgType<'a> for List {
    type Output = Self;

    fn from_value(value: Option<&'a Value>) -> Result<Self, Error> {
        let value = value.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
        number::items(value).map(Self)
    }

    fn from_value_owned(value: Value) -> Result<Self, Error> {
        Self::from_value(Some(&value))
    }
}

/// Rejects an undefined value.
pub(super) fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}
