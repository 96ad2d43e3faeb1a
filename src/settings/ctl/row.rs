//! A row of the table: a command, its options, and its job.

/// The form of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptKind {
    /// On or off; takes a value only as `--x=false`.
    Switch,
    /// One word, with its default.
    Text(&'static str),
    /// An integer, with its default.
    Number(i64),
    /// A duration in Go's form, with its default.
    Span(&'static str),
    /// May be repeated; one word each time.
    Many,
}

/// One option.
#[derive(Debug)]
pub(super) struct Opt {
    /// Without dashes; the first is its main name.
    pub(super) names: &'static [&'static str],
    pub(super) kind: OptKind,
    /// A word in backquotes is the value's name in the help.
    pub(super) usage: &'static str,
}

/// The job of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Backup,
    ClusterHealth,
    Make,
    MakeDir,
    Remove,
    RemoveDir,
    Get,
    List,
    Set,
    SetDir,
    Update,
    UpdateDir,
    Watch,
    ExecWatch,
    /// Only subcommands.
    Group,
    MemberList,
    MemberAdd,
    MemberRemove,
    MemberUpdate,
    AuthEnable,
    AuthDisable,
    UserAdd,
    UserGet,
    UserList,
    UserRemove,
    UserGrant,
    UserRevoke,
    UserPasswd,
    RoleAdd,
    RoleGet,
    RoleList,
    RoleRemove,
    RoleGrant,
    RoleRevoke,
    Export,
    Import,
    Diff,
    Edit,
    CompleteKeys,
    Help,
}

/// One command.
#[derive(Debug)]
pub(super) struct Cmd {
    pub(super) name: &'static str,
    pub(super) job: Name,
    pub(super) usage: &'static str,
    /// Empty where the help shows the general text.
    pub(super) args: &'static str,
    pub(super) description: &'static str,
    pub(super) options: &'static [Opt],
    pub(super) sub: &'static [Self],
}

/// The base of every row.
pub(super) const NONE: Cmd =
    Cmd { name: "", job: Name::Group, usage: "", args: "", description: "", options: &[], sub: &[] };

pub(super) const fn switch(names: &'static [&'static str], usage: &'static str) -> Opt {
    Opt { names, kind: OptKind::Switch, usage }
}

pub(super) const fn number(names: &'static [&'static str], usage: &'static str) -> Opt {
    Opt { names, kind: OptKind::Number(0), usage }
}

pub(super) const fn text(names: &'static [&'static str], usage: &'static str) -> Opt {
    Opt { names, kind: OptKind::Text(""), usage }
}
