use super::*;
use std::path::Path;

fn command(line: &str, limit_ms: u64) -> Command {
    let program = Program::Shell(line.into());
    Command { program, env: vec![], timeout: Duration::from_millis(limit_ms), dir: None }
}

fn arguments(words: &[&str]) -> Command {
    let program = Program::Arguments(words.iter().map(OsString::from).collect());
    Command { program, ..command("", 5000) }
}

/// Returns whether a process runs; a zombie that init has yet to reap does not.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

/// Returns whether the process number exists: for our own child, that would be an unreaped zombie.
fn known(pid: &str) -> bool {
    Path::new(&format!("/proc/{}", pid.trim())).exists()
}

async fn soon(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..200 {
        if condition() {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

async fn text_of(file: &Path) -> String {
    let written = soon(|| std::fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))).await;
    assert!(written, "{} was never written", file.display());
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn output_of_both_streams_is_captured_in_order_with_the_exit_code() {
    let outcome = command("echo one; echo two >&2; echo three; exit 3", 5000).run().await;
    assert_eq!(outcome.status, Status::Exited(3));
    assert_eq!(outcome.output, "one\ntwo\nthree\n");
    assert!(!outcome.success() && !outcome.truncated);
    assert!(command("true", 5000).run().await.success());
}

#[tokio::test]
async fn environment_folder_and_empty_stdin_reach_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut pwd = command("cat; echo $WORD; pwd -P", 5000);
    pwd.env = vec![("WORD".into(), "hello there".into())];
    pwd.dir = Some(dir.path().canonicalize().unwrap());
    let outcome = pwd.run().await;
    assert_eq!(outcome.output, format!("hello there\n{}\n", dir.path().canonicalize().unwrap().display()));
    pwd.dir = Some("/nowhere/at/all".into());
    let Status::NotStarted(why) = pwd.run().await.status else { panic!("it ran") };
    assert!(why.contains("/nowhere/at/all is not a folder"), "{why}");
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are_without_a_shell() {
    let odd = "a;touch pwned $(touch pwned) `touch pwned` ' \" \\ *";
    assert_eq!(arguments(&["printf", "%s", odd]).run().await.output, odd);
    assert_eq!(arguments(&["sh", "-c", "exit 3"]).run().await.status, Status::Exited(3));
    for words in [&["/nowhere/at/all"][..], &[]] {
        let Status::NotStarted(why) = arguments(words).run().await.status else { panic!("it ran") };
        assert!(why.contains(words.first().unwrap_or(&":")), "{why}");
    }
}

#[tokio::test]
async fn a_nul_byte_is_an_error_and_no_panic() {
    assert!(matches!(command("echo a\0b", 1000).run().await.status, Status::NotStarted(_)));
    let mut bad = command("true", 1000);
    bad.env = vec![("A=B\0".into(), "x".into())];
    assert!(matches!(bad.run().await.status, Status::NotStarted(_)));
}

#[tokio::test]
async fn it_leads_its_own_group_and_sigpipe_has_its_usual_meaning() {
    let outcome = command("echo $$; cut -d' ' -f5 /proc/$$/stat", 5000).run().await;
    let lines: Vec<_> = outcome.output.lines().collect();
    assert_eq!(lines[0], lines[1]);
    let outcome = command("grep -E 'SigIgn|SigBlk' /proc/self/status", 5000).run().await;
    for line in outcome.output.lines() {
        let mask = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        assert_eq!(mask & (1 << 12), 0, "SIGPIPE is touched: {line}");
    }
    assert_eq!(outcome.output.lines().count(), 2);
}

#[tokio::test]
async fn a_signal_that_ends_the_shell_is_reported() {
    assert_eq!(command("kill -9 $$", 5000).run().await.status, Status::Signalled(9));
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_and_keeps_the_output() {
    let outcome = command("sleep 300 & echo $!; sleep 301 & echo $!; wait", 300).run().await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert!(outcome.took < Duration::from_secs(2), "grace was not cut short: {:?}", outcome.took);
    let pids: Vec<_> = outcome.output.lines().collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        assert!(soon(|| !runs(pid)).await, "grandchild {pid} survived");
    }
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed_after_the_delay() {
    let line =
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait; wait; sleep 9";
    let outcome = command(line, 200).run().await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert!(outcome.took >= KILL_DELAY, "{:?}", outcome.took);
    let pid = outcome.output.lines().next().unwrap().to_owned();
    assert!(soon(|| !runs(&pid)).await, "{pid} survived");
}

#[tokio::test]
async fn sigterm_gives_the_command_time_to_clean_up() {
    let outcome = command("trap 'echo cleaned; exit 1' TERM; sleep 300 & wait", 200).run().await;
    assert_eq!((outcome.status, outcome.output.as_str()), (Status::TimedOut, "cleaned\n"));
}

#[tokio::test]
async fn a_shell_that_exits_in_time_succeeds_and_its_background_process_continues() {
    let outcome = command("echo C; sleep 60 & echo $!", 1000).run().await;
    assert!(outcome.success(), "{:?}", outcome.status);
    assert!(outcome.took >= Duration::from_millis(900) && outcome.took < Duration::from_secs(3));
    let pid = outcome.output.lines().nth(1).unwrap();
    assert!(runs(pid), "the background process was killed");
    let quick = command("sleep 60 >/dev/null 2>&1 & echo $!", 1000).run().await;
    assert!(quick.took < Duration::from_millis(900), "redirected, it is not waited for: {:?}", quick.took);
    assert!(runs(quick.output.trim()));
    assert!(command(&format!("kill {pid} {}", quick.output), 5000).run().await.success());
}

#[tokio::test]
async fn excessive_output_is_bounded_and_never_blocks_the_command() {
    let outcome = command("echo begin; head -c 3000000 /dev/zero | tr '\\0' x; echo end", 20_000).run().await;
    assert!(outcome.success() && outcome.truncated);
    assert!(outcome.output.starts_with("begin\n") && outcome.output.ends_with("xend\n"));
    assert!(outcome.output.contains(&format!("[... {} bytes cut ...]", 3_000_010 - 16 * 1024)));
    let endless = command("yes", 300).run().await;
    assert_eq!(endless.status, Status::TimedOut);
    assert!(endless.output.len() < 17 * 1024);
}

#[tokio::test]
async fn invalid_text_is_replaced() {
    assert_eq!(command("printf 'a\\377b'", 5000).run().await.output, "a\u{fffd}b");
}

#[tokio::test]
async fn dropping_the_future_kills_the_group_and_leaves_no_zombie() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let line = format!("trap '' TERM; sleep 300 & echo $$ $! > {}; wait; sleep 300", file.display());
    let long = command(&line, 60_000);
    let pids = tokio::select! {
        _ = long.run() => panic!("it ended"),
        pids = text_of(&file) => pids,
    };
    let (leader, grandchild) = pids.trim().split_once(' ').unwrap();
    assert!(soon(|| !known(leader)).await, "leader {leader} lives or was not reaped");
    assert!(soon(|| !runs(grandchild)).await, "grandchild {grandchild} survived");
}

#[tokio::test]
async fn run_left_alone_continues_after_the_future_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, ended) = (dir.path().join("begun"), dir.path().join("ended"));
    let line = format!("echo > {}; sleep 0.3; echo > {}", begun.display(), ended.display());
    let long = command(&line, 60_000);
    tokio::select! {
        _ = long.run_left_alone() => panic!("it ended"),
        _ = text_of(&begun) => {}
    }
    text_of(&ended).await;
}

#[tokio::test]
async fn a_cancelled_run_ends_the_group_gracefully() {
    let cancel = sleep(Duration::from_millis(200));
    let outcome =
        command("trap 'echo bye; exit 0' TERM; echo $$; sleep 300 & wait", 60_000).run_until(cancel).await;
    assert_eq!(outcome.status, Status::Cancelled);
    let lines: Vec<_> = outcome.output.lines().collect();
    assert_eq!(lines[1], "bye");
    assert!(!known(lines[0]), "not reaped");
}
