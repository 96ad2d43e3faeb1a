//! Cases of options, help, endpoints and members.

use super::cases::{CaseLine, line, lines, words};

pub(super) fn options() -> Vec<CaseLine> {
    let mut case = lines(
        "set /a 1 --ttl 100
        set /b --ttl 100 1
        set --ttl 100 /c 1
        set -ttl 100 /d 1
        set -ttl=100 /e 1
        set --ttl=0x10 /f 1
        set --ttl=010 /g 1
        set --ttl= /h 1
        set --ttl x /h 1
        set --ttl
        set --ttl 1.5 /h 1
        set --ttl 99999999999999999999 /h 1
        set --bad /h 1
        set --bad=x /h 1
        set /h 1 --bad
        set -r /h 1
        set ---x /h 1
        get --sort=x /a
        get --sort=false /a
        get -q=T /a
        get -qs /a
        get --quorum=maybe /a
        ls -r --recursive
        ls --recursive=false -r
        rm --recursive -r /a
        rm --with-index x /a
        watch --after-index x /a
        mk --in-order=2 /a
        rmdir --dir /a
        member list --bad
        member --bad
        cluster-health --bad
        cluster-health ignored words
        ls -r /a --sort
        get /a -q
        foo
        foo bar
        -
        help foo
        member foo
        member help foo",
    );
    case.extend(
        [
            "--bad",
            "--bad ls",
            "---x",
            "-=x",
            "-o",
            "--timeout x ls",
            "--timeout 5 ls",
            "--timeout",
            "--total-timeout 1x ls",
            "--no-sync=maybe ls",
            "-o json --output json ls",
            "-C x --peers y ls",
            "-h --help",
            "--generate-bash-completion",
        ]
        .map(|text| line(text).page()),
    );
    case.extend([line("--no-sync=1 ls --sort"), line("-- ls --sort"), line("--timeout 0s ls --sort")]);
    case
}

pub(super) fn help() -> Vec<CaseLine> {
    let mut case = lines(
        "set -h
        set --help /a 1
        set --ttl 5 -h
        get -h
        mk -h
        mkdir -help
        rm -h
        rmdir -h
        ls --help
        setdir -h
        update -h
        updatedir -h
        watch -h
        exec-watch -h
        cluster-health -h
        backup -h
        member
        member -h
        member list -h
        member add -h
        member remove -h
        member update -h
        member help list
        member help add
        help set
        h set
        help member
        help member add
        help ls
        member -h --help
        set -h --help",
    );
    case.extend(
        ["", "-h", "--help", "help", "h", "-help set", "-h -v", "--"]
            .map(|text| if text.is_empty() { words(&[]).page() } else { line(text).page() }),
    );
    case
}

