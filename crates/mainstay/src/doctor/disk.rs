//! Room on the disk, what kind of disk it is, and how many files may be open.

use std::path::Path;

use rustix::{
    fs::{statfs, statvfs},
    process::{Resource, getrlimit},
};

use super::finding::Finding;
use crate::config::Config;

/// Below this a busy server is full within hours, bytes.
const LITTLE: u64 = 1 << 30;

/// Below this it may be full at any moment, bytes.
const HARDLY_ANY: u64 = 64 << 20;

/// Open files besides connections: the database, its log, blobs, upstream connections.
const BESIDES: u64 = 512;

/// File systems on which a commit is not what it seems, by the kernel's number for each.
const DOUBTFUL: [(u64, &str, &str); 5] = [
    (0x0102_1994, "tmpfs", "it is memory: everything is gone at the next boot"),
    (0x8584_58f6, "ramfs", "it is memory: everything is gone at the next boot"),
    (0x6969, "NFS", "its locks and syncs depend on the other machine"),
    (0xff53_4d42, "CIFS", "its locks and syncs depend on the other machine"),
    (0xfe53_4d42, "SMB2", "its locks and syncs depend on the other machine"),
];

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let existing = config.data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    [Some(room(existing)), kind(existing)].into_iter().flatten().collect()
}

fn room(path: &Path) -> Finding {
    let found = match statvfs(path) {
        Ok(found) => found,
        Err(error) => return Finding::fail("disk", format!("{}: {error}", path.display()), "mount it"),
    };
    of_room(found.f_bavail.saturating_mul(found.f_frsize), (found.f_favail, found.f_files))
}

/// Free bytes; free and all inodes, of which some file systems count none.
fn of_room(free: u64, (free_files, files): (u64, u64)) -> Finding {
    let text = format!("{} free", size(free));
    match free {
        _ if files > 0 && free_files == 0 => Finding::fail("disk", "no file can be made: no inodes", "remove files"),
        0..HARDLY_ANY => Finding::fail("disk", text, "make room: a full store refuses inputs"),
        HARDLY_ANY..LITTLE => Finding::warn("disk", text, "make room, or bound the store with store.most_bytes"),
        _ => Finding::ok("disk", text),
    }
}

fn kind(path: &Path) -> Option<Finding> {
    let number = statfs(path).ok()?.f_type as u64;
    let (_, name, why) = DOUBTFUL.into_iter().find(|(known, ..)| *known == number)?;
    Some(Finding::warn("file system", format!("{name}: {why}"), "keep the data directory on a local disk"))
}

/// Whether as many files may be open as there may be connections.
pub(super) fn open_files(config: &Config) -> Finding {
    let wanted = config.file.server.connections as u64 + BESIDES;
    of_limit(getrlimit(Resource::Nofile).maximum, wanted)
}

fn of_limit(most: Option<u64>, wanted: u64) -> Finding {
    match most {
        Some(most) if most < wanted => {
            let found = format!("at most {most}, and {wanted} may be wanted");
            Finding::warn("open files", found, "raise the hard limit (LimitNOFILE=), or lower server.connections")
        }
        Some(most) => Finding::ok("open files", format!("at most {most}")),
        None => Finding::ok("open files", "no limit"),
    }
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..UNITS.len() - 1).find(|step| bytes >> (10 * (step + 1)) == 0).unwrap_or(UNITS.len() - 1);
    match step {
        0 => format!("{bytes} B"),
        step => format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * step)) as f64, UNITS[step]),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Grade, *};

    #[test]
    fn room_is_graded() {
        for (free, files, grade) in [
            (10 << 30, (5, 10), Grade::Ok),
            (10 << 30, (0, 0), Grade::Ok),
            (10 << 30, (0, 10), Grade::Fail),
            (500 << 20, (5, 10), Grade::Warn),
            (1 << 20, (5, 10), Grade::Fail),
            (0, (5, 10), Grade::Fail),
        ] {
            assert_eq!(of_room(free, files).grade, grade, "{free} {files:?}");
        }
    }

    #[test]
    fn too_few_files_are_a_warning() {
        assert_eq!(of_limit(Some(1_024), 10_512).grade, Grade::Warn);
        assert_eq!(of_limit(Some(10_512), 10_512).grade, Grade::Ok);
        assert_eq!(of_limit(None, 10_512).grade, Grade::Ok);
    }

    #[test]
    fn sizes_are_read_by_people() {
        let sizes = [0, 1_023, 1_024, 1_536 << 10, 5 << 40, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 TiB", "16777216.0 TiB"]);
    }
}
