//! Cases of users, roles and permissions.

use super::cases::{CaseLine, line, lines, words};

/// Users and roles while authentication is disabled.
pub(super) fn users_and_roles() -> Vec<CaseLine> {
    let mut case = lines(
        "user
        user help grant
        user add
        user add --help
        user grant -h
        user foo
        user help foo
        role
        role add -h
        role list -h
        role grant -h
        role revoke -h
        role foo
        auth
        auth enable -h
        auth foo
        user list x
        user list
        role list x
        role list
        user get
        user get a b
        user get nobody
        user add bob:pw
        user add bob:pw
        user add frank:
        user add a:b:c
        user add --bad x
        user remove
        user remove nobody
        user passwd
        user passwd a b
        user get bob
        user grant bob
        user grant --roles r1
        user grant nobody --roles r1
        user grant bob --roles r1 --roles r2,r3
        user grant --roles r1 bob
        user revoke bob --roles zz
        user revoke nobody --roles zz
        user get bob
        user revoke bob --roles r2,r3
        user get bob
        role add
        role add a b
        role add r1
        role add r1
        role add root
        user get bob
        -o json user get bob
        role get
        role get nope
        role get r1
        role get root
        role grant r1
        role grant r1 --path a --read
        role grant r1 --path /a//b --read
        role grant r1 --path /a/./ --read
        role grant r1 --path /b/../c --read
        role grant r1 --path /a/*
        role grant r1 --path /a/* --read --write
        role grant r1 --path /a/* --read --rw
        role grant --path /a --read
        role grant nope --path /a --read
        role grant r1 --path /a/* --rw
        role grant r1 --path /a/* --read
        role grant r1 --path /a/* --write
        role grant r1 --path /b/ --readwrite
        role grant --path /z --rw=true r1
        role grant r1 --read /q
        role grant root --path /a --read
        role get r1
        -o extended role get r1
        role revoke r1 --path /zz --read
        role revoke r1 --path /a/* --write
        role revoke root --path /a/* --write
        role revoke nope --path /a/* --write
        role get r1
        role add r2
        user grant bob --roles r2
        user get bob
        role list
        user list
        role remove
        role remove r2
        role remove r2
        role remove root
        user get bob
        user remove bob
        user remove bob
        user list
        --debug user list
        --debug role add r7
        --debug role grant r7 --path /x --read
        --debug user grant a --roles r1
        --no-sync user list
        user get a/b
        role get a/b
        user add a/b:x
        user add :pw
        user remove",
    );
    case.extend([
        words(&["user", "add", "a b%ü:x"]),
        words(&["user", "get", "a b%ü"]),
        words(&["user", "get", ""]),
        words(&["role", "get", ""]),
        words(&["user", "remove", ""]),
        line("user list"),
        line("user add carl").stdin(b"secret\n"),
        line("user add dora"),
        line("user add erik").stdin(b"no line end"),
        line("user add gus").stdin(b"\n"),
        line("user passwd carl").stdin(b"other\nmore\n"),
        line("user passwd carl"),
        line("user passwd newcomer").stdin(b"pw\n"),
        line("user list"),
        line("--endpoints http://127.0.0.1:1 user list").bare(),
        line("--endpoints http://127.0.0.1:1 user list x").bare(),
        line("--endpoints http://127.0.0.1:1 user add x").bare(),
        line("--endpoints http://127.0.0.1:1 user passwd x").bare(),
        line("--endpoints http://127.0.0.1:1 auth enable").bare(),
        line("--endpoints http://127.0.0.1:1 --no-sync auth enable").bare(),
        line("--endpoints http://127.0.0.1:1 --no-sync role list").bare(),
        line("--endpoints http://127.0.0.1:1 --no-sync role grant r --path /a --read").bare(),
    ]);
    case
}

/// Permissions while authentication is enabled.
pub(super) fn authentication() -> Vec<CaseLine> {
    let mut case = lines(
        "auth disable
        auth enable
        auth enable x
        set /open 1
        set /a/x 1
        user add root:pw
        user get root
        role add r1
        role grant r1 --path /a/* --rw
        user add bob:one
        user grant bob --roles r1
        auth enable
        auth enable
        -u root:pw auth enable
        user list
        role list
        role get r1
        user get bob
        role add r5
        user add zed:x
        user remove bob
        role remove r1
        user grant bob --roles root
        auth disable
        -u bob:one user list
        -u bob:one role list
        -u root:no user list
        -u root:no role list
        -u nobody:pw role list
        -u root:pw user list
        -u root:pw role list
        -u root:pw role get guest
        set /open 2
        -u bob:one set /open 3
        -u bob:one get /open
        -u bob:one get /a/x
        -u bob:no get /a/x
        -u nobody:one get /a/x
        -u bob:one set /a/x 2
        -u bob:one ls /a
        -u bob:one ls --sort -r /a
        -u bob:one ls --sort -r /a/
        -u bob:one rm /a/x
        -u bob:one rm -r /a
        -u bob:one mk /a/y 1
        -u bob:one mkdir /b
        -u root:pw set /a/z 1
        -u bob:one member list
        member list
        member remove 1234
        member add n http://127.0.0.1:1
        -u bob:one member add n http://127.0.0.1:1
        cluster-health
        -u root:pw role remove guest
        get /open
        ls
        set /open 4
        -u root:pw get /open
        -u root:pw role add guest
        -u root:pw role grant guest --path * --read
        -u root:pw role grant guest --path /* --read
        ls --sort -r /
        set /open 5
        -u root:pw user remove root
        -u root:pw user revoke root --roles root
        -u root:pw user get root",
    );
    case.extend([
        line("-u root user get root").stdin(b"pw\n"),
        line("-u root user get root").stdin(b"pw"),
        line("-u root user get root"),
        line("user get root").env("ETCDCTL_USERNAME", "root:pw"),
        line("-u root user passwd bob").stdin(b"pw\ntwo\n"),
        line("-u root:pw user passwd bob").stdin(b"two\n"),
        line("-u bob:one get /a/z"),
        line("-u bob:two get /a/z"),
        line("-u root:pw role revoke r1 --path /a/* --read"),
        line("-u bob:two get /a/z"),
        line("-u root:pw auth disable"),
        line("get /a/z"),
        line("-u who:cares get /a/z"),
        line("auth disable"),
        line("user remove root"),
        line("auth enable"),
    ]);
    case
}