pub(super) fn endpoints() -> Vec<CaseLine> {
    let mut case: Vec<CaseLine> = lines(
        "--endpoints http://127.0.0.1:1 ls
        --endpoints http://127.0.0.1:1 --no-sync ls
        --endpoints http://127.0.0.1:1 --no-sync set /a 1
        --endpoints http://127.0.0.1:1 --no-sync mk /a 1
        --endpoints http://127.0.0.1:1 --no-sync mk --in-order /a 1
        --endpoints http://127.0.0.1:1 --no-sync mkdir /a
        --endpoints http://127.0.0.1:1 --no-sync -o json rm /a
        --endpoints http://127.0.0.1:1 --no-sync member list
        --endpoints http://127.0.0.1:1 --no-sync member add a http://127.0.0.1:4
        --endpoints http://127.0.0.1:1 --no-sync member remove a
        --endpoints http://127.0.0.1:1 --no-sync member update a http://127.0.0.1:4
        --endpoints http://127.0.0.1:1 member list
        --endpoints http://127.0.0.1:1 set
        --endpoints http://127.0.0.1:1 member remove
        --endpoints http://127.0.0.1:1 cluster-health
        --endpoints http://127.0.0.1:1 --no-sync watch /a
        --endpoints http://127.0.0.1:1 --no-sync exec-watch /a -- true
        --endpoints http://localhost:1 ls
        --endpoints http://127.0.0.1:1/ ls
        --endpoints @ADDRESS@ ls
        --endpoints localhost:2379 ls
        --endpoints localhost:2379 --no-sync ls
        --endpoints foo://localhost:1 ls
        --endpoints http:// --no-sync ls
        --endpoints http://127.0.0.1:99999 ls
        --endpoints http://[::1 ls
        --endpoints http://127.0.0.1:x ls
        --endpoints %zz ls
        --endpoints :x ls
        --endpoints @URL@/ ls --sort
        --endpoints @URL@/foo ls
        --endpoints @URL@/foo --no-sync ls
        --debug --endpoints @URL@/ --no-sync ls
        --debug --endpoints @URL@ ls
        --endpoints @URL@, ls
        --peers @URL@ ls
        -C @URL@ ls
        --endpoint @URL@ ls
        -endpoint @URL@ ls
        --endpoint @URL@ --endpoints http://127.0.0.1:1 ls
        --peers @URL@ --endpoint http://127.0.0.1:1 ls
        --endpoints @URL@ -u a:b --debug ls
        --endpoints @URL@ -username a:b ls
        --endpoints @URL@ --cert-file /nope ls
        --endpoints @URL@ --key-file /nope ls
        --endpoints @URL@ --ca-file /nope ls
        --endpoints @URL@ --cert-file /nope --key-file /nope ls
        --endpoints @URL@ --timeout 1ns ls
        --endpoints @URL@ --timeout 1ns --no-sync rm /nope
        --endpoints @URL@ --total-timeout 1ns ls
        --endpoints @URL@ --total-timeout 1ns --no-sync ls
        --endpoints @URL@ --total-timeout 1ns --no-sync member list",
    )
    .into_iter()
    .map(CaseLine::bare)
    .collect();
    case.extend(unusual_endpoints());
    case
}

/// Endpoints that no simple line can name, and those of the environment.
fn unusual_endpoints() -> Vec<CaseLine> {
    vec![
        words(&["--endpoints", " http://127.0.0.1:1", "ls"]).bare(),
        words(&["--endpoints", "http://a b", "ls"]).bare(),
        line("--endpoints http://127.0.0.1:1,http://127.0.0.1:1 ls").bare(),
        line("ls").bare().env("ETCDCTL_PEERS", "@URL@"),
        line("ls").bare().env("ETCDCTL_ENDPOINT", "@URL@"),
        line("--endpoint @URL@ ls").bare().env("ETCDCTL_ENDPOINTS", "http://127.0.0.1:1"),
        line("--peers @URL@ ls").bare().env("ETCDCTL_ENDPOINT", "http://127.0.0.1:1"),
        line("ls").bare().env("ETCDCTL_ENDPOINTS", "@URL@").env("ETCDCTL_PEERS", "http://127.0.0.1:1"),
        line("ls").env("ETCDCTL_USERNAME", "a:b"),
        line("ls").env("ETCDCTL_CERT_FILE", "/nope"),
        line("ls").env("ETCDCTL_CA_FILE", "/nope"),
    ]
}

pub(super) fn members() -> Vec<CaseLine> {
    lines(
        "member list
        -o json member list
        --debug member list
        cluster-health
        --debug cluster-health
        member list x
        member add
        member add a
        member add a b c
        member remove
        member remove a b
        member update
        member update a
        member remove @NAME@
        member remove 1234
        member update 1234 http://127.0.0.1:1
        member update @NAME@ http://127.0.0.1:1
        member update 1234 xx
        member update 1234 http://127.0.0.1
        member update 1234 http://127.0.0.1:1/x
        member update 1234 http://127.0.0.1:1,foo
        member add n foo://x:1
        member add n http://127.0.0.1:1,http://127.0.0.1:2
        member add n http://127.0.0.1
        member add n http://127.0.0.1:1/x
        member add n :foo",
    )
}

/// A cluster that lost its quorum because an added member never started.
pub(super) fn without_quorum() -> Vec<CaseLine> {
    let mut case = lines(
        "member add new http://127.0.0.1:9
        get /nope
        --timeout 1s set /a 1
        --timeout 1s --no-sync mk /a 1
        --no-sync --timeout 9s --total-timeout 300ms set /a 1
        --timeout 1s get -q /a
        --timeout 1s member add n2 http://127.0.0.1:8",
    );
    // Two members, and their order by id is random.
    case.extend(["member list", "cluster-health"].map(|text| line(text).any_order()));
    case
}
