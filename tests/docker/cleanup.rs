//! Tests the test handle: its containers respond, and are gone when it is dropped.

use std::process::Command;

use crate::support::docker::{Docker, host};
use crate::support::http::get;
use crate::support::{WAIT_TIMEOUT, eventually};

#[test]
fn test_containers_respond_and_are_removed_even_when_the_test_fails() {
    let Some(docker) = Docker::acquire() else { return };
    let Some(image) = docker.image(&[80, 443]) else { return };
    let container = docker.run(&image, &["-p", "80", "-e", "LATE=0"]);
    let address = format!("{}:{}", host(), container.mapped(80).unwrap());
    eventually("the application", WAIT_TIMEOUT, || get(&address, "/").as_deref() == Some("hello\n"));
    assert_eq!(container.mapped(443), None);
    let names = [container.name.clone(), image.name().to_owned()];
    let failed = std::thread::scope(|scope| {
        let test = scope.spawn(move || {
            let _mine = (container, image);
            std::panic::resume_unwind(Box::new("a failing test"));
        });
        test.join().is_err()
    });
    assert!(failed);
    for name in names {
        let known = Command::new("docker").args(["inspect", &name]).output().unwrap();
        assert!(!known.status.success(), "{name} is still there");
    }
}
