//! Owns what both libraries' calls share: loading, texts and rows. Invariant: a function is called with the types of the vendor's header.

use std::ffi::{CString, c_char, c_void};

use crate::engine::gbdt::error::GbdtError;

/// What the library hands out and takes back.
pub type Handle = *mut c_void;
/// A list of texts.
pub type Texts = *const *const c_char;

/// Declares one library's functions, all of which answer 0 or leave a message, and how to load them.
macro_rules! library {
    ($(#[$doc:meta])* $name:ident, $label:literal, $last_error:ident, { $($function:ident($($argument:ty),*);)* }) => {
        $(#[$doc])*
        #[allow(non_snake_case, clippy::struct_field_names, reason = "the vendor's names")]
        pub struct $name {
            $last_error: unsafe extern "C" fn() -> *const std::ffi::c_char,
            $($function: unsafe extern "C" fn($($argument),*) -> std::ffi::c_int,)*
        }

        impl $name {
            /// Loads the library, for as long as the process lives.
            ///
            /// # Errors
            /// When there is no such library, or it lacks a function.
            pub fn load(path: &std::path::Path) -> Result<&'static Self, crate::engine::gbdt::error::GbdtError> {
                let refuse = |e: libloading::Error| crate::engine::gbdt::error::GbdtError::Load { reason: e.to_string() };
                // SAFETY: the file is the vendor's library; its initialisers ask nothing of us.
                let library: &'static libloading::Library = Box::leak(Box::new(unsafe { libloading::Library::new(path) }.map_err(refuse)?));
                Ok(Box::leak(Box::new(Self {
                    // SAFETY: the types are those of the vendor's header.
                    $last_error: *unsafe { library.get(concat!(stringify!($last_error), "\0").as_bytes()) }.map_err(refuse)?,
                    $(
                        // SAFETY: the types are those of the vendor's header.
                        $function: *unsafe { library.get(concat!(stringify!($function), "\0").as_bytes()) }.map_err(refuse)?,
                    )*
                })))
            }

            fn check(&self, code: std::ffi::c_int) -> Result<(), crate::engine::gbdt::error::GbdtError> {
                if code == 0 {
                    return Ok(());
                }
                // SAFETY: the library keeps its last message, ended by a zero, until the next call on this thread.
                let message = unsafe { std::ffi::CStr::from_ptr((self.$last_error)()) }.to_string_lossy().into_owned();
                Err(crate::engine::gbdt::error::GbdtError::Vendor { library: $label, message })
            }
        }
    };
}

pub(super) use library;

/// A text for C; what stands after a zero byte is not seen there, so none is let through.
#[must_use]
pub fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// Many texts for C.
#[must_use]
pub fn c_texts(texts: &[&str]) -> Vec<CString> {
    texts.iter().map(|text| c_text(text)).collect()
}

/// Where they stand, for as long as they do.
#[must_use]
pub fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

/// Rows of numbers, row after row; `values.len()` is `rows * columns`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T> {
    /// The numbers.
    pub values: &'a [T],
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub columns: usize,
}

impl<'a, T> Rows<'a, T> {
    /// A view of `values` as rows of `columns`; values that fill no whole row are left out.
    #[must_use]
    pub fn new(values: &'a [T], columns: usize) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        Self { values: &values[..rows * columns], rows, columns }
    }

    /// Rows and columns as the library counts them.
    ///
    /// # Errors
    /// When they are more than it can count.
    pub fn shape(&self, library: &'static str) -> Result<(i32, i32), GbdtError> {
        let both = (i32::try_from(self.rows), i32::try_from(self.columns));
        let (Ok(rows), Ok(columns)) = both else {
            return Err(GbdtError::TooLarge { library, rows: self.rows, columns: self.columns });
        };
        Ok((rows, columns))
    }
}
