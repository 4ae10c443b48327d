//! Owns looks into an open folder. Invariant: what is seen under a name is what [`crate::io::fs`] would see there; it only costs less,
//! because the way to the folder is walked once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::io::fs::{FsResult, Stat, What, absent, at};

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// When it is not there, no folder, or the system refuses.
    pub fn open(path: &Path) -> FsResult<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = at("open", path, || Ok(rustix::fs::open(path, flags, Mode::empty())?))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// What is at `name`, a path from here or an absolute one, links followed; `None` where nothing is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stat(&self, name: &Path) -> FsResult<Option<Stat>> {
        self.look(name, AtFlags::empty())
    }

    /// What is at `name` itself, be it a link; `None` where nothing is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn link_stat(&self, name: &Path) -> FsResult<Option<Stat>> {
        self.look(name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn look(&self, name: &Path, flags: AtFlags) -> FsResult<Option<Stat>> {
        let found = absent(at("inspect", name, || Ok(rustix::fs::statat(&self.fd, name, flags)?)));
        found.map(|stat| stat.map(|stat| stat_of(&stat))).map_err(|mut error| {
            error.path = self.path.join(&error.path);
            error
        })
    }
}

#[allow(clippy::useless_conversion, reason = "the fields' types differ between systems")]
fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => What::File,
        FileType::Directory => What::Folder,
        FileType::Symlink => What::Link,
        _ => What::Other,
    };
    Stat {
        what,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        ctime_ns: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
        inode: stat.st_ino,
        device: u64::try_from(stat.st_dev).unwrap_or(0),
        mode: u32::from(stat.st_mode) & 0o7777,
        links: u64::from(stat.st_nlink),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fs;

    #[test]
    fn a_look_from_the_folder_sees_what_a_look_by_path_sees() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        fs::write(&place.path().join("file"), b"abc").unwrap();
        fs::create_folder(&place.path().join("sub")).unwrap();
        fs::symlink(Path::new("file"), &place.path().join("link")).unwrap();
        for name in ["file", "sub", "link", "absent", "file/below", "."] {
            let (name, path) = (Path::new(name), place.path().join(name));
            assert_eq!(folder.stat(name).unwrap(), fs::stat(&path).unwrap(), "{name:?}");
            assert_eq!(folder.link_stat(name).unwrap(), fs::link_stat(&path).unwrap(), "{name:?}");
            assert_eq!(folder.stat(&path).unwrap(), fs::stat(&path).unwrap(), "{path:?}");
        }
    }
}
