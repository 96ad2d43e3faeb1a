//! Functions and filters by name, in one environment, and the types of their arguments.

use std::collections::BTreeSet;

use minijinja::functions::Function;
use minijinja::value::{ArgType, FunctionArgs, FunctionResult, Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::current;
use super::error::fail;
use super::number::{self, defined};

/// An environment that is being filled.
pub(super) struct Registry {
    pub(super) env: Environment<'static>,
    pub(super) functions: BTreeSet<&'static str>,
    pub(super) filters: BTreeSet<&'static str>,
}

impl Registry {
    pub(super) fn function<F, Rv, Args>(&mut self, name: &'static str, f: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.functions.insert(name);
        let function = Value::from_function(f);
        self.env.add_function(name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            current::made(function.call(state, &given.into_values())?)
        });
    }

    pub(super) fn filter<F, Rv, Args>(&mut self, name: &'static str, f: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.filters.insert(name);
        self.engine_filter(name, f);
    }

    /// Registers a filter that the engine has already, so that the size of its results is checked, too.
    pub(super) fn engine_filter<F, Rv, Args>(&mut self, name: &'static str, f: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        let filter = Value::from_function(f);
        self.env.add_filter(name, move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            current::made(filter.call(state, &given.into_values())?)
        });
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

/// A list argument; text is rejected, since a list of its characters is never intended.
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
