//! Owns how an object is put into a folder. Invariant: an object has its name only when all of its bytes are on the disk, and its name is there when
//! the put returns.

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::Error;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::io::file::File;
use crate::io::fs::{self, FsResult};

/// A folder that is a bucket. What is read and listed in it goes through `object_store`, which passes over names that end with `#` and digits.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
}

impl Folder {
    /// The folder at `root`, which `store` reads.
    #[must_use]
    pub fn new(root: &FilePath, store: Arc<LocalFileSystem>) -> Self {
        Self { root: root.to_owned(), store }
    }

    /// Puts an object where there is none of its name; says whether it did.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn put_if_absent(&self, name: &Path, bytes: &[u8]) -> Result<bool, Error> {
        let path = self.store.path_to_filesystem(name)?;
        self.put(&path, bytes).map_err(|error| Error::Generic { store: "LocalFileSystem", source: Box::new(error) })
    }

    fn put(&self, path: &FilePath, bytes: &[u8]) -> FsResult<bool> {
        if fs::link_stat(path)?.is_some() {
            return Ok(false);
        }
        let folder = path.parent().unwrap_or(&self.root);
        self.make(folder)?;
        let staged = PathBuf::from(format!("{}#{}", path.display(), fastrand::u64(..)));
        let put = stage(&staged, bytes).and_then(|()| match fs::hard_link(&staged, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        });
        fs::remove_file(&staged)?;
        let put = put?;
        fs::sync(folder)?;
        Ok(put)
    }

    /// Makes a folder below the root, and returns when its name is on the disk.
    fn make(&self, folder: &FilePath) -> FsResult<()> {
        if fs::stat(folder)?.is_some() {
            return Ok(());
        }
        fs::create_folders(folder)?;
        folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.root)).try_for_each(fs::sync)
    }
}

fn stage(path: &FilePath, bytes: &[u8]) -> FsResult<()> {
    let mut file = File::create_new(path)?;
    file.write(bytes)?;
    file.sync()
}
