//! Files: their content, and every way they change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;
use crate::source::SourceError;

fn files(paths: &[&Path]) -> Source {
    let files: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    Source::new(Settings { backend: Backend::File, files, ..Settings::default() }).unwrap()
}

fn write(path: &Path, value: &str) {
    fs::write(path, format!("app: {{x: {value}}}\n")).unwrap();
}

fn rename_over(path: &Path, value: &str) {
    let temporary = path.with_extension("tmp~");
    write(&temporary, value);
    fs::rename(&temporary, path).unwrap();
}

async fn entries(source: &Source) -> Vec<(String, String)> {
    let found = source.fetch(&roots(&["/"])).await.unwrap();
    found
        .entries
        .into_iter()
        .map(|(key, datum)| (key.to_string(), String::from_utf8(datum.as_bytes().to_vec()).unwrap()))
        .collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.into(), value.into())
}

#[tokio::test]
async fn later_files_override_and_folders_are_read_in_order_without_ignored_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("conf/sub")).unwrap();
    fs::write(at("conf/a.yaml"), "x: 1\ny: 1\n").unwrap();
    fs::write(at("conf/b.toml"), "x = 2\n").unwrap();
    fs::write(at("conf/sub/c.json"), r#"{"z": 3}"#).unwrap();
    fs::write(at("conf/notes.txt"), "not: read").unwrap();
    fs::write(at("conf/.hidden.yaml"), "x: 9").unwrap();
    symlink(at("conf"), at("conf/sub/loop")).unwrap();
    fs::write(at("last"), "y: 4\n").unwrap();
    let source = files(&[&at("conf"), &at("last")]);
    assert_eq!(entries(&source).await, [pair("/x", "2"), pair("/y", "4"), pair("/z", "3")]);
    let settings = Settings {
        backend: Backend::File,
        files: vec![at("conf")],
        filter: "*.json".into(),
        ..Settings::default()
    };
    assert_eq!(entries(&Source::new(settings).unwrap()).await, [pair("/z", "3")]);
}

#[tokio::test]
async fn a_broken_file_is_reported_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, line) in [
        ("a.yaml", "x: 1\ny: [1\nz: 2\n", 3),
        ("a.toml", "x = 1\ny = = 2\n", 2),
        ("a.json", "{\"x\": 1,\n\"y\" 2}", 2),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let error = files(&[&path]).fetch(&roots(&["/"])).await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, SourceError::File { line: Some(at), .. } if at == line), "{said}");
        assert!(said.contains(&format!("{name}:{line}: ")), "{said}");
    }
    let error = files(&[&dir.path().join("none.yaml")]).fetch(&roots(&["/"])).await.unwrap_err();
    assert!(error.to_string().ends_with("none.yaml: does not exist"), "{error}");
}

#[tokio::test]
async fn edits_in_place_and_by_rename_are_detected_repeatedly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    write(&path, "1");
    following(&files(&[&path]), &["/app"], |mut news| async move {
        assert_eq!(snapshot(&mut news).await.entries.len(), 1);
        for value in ["2", "3"] {
            write(&path, value);
            assert_eq!(changes(&mut news).await, [set("/app/x", value)]);
        }
        for value in ["4", "5", "6"] {
            rename_over(&path, value);
            assert_eq!(changes(&mut news).await, [set("/app/x", value)]);
        }
        write(&path, "6");
        assert!(
            timeout(Duration::from_millis(300), news.recv()).await.is_err(),
            "the same content is no news"
        );
    })
    .await;
}

#[tokio::test]
async fn a_missing_or_broken_file_keeps_its_values_and_its_return_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/a.yaml");
    fs::create_dir(path.parent().unwrap()).unwrap();
    write(&path, "1");
    following(&files(&[&path]), &["/app"], |mut news| async move {
        snapshot(&mut news).await;
        fs::remove_file(&path).unwrap();
        assert!(matches!(next(&mut news).await, SourceEvent::Down(_)));
        write(&path, "2");
        assert!(matches!(next(&mut news).await, SourceEvent::Up));
        assert_eq!(changes(&mut news).await, [set("/app/x", "2")]);
        fs::write(&path, "app: [1\nb").unwrap();
        assert!(matches!(next(&mut news).await, SourceEvent::Down(SourceError::File { line: Some(_), .. })));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir(path.parent().unwrap()).unwrap();
        write(&path, "2");
        assert!(matches!(next(&mut news).await, SourceEvent::Up));
        rename_over(&path, "3");
        assert_eq!(changes(&mut news).await, [set("/app/x", "3")]);
    })
    .await;
}

#[tokio::test]
async fn a_mounted_configmap_is_followed_through_its_swaps() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let swap = |version: &str, value: &str| {
        fs::create_dir(at(version)).unwrap();
        write(&at(version).join("a.yaml"), value);
        symlink(version, at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
    };
    swap("..v1", "1");
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let (file, folder) = (files(&[&at("a.yaml")]), files(&[dir.path()]));
    following(&file, &["/app"], |mut one| async {
        following(&folder, &["/app"], |mut all| async move {
            snapshot(&mut one).await;
            snapshot(&mut all).await;
            for (version, value) in [("..v2", "2"), ("..v3", "3"), ("..v4", "4")] {
                swap(version, value);
                assert_eq!(changes(&mut one).await, [set("/app/x", value)]);
                assert_eq!(changes(&mut all).await, [set("/app/x", value)]);
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn files_added_or_removed_in_a_folder_are_detected_at_every_depth() {
    let dir = tempfile::tempdir().unwrap();
    following(&files(&[dir.path()]), &["/"], |mut news| async move {
        assert!(snapshot(&mut news).await.entries.is_empty());
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/x.toml"), "x = 1\n").unwrap();
        assert_eq!(changes(&mut news).await, [set("/x", "1")]);
        fs::write(dir.path().join("a/b/x.toml"), "y = 1\n").unwrap();
        assert_eq!(changes(&mut news).await, [delete("/x"), set("/y", "1")]);
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        assert_eq!(changes(&mut news).await, [delete("/y")]);
    })
    .await;
}
