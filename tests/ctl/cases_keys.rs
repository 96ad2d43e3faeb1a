//! Cases of keys and directories.

use super::cases::{CaseLine, line, lines, words};

pub(super) fn files() -> Vec<CaseLine> {
    let mut case = lines(
        "set /a 1
        -o extended set /a 2
        -o json set /a 3
        -o xml set /a 4
        --output=extended get /a
        get /a
        get a
        get /a/
        get --sort /a
        get -q /a
        get --quorum --sort /a
        get /a extra words
        get /nope
        -o json get /nope
        -o extended get /nope
        set --ttl 100 /t 1
        -o extended set --ttl 100 /t 2
        -o json set --ttl 100 /t 3
        -o json get /t
        update /t 4
        -o json update --ttl 50 /t 5
        -o extended update /a 5
        update /nope 1
        mk /a 1
        mk /b 1
        -o json mk /c 1
        -o extended mk --ttl 100 /e 1
        mk --in-order /q 1
        -o extended mk --in-order /q 2
        -o json mk --in-order --ttl 60 /q 3
        mk --in-order /a 1
        set /q 1
        update /q 1
        set / 1
        mk / 1
        update / 1
        set /a/b 1
        get /a/b
        set /x/y/z 1
        set //x2//b/../c/ 1
        get /x2/c
        set --ttl 0 /a 1
        set --ttl -5 /a 1
        set --ttl 9999999999 /a 1
        set --ttl 5 --ttl 70 /a 1
        --no-sync set /a 9
        --no-sync=true get /a
        set
        get
        mk
        update",
    );
    case.extend([
        line("set /in").stdin(b"from stdin\n"),
        line("get /in"),
        line("mk /in2").stdin(b"x"),
        line("update /in").stdin(b"\n"),
        line("-o json get /in"),
        line("set /in"),
        line("mk /in3"),
        line("update /in"),
    ]);
    case
}

pub(super) fn directories() -> Vec<CaseLine> {
    let mut case = lines(
        "mkdir /d
        mkdir /d
        mkdir --ttl 100 /e
        -o json mkdir /f
        -o extended mkdir /g
        -o xml mkdir /h
        mkdir /
        mkdir
        setdir /s
        setdir /s
        setdir --ttl 100 /s
        -o json setdir --ttl 100 /s2
        -o extended setdir /s3
        set /file 1
        setdir /file
        setdir
        updatedir --ttl 100 /d
        updatedir /d
        -o json updatedir --ttl 5 /d
        -o json updatedir /d
        -o extended updatedir /d
        updatedir /nope
        updatedir
        get /d
        -o json get /d
        -o extended get /d
        set /d/x/y 1
        set /d/z 1
        set /_hidden/k 1
        ls --sort
        ls --sort /
        ls --sort /d
        ls --sort -p /d
        ls --sort --recursive
        ls --sort --recursive -p /
        ls /d/z
        ls -p /d/z
        ls /nope
        ls --sort -q /d
        ls /_hidden
        ls --recursive=false --sort /d
        -o json ls --sort /d
        -o extended ls /d
        -o json ls /d/z
        -o extended ls /d/z
        -o xml ls /d
        -o json ls --sort -r /d",
    );
    case.extend(["ls", "ls /", "ls -r", "ls -r -p /d", "ls /d /nope"].map(|text| line(text).any_order()));
    case
}

pub(super) fn removing() -> Vec<CaseLine> {
    lines(
        "set /a 1
        rm /a
        rm /a
        set /a 1
        -o json rm /a
        set /a 1
        -o extended rm /a
        set /a 1
        -o xml rm /a
        set /d/x 1
        rm /d
        rm --dir /d
        rmdir /d
        rm -r /d
        set /d/x 1
        rm --recursive /d
        set /d/x 1
        -o json rm -r /d
        set /d/x 1
        -o extended rm --recursive /d
        mkdir /d
        rm --dir /d
        mkdir /d
        rmdir /d
        mkdir /d
        -o json rmdir /d
        mkdir /d
        -o extended rm --dir /d
        set /f 1
        rmdir /f
        set /f 1
        rm --dir /f
        rm -r /
        rmdir /
        rmdir /nope
        rm -r /nope
        rm
        rmdir
        set /f 1
        rm --dir --recursive /f
        set /d/x 1
        rm /d -r
        rm -r=false /d",
    )
}

