//! Owns the folder of secret keys. Invariant: a key that anybody else could have read is not used.

use std::path::{Path, PathBuf};

use crate::io::file::File;
use crate::io::fs::{self, FsError, What};
use crate::mirror::sign::{KeyError, SecretKey};

/// What a key's file is called after its name.
const ENDING: &str = ".key";

/// The longest file that is read as a key.
const LONGEST: u64 = 1024;

/// A secret key and what its owner calls it.
#[derive(Debug)]
pub struct OwnKey {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The key.
    pub key: SecretKey,
}

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Others may read or write it.
    #[error("the secret key '{}' can be read or changed by others (its mode is {mode:03o})", path.display())]
    Open {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds none.
    #[error("the secret key '{}' cannot be used", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// There is one of this name.
    #[error("there is a key '{name}' already, '{}'", path.display())]
    Taken {
        /// The name.
        name: String,
        /// Its file.
        path: PathBuf,
    },
    /// No name that a file can have everywhere.
    #[error("'{name}' is no name for a key: letters, digits, '-' and '_'")]
    Name {
        /// The name.
        name: String,
    },
}

impl KeysError {
    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open { path, .. } => {
                Some(format!("chmod 600 '{}'; who may have read it can sign: consider cbi key revoke", path.display()))
            }
            Self::Taken { .. } => Some("give another name: cbi key generate NAME".to_owned()),
            _ => None,
        }
    }
}

/// All keys in the folder, by name; none where there is no folder.
///
/// # Errors
/// When one of them cannot be read, or could be by others.
pub fn all(folder: &Path) -> Result<Vec<OwnKey>, KeysError> {
    let mut keys = Vec::new();
    for entry in fs::list_if_any(folder)? {
        let name = entry.name.to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(ENDING) {
            keys.push(read(name, &folder.join(&entry.name))?);
        }
    }
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(keys)
}

fn read(name: &str, path: &Path) -> Result<OwnKey, KeysError> {
    let bad = |source| KeysError::Key { path: path.to_owned(), source };
    let file = File::open(path)?;
    let stat = file.stat()?;
    if stat.mode & 0o077 != 0 {
        return Err(KeysError::Open { path: path.to_owned(), mode: stat.mode });
    }
    if stat.what != What::File || stat.size > LONGEST {
        return Err(bad(KeyError::Secret));
    }
    let mut bytes = vec![0; usize::try_from(stat.size).unwrap_or_default()];
    let read = file.read_at(&mut bytes, 0)?;
    let text = std::str::from_utf8(&bytes[..read]).map_err(|_| bad(KeyError::Secret))?;
    Ok(OwnKey { name: name.to_owned(), path: path.to_owned(), key: SecretKey::from_text(text).map_err(bad)? })
}

/// Makes a key of this name. Nobody but its owner can read it at any moment.
///
/// # Errors
/// When there is one, or it cannot be written.
pub fn generate(folder: &Path, name: &str) -> Result<OwnKey, KeysError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(KeysError::Name { name: name.to_owned() });
    }
    if fs::stat(folder)?.is_none() {
        fs::create_folders(folder)?;
        fs::set_mode(folder, 0o700)?;
    }
    let path = folder.join(format!("{name}{ENDING}"));
    if fs::link_stat(&path)?.is_some() {
        return Err(KeysError::Taken { name: name.to_owned(), path });
    }
    let key = SecretKey::generate().map_err(|source| KeysError::Key { path: path.clone(), source })?;
    let file = File::create_private(&path)?;
    file.write_at(key.to_text().as_bytes(), 0)?;
    fs::sync(&path)?;
    fs::sync(folder)?;
    Ok(OwnKey { name: name.to_owned(), path, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_by_its_owner_alone_or_by_nobody() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/keys");
        assert!(all(&folder).unwrap().is_empty());
        let made = generate(&folder, "laptop").unwrap();
        let mode = |path: &Path| fs::stat(path).unwrap().unwrap().mode & 0o777;
        assert_eq!((mode(&made.path), mode(&folder)), (0o600, 0o700));
        let read = all(&folder).unwrap();
        assert_eq!((read.len(), read[0].name.as_str(), read[0].key.public()), (1, "laptop", made.key.public()));
        for open in [0o604, 0o640, 0o620, 0o644] {
            fs::set_mode(&made.path, open).unwrap();
            assert!(matches!(all(&folder), Err(KeysError::Open { mode, .. }) if mode == open));
        }
    }

    #[test]
    fn a_key_is_never_written_over_nor_outside_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let made = generate(home.path(), "a").unwrap();
        assert!(matches!(generate(home.path(), "a"), Err(KeysError::Taken { .. })));
        assert_eq!(all(home.path()).unwrap()[0].key.public(), made.key.public());
        for name in ["", "../a", "a/b", "a.b", "é"] {
            assert!(matches!(generate(home.path(), name), Err(KeysError::Name { .. })), "{name}");
        }
        std::fs::write(home.path().join("b.key"), "not a key").unwrap();
        fs::set_mode(&home.path().join("b.key"), 0o600).unwrap();
        assert!(matches!(all(home.path()), Err(KeysError::Key { .. })));
    }
}
