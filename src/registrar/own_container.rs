//! Finds out which container this process runs in.

use std::path::Path;

/// Returns the container ids in this process's mounts and control groups, the most likely first; an inspection must
/// confirm them. `proc` is `/proc/self`.
pub(super) fn candidates(proc: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mounts = std::fs::read_to_string(proc.join("mountinfo")).unwrap_or_default();
    // The engine mounts these files from the container's folder, whatever the container's host name is.
    let own = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(3);
        let (Some(source), Some(at)) = (fields.next(), fields.next()) else { continue };
        if own.contains(&at) {
            found.extend(ids(source));
        }
    }
    let groups = std::fs::read_to_string(proc.join("cgroup")).unwrap_or_default();
    found.extend(groups.lines().flat_map(ids));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|id| seen.insert(id.clone()));
    // Further ids would belong to something else.
    found.truncate(4);
    found
}

/// Returns this host's name, from the kernel.
pub(super) fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns all runs of exactly 64 hexadecimal digits.
fn ids(text: &str) -> Vec<String> {
    let runs = text.split(|c: char| !c.is_ascii_hexdigit());
    runs.filter(|run| run.len() == 64).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5cf7dd97493987c1e9c1f4f1a8a1f8a1b2c3d4e5f60718293a4b5c6d7e8f9012";

    #[test]
    fn the_container_id_is_found_in_engine_mounts_and_in_old_control_groups() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = format!(
            "100 99 0:1 / / rw - overlay overlay rw\n\
             101 100 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda rw\n"
        );
        std::fs::write(dir.path().join("mountinfo"), mounts).unwrap();
        assert_eq!(candidates(dir.path()), [ID]);
        std::fs::write(dir.path().join("mountinfo"), "").unwrap();
        std::fs::write(dir.path().join("cgroup"), format!("1:cpu:/docker/{ID}\n0::/\n")).unwrap();
        assert_eq!(candidates(dir.path()), [ID]);
    }

    #[test]
    fn unrelated_mounts_and_short_ids_name_no_container() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = format!("101 100 8:1 /data/{ID} /data rw - ext4 /dev/sda rw\n");
        std::fs::write(dir.path().join("mountinfo"), mounts).unwrap();
        std::fs::write(dir.path().join("cgroup"), "0::/user.slice/abcdef0123\n").unwrap();
        assert!(candidates(dir.path()).is_empty());
        assert!(candidates(Path::new("/nowhere")).is_empty());
    }
}
