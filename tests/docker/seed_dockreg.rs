//! dockreg's use: a sidecar that registers one port of the container that it belongs to.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::common::{everything, node, value};
use crate::support::docker::{Docker, host, write_program};
use crate::support::skips::missing;
use crate::support::{Dir, Retune, Store, WAIT_TIMEOUT, eventually};

/// The application and its sidecar under one parent, like under a process manager in the container.
const BOTH: &str = "#!/bin/sh
httpd -p 8000 -h /www
LD_LIBRARY_PATH=/lib retune register --self --port 8000 --layout dockreg --on-exit remove \"$@\" &
sidecar=$!
trap 'kill -TERM $sidecar; wait $sidecar; exit 0' TERM
wait $sidecar
";

#[test]
fn with_a_given_container_only_its_port_is_registered() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[8000, 9000]) else { return };
    let (dir, store) = (Dir::new(), Store::start());
    let words = ["-p", "8000", "-p", "9000", "-e", "PORT=8000"];
    let (app, other) = (docker.run(&image, &words), docker.run(&image, &words));
    let listen = format!("unix://{}", dir.text_path("register.sock"));
    let host = host();
    let daemon = Retune::new(&dir, &["register", "--self", "--container", &app.name, "--port", "8000"])
        .args(&["--layout", "dockreg", "--etcd", &store.url(), "--ip", &host, "--listen", &listen])
        .spawn();

    let key = format!("/service/{host}:{}", app.mapped(8000).unwrap());
    eventually("the key", WAIT_TIMEOUT, || value(&store, &key) == Some("running".to_owned()));
    let all = node(&store, "/service").unwrap()["nodes"].as_array().map(Vec::len);
    assert_eq!(all, Some(1), "{}\n{}", other.name, everything(&store));
    app.docker_command(&["stop"]);
    eventually("the key is gone", WAIT_TIMEOUT, || value(&store, &key).is_none());
    daemon.terminate();
}

#[test]
fn inside_a_container_its_own_id_is_detected() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(libraries) = libraries() else { return };
    let host = host();
    let urls = format!("http://127.0.0.1:{{port}},http://{host}:{{port}}");
    let store = Store::start_with(&["--listen-client-urls", &urls]);
    let filled = docker.image_with(&[8000], &["/bin/both"], |root| fill(root, &libraries));
    let Some(image) = filled else { return };
    let socket = socket();
    let etcd = store.url().replace("127.0.0.1", &host);
    let mount = format!("{socket}:/var/run/docker.sock");
    // With its own host name, the container's id cannot be guessed from anything.
    let words = ["-p", "8000", "-v", &mount, "--hostname", "app"];
    let app = docker.run_with(&image, &words, &["/bin/both", "--etcd", &etcd, "--ip", &host]);

    let key = format!("/service/{host}:{}", app.mapped(8000).unwrap());
    eventually("the key", WAIT_TIMEOUT, || value(&store, &key) == Some("running".to_owned()));
    app.docker_command(&["stop"]);
    assert_eq!(value(&store, &key), None, "the sidecar had to remove it before it ended");
    assert_eq!(app.docker_command(&["inspect", "-f", "{{.State.ExitCode}}"]), "0");
}

/// Returns the engine's socket on this machine.
fn socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}

/// Returns the libraries that the program loads, with the loader; `None`: they cannot be determined here.
fn libraries() -> Option<Vec<String>> {
    let out = Command::new("ldd").arg(env!("CARGO_BIN_EXE_retune")).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let paths: Vec<String> =
        text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect();
    if paths.is_empty() {
        missing("ldd names no libraries of the program", "a dynamic build, and libc-bin");
        return None;
    }
    Some(paths)
}

/// Copies the program and its libraries, without debug sections, which are most of their size.
fn fill(root: &Path, libraries: &[String]) {
    let program = root.join("bin/retune");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_retune"));
    if !strip.status().is_ok_and(|status| status.success()) {
        fs::copy(env!("CARGO_BIN_EXE_retune"), &program).unwrap();
    }
    for library in libraries {
        let path = Path::new(library);
        // The loader is referenced by its path, the others by name.
        let loader = library.contains("/ld-");
        let at =
            if loader { root.join(&library[1..]) } else { root.join("lib").join(path.file_name().unwrap()) };
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(library, at).unwrap();
    }
    write_program(&root.join("bin/both"), BOTH);
}
