//! What a row of the table says: a command, its options, and which job it is.

/// What an option's words look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptKind {
    /// On or off; takes a value only as `--x=false`.
    Switch,
    /// One word; the default.
    Text(&'static str),
    /// A whole number; zero when absent unless said.
    Number(i64),
    /// A time span as Go writes it; the default.
    Span(&'static str),
    /// One word each time.
    Many,
}

/// One option.
#[derive(Debug)]
pub(super) struct Opt {
    /// Without dashes; the first is the one it goes by.
    pub(super) names: &'static [&'static str],
    pub(super) kind: OptKind,
    /// A word in backquotes is what the help calls the value.
    pub(super) usage: &'static str,
}

/// Which job a command is.
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
    /// Nothing but its subcommands.
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
    /// Empty where the help shows the general words.
    pub(super) args: &'static str,
    pub(super) description: &'static str,
    pub(super) options: &'static [Opt],
    pub(super) sub: &'static [Self],
}

/// No command of its own: what every row begins with.
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
