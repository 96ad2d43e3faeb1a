//! Bugs that tests plant, to show that a simulation finds them.
//!
//! Owns: the macro that marks where production code can be wrong, and which bug is planted in a thread. A planted bug
//! that is not found shows a gap in the simulation.
//! Promises: outside of tests the macro is the right code alone.
//! Leaves out: which bugs there are; each simulation lists its own.

/// `fault!(Name, wrong, right)` is `right`, or `wrong` while a test plants `Name`. `fault!(Name, wrong)` does `wrong` in
/// addition, but only then.
#[cfg(not(test))]
macro_rules! fault {
    ($name:ident, $wrong:expr, $right:expr) => {
        $right
    };
    ($name:ident, $wrong:expr) => {};
}

#[cfg(test)]
macro_rules! fault {
    ($name:ident, $wrong:expr, $right:expr) => {
        if crate::fault::planted() == Some(stringify!($name)) { $wrong } else { $right }
    };
    ($name:ident, $wrong:expr) => {
        if crate::fault::planted() == Some(stringify!($name)) {
            $wrong;
        }
    };
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Returns the bug of this thread.
#[cfg(test)]
pub(crate) fn planted() -> Option<&'static str> {
    PLANTED.get()
}

/// Plants a bug in this thread, or removes it.
#[cfg(test)]
pub(crate) fn plant(name: Option<&'static str>) {
    PLANTED.set(name);
}