pub(super) fn conditions() -> Vec<CaseLine> {
    lines(
        "set /x 1
        rm --with-value 2 /x
        rm --with-index 2 /x
        rm --with-value 1 /x
        set /x 1
        rm --with-index 5 /x
        set /x 1
        -o json rm --with-value 1 /x
        set /x 1
        -o extended rm --with-value 1 /x
        set --swap-with-value 1 /x 2
        set /x 1
        set --swap-with-value 1 /x 2
        -o extended set --swap-with-value 2 /x 3
        -o json set --swap-with-value 3 /x 4
        set --swap-with-value 1 /x 3
        set --swap-with-index 1 /x 3
        set --swap-with-index 0 /x 3
        set --swap-with-index -1 /x 3
        set --swap-with-value 3 --swap-with-index 1 /x 4
        set --swap-with-value 3 --ttl 50 /x 4
        set /d/k 1
        set --swap-with-value 1 /d 2
        rm --with-value 1 /d
        rm -r --with-index 5 /d",
    )
}

pub(super) fn values() -> Vec<CaseLine> {
    vec![
        words(&["set", "/v", ""]),
        words(&["get", "/v"]),
        words(&["update", "/v", ""]),
        words(&["set", "/v", "a\nb"]),
        words(&["get", "/v"]),
        words(&["-o", "json", "set", "/v", "<&>\"\\\n\t\u{1}\u{8}é\u{2028}\u{7f}"]),
        words(&["-o", "json", "get", "/v"]),
        words(&["-o", "extended", "get", "/v"]),
        words(&["set", "/a b", "x y"]),
        words(&["get", "/a b"]),
        words(&["get", "/a?b=c"]),
        words(&["get", "/a%20b"]),
        words(&["set", "/ü/+&=;,:@$!*'()~", "x"]),
        words(&["get", "/ü/+&=;,:@$!*'()~"]),
        words(&["-o", "json", "get", "/ü/+&=;,:@$!*'()~"]),
        words(&["--debug", "--no-sync", "set", "/ü %?#", "a b&c=d\"\\\n"]),
        words(&["get", ""]),
        words(&["get", ".."]),
        words(&["set", "..", "1"]),
        words(&["get", "/../../a b"]),
        words(&["set", "-", "x"]),
        words(&["get", "-"]),
        words(&["set", "/v", "-1"]),
        words(&["set", "--", "/v", "-2"]),
        words(&["set", "/v", "--", "-3"]),
        words(&["set", "/v", "--nope"]),
        words(&["get", "/v"]),
    ]
}

pub(super) fn watching() -> Vec<CaseLine> {
    let mut case = lines(
        "set /w/a 1
        set /w/a 2
        set /w/b --ttl 100 3
        mkdir /w/d
        rm /w/a
        set --swap-with-value 3 /w/b 4
        rm --with-value 4 /w/b
        watch --after-index 3 /w/a
        watch --after-index 4 /w/a
        watch --after-index 5 /w/b
        -o extended watch --after-index 3 /w/a
        -o extended watch --after-index 7 /w/a
        -o json watch --after-index 3 /w/a
        -o xml watch --after-index 3 /w/a
        watch --after-index 7 /w/a
        watch --after-index 3 -r /w
        watch --after-index 6 --recursive /w
        -o json watch --after-index 3 -r /
        --debug watch --after-index 3 -r /w
        --total-timeout 200ms watch --after-index 3 /w/a
        watch
        exec-watch
        exec-watch /a",
    );
    case.extend(
        [
            "watch /quiet",
            "watch -f --after-index 3 -r /w",
            "watch --forever --after-index 3 /w/a",
            "-o json watch -f --after-index 3 -r /w",
            "-o extended watch -f --after-index 3 -r /w",
            "watch -f --after-index 6 -r /w",
            "exec-watch --after-index 6 -r /w -- printenv ETCD_WATCH_KEY",
            "exec-watch --after-index 7 printenv ETCD_WATCH_ACTION /w/b",
            "exec-watch --after-index 3 printenv ETCD_WATCH_VALUE /w/a",
            "exec-watch -r --after-index 6 /w -- printenv ETCD_WATCH_KEY",
            "exec-watch /w --after-index 3 -r -- printenv",
            "cluster-health -f",
        ]
        .map(|text| line(text).interrupted().any_order()),
    );
    case
}
