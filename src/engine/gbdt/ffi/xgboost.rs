//! Owns the calls into `libxgboost`. Invariant: a booster keeps the rows it points to.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::{ptr, slice};

use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::ffi::c::{Handle, Rows, Texts, c_text, c_texts, library, pointers};

library!(
    /// `XGBoost`'s C interface, as far as it is used (`include/xgboost/c_api.h` of 3.2.0).
    XgBoost, "xgboost", XGBGetLastError, {
        XGDMatrixCreateFromDense(*const c_char, *const c_char, *mut Handle);
        XGDMatrixSetInfoFromInterface(Handle, *const c_char, *const c_char);
        XGDMatrixSetStrFeatureInfo(Handle, *const c_char, Texts, u64);
        XGDMatrixFree(Handle);
        XGBoosterCreate(*const Handle, u64, *mut Handle);
        XGBoosterSetParam(Handle, *const c_char, *const c_char);
        XGBoosterSetStrFeatureInfo(Handle, *const c_char, Texts, u64);
        XGBoosterUpdateOneIter(Handle, c_int, Handle);
        XGBoosterEvalOneIter(Handle, c_int, *const Handle, Texts, u64, *mut *const c_char);
        XGBoosterBoostedRounds(Handle, *mut c_int);
        XGBoosterSlice(Handle, c_int, c_int, c_int, *mut Handle);
        XGBoosterSaveModelToBuffer(Handle, *const c_char, *mut u64, *mut *const c_char);
        XGBoosterLoadModelFromBuffer(Handle, *const c_void, u64);
        XGBoosterSaveJsonConfig(Handle, *mut u64, *mut *const c_char);
        XGBoosterGetNumFeature(Handle, *mut u64);
        XGBoosterPredictFromDMatrix(Handle, Handle, *const c_char, *mut *const u64, *mut u64, *mut *const f32);
        XGBoosterFeatureScore(Handle, *const c_char, *mut u64, *mut Texts, *mut u64, *mut *const u64, *mut *const f32);
        XGBoosterFree(Handle);
        XGBRegisterLogCallback(extern "C" fn(*const c_char));
    }
);

const PREDICT: c_int = 0;
const PREDICT_CONTRIBUTIONS: c_int = 2;

thread_local! {
    /// What the library has said on this thread.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

extern "C" fn listen(message: *const c_char) {
    // SAFETY: the library hands over a text that ends with a zero and keeps it during the call.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    SAID.with_borrow_mut(|said| said.push(message));
}

/// Rows in `XGBoost`'s own form.
pub struct XgBoostData {
    api: &'static XgBoost,
    handle: Handle,
    rows: usize,
}

impl XgBoost {
    /// From now on keeps the library's warnings for [`XgBoost::warnings`], instead of printing them.
    ///
    /// # Errors
    /// What the library says.
    pub fn keep_warnings(&'static self) -> Result<(), GbdtError> {
        SAID.with_borrow_mut(Vec::clear);
        // SAFETY: `listen` lives as long as the process.
        self.check(unsafe { (self.XGBRegisterLogCallback)(listen) })
    }

    /// The warnings kept on this thread.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        SAID.with_borrow(Clone::clone)
    }

    /// Takes the rows in; NaN is missing.
    ///
    /// # Errors
    /// What the library says.
    pub fn data(&'static self, rows: Rows<f32>, threads: u32) -> Result<XgBoostData, GbdtError> {
        let array = c_text(&array_interface(rows.values, &format!("{},{}", rows.rows, rows.columns)));
        let config = c_text(&format!("{{\"missing\":NaN,\"nthread\":{threads}}}"));
        let mut handle = ptr::null_mut();
        // SAFETY: the array names rows × columns floats, which the library copies.
        self.check(unsafe { (self.XGDMatrixCreateFromDense)(array.as_ptr(), config.as_ptr(), &raw mut handle) })?;
        Ok(XgBoostData { api: self, handle, rows: rows.rows })
    }

    /// A booster that may learn from and judge by the given rows.
    ///
    /// # Errors
    /// What the library says.
    pub fn booster(&'static self, data: Vec<XgBoostData>) -> Result<XgBoostBooster, GbdtError> {
        let handles: Vec<Handle> = data.iter().map(|d| d.handle).collect();
        let mut handle = ptr::null_mut();
        // SAFETY: as many handles as said; the rows are kept as long as the booster.
        self.check(unsafe { (self.XGBoosterCreate)(handles.as_ptr(), handles.len() as u64, &raw mut handle) })?;
        Ok(XgBoostBooster { api: self, handle, data })
    }
}

/// The numpy array interface of a slice, which names its address.
fn array_interface(values: &[f32], shape: &str) -> String {
    format!("{{\"data\":[{},true],\"shape\":[{shape}],\"typestr\":\"<f4\",\"version\":3}}", values.as_ptr() as usize)
}

impl XgBoostData {
    /// Sets `label` or `weight`, one value a row.
    ///
    /// # Errors
    /// What the library says.
    pub fn set(&mut self, field: &str, values: &[f32]) -> Result<(), GbdtError> {
        let array = c_text(&array_interface(values, &values.len().to_string()));
        // SAFETY: the array names as many floats as it says; the library copies them.
        self.api.check(unsafe { (self.api.XGDMatrixSetInfoFromInterface)(self.handle, c_text(field).as_ptr(), array.as_ptr()) })
    }

    /// Says what each feature is: `c` a category, `q` a quantity.
    ///
    /// # Errors
    /// What the library says.
    pub fn set_types(&mut self, types: &[&str]) -> Result<(), GbdtError> {
        let texts = c_texts(types);
        let field = c_text("feature_type");
        // SAFETY: as many texts as said, each ended by a zero; the library copies them.
        self.api.check(unsafe {
            (self.api.XGDMatrixSetStrFeatureInfo)(self.handle, field.as_ptr(), pointers(&texts).as_ptr(), types.len() as u64)
        })
    }
}

impl Drop for XgBoostData {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and freed here alone.
        unsafe { (self.api.XGDMatrixFree)(self.handle) };
    }
}

/// `XGBoost`'s booster, with the rows it learns from.
pub struct XgBoostBooster {
    api: &'static XgBoost,
    handle: Handle,
    data: Vec<XgBoostData>,
}

impl XgBoostBooster {
    /// Sets one parameter.
    ///
    /// # Errors
    /// What the library says.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), GbdtError> {
        // SAFETY: two texts, each ended by a zero.
        self.api.check(unsafe { (self.api.XGBoosterSetParam)(self.handle, c_text(name).as_ptr(), c_text(value).as_ptr()) })
    }

    /// Names the features in the model.
    ///
    /// # Errors
    /// What the library says.
    pub fn set_names(&mut self, names: &[&str]) -> Result<(), GbdtError> {
        self.tell("feature_name", names)
    }

    /// Says in the model what each feature is: `c` a category, `q` a quantity.
    ///
    /// # Errors
    /// What the library says.
    pub fn set_types(&mut self, types: &[&str]) -> Result<(), GbdtError> {
        self.tell("feature_type", types)
    }

    fn tell(&mut self, field: &str, texts: &[&str]) -> Result<(), GbdtError> {
        let (held, field) = (c_texts(texts), c_text(field));
        // SAFETY: as many texts as said, each ended by a zero; the library copies them.
        self.api.check(unsafe {
            (self.api.XGBoosterSetStrFeatureInfo)(self.handle, field.as_ptr(), pointers(&held).as_ptr(), texts.len() as u64)
        })
    }

    /// Runs round `round` of boosting on the first rows given.
    ///
    /// # Errors
    /// What the library says.
    pub fn update(&mut self, round: u32) -> Result<(), GbdtError> {
        let round = c_int::try_from(round).unwrap_or(c_int::MAX);
        let train = self.data.first().map_or(ptr::null_mut(), |d| d.handle);
        // SAFETY: the rows are alive as long as the booster.
        self.api.check(unsafe { (self.api.XGBoosterUpdateOneIter)(self.handle, round, train) })
    }

    /// The metrics on the last rows given, as the library writes them: `[3]\tvalid-rmse:0.25`.
    ///
    /// # Errors
    /// What the library says.
    pub fn valid_scores(&mut self, round: u32) -> Result<String, GbdtError> {
        let round = c_int::try_from(round).unwrap_or(c_int::MAX);
        let rows = [self.data.last().map_or(ptr::null_mut(), |d| d.handle)];
        let name = c_text("valid");
        let names = [name.as_ptr()];
        let mut answer = ptr::null();
        // SAFETY: one handle and one name; the answer is a text kept until the next call.
        unsafe {
            self.api.check((self.api.XGBoosterEvalOneIter)(self.handle, round, rows.as_ptr(), names.as_ptr(), 1, &raw mut answer))?;
            Ok(CStr::from_ptr(answer).to_string_lossy().into_owned())
        }
    }

    /// Rounds in the model.
    ///
    /// # Errors
    /// What the library says.
    pub fn rounds(&self) -> Result<u32, GbdtError> {
        let mut rounds = 0;
        // SAFETY: one int is written.
        self.api.check(unsafe { (self.api.XGBoosterBoostedRounds)(self.handle, &raw mut rounds) })?;
        Ok(u32::try_from(rounds).unwrap_or(0))
    }

    /// The model with its first `rounds` rounds.
    ///
    /// # Errors
    /// What the library says.
    pub fn first_rounds(&self, rounds: u32) -> Result<Self, GbdtError> {
        let end = c_int::try_from(rounds).unwrap_or(c_int::MAX);
        let mut handle = ptr::null_mut();
        // SAFETY: the new booster is a copy of its own, without rows.
        self.api.check(unsafe { (self.api.XGBoosterSlice)(self.handle, 0, end, 1, &raw mut handle) })?;
        Ok(Self { api: self.api, handle, data: Vec::new() })
    }

    /// The model in the UBJ format.
    ///
    /// # Errors
    /// What the library says.
    pub fn ubj(&self) -> Result<Vec<u8>, GbdtError> {
        let config = c_text("{\"format\":\"ubj\"}");
        let (mut length, mut start) = (0, ptr::null());
        // SAFETY: `length` bytes at `start` are kept until the next call; they are copied here.
        unsafe {
            self.api.check((self.api.XGBoosterSaveModelToBuffer)(self.handle, config.as_ptr(), &raw mut length, &raw mut start))?;
            Ok(slice::from_raw_parts(start.cast(), usize::try_from(length).unwrap_or(0)).to_vec())
        }
    }

    /// The library's version and the booster's settings, as JSON.
    ///
    /// # Errors
    /// What the library says.
    pub fn config(&self) -> Result<String, GbdtError> {
        let (mut length, mut start) = (0, ptr::null());
        // SAFETY: the text ends with a zero and is kept until the next call; it is copied here.
        unsafe {
            self.api.check((self.api.XGBoosterSaveJsonConfig)(self.handle, &raw mut length, &raw mut start))?;
            Ok(CStr::from_ptr(start).to_string_lossy().into_owned())
        }
    }

    /// Takes in a model in the UBJ format.
    ///
    /// # Errors
    /// What the library says.
    pub fn load_ubj(&mut self, bytes: &[u8]) -> Result<(), GbdtError> {
        // SAFETY: the bytes are only read.
        self.api.check(unsafe { (self.api.XGBoosterLoadModelFromBuffer)(self.handle, bytes.as_ptr().cast(), bytes.len() as u64) })
    }

    /// How many features a row must have.
    ///
    /// # Errors
    /// What the library says.
    pub fn features(&self) -> Result<usize, GbdtError> {
        let mut count = 0;
        // SAFETY: one number is written.
        self.api.check(unsafe { (self.api.XGBoosterGetNumFeature)(self.handle, &raw mut count) })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// One prediction a row.
    ///
    /// # Errors
    /// What the library says, and an answer of another size.
    pub fn predict(&self, data: &XgBoostData) -> Result<Vec<f32>, GbdtError> {
        self.answers(data, PREDICT, 1)
    }

    /// What each feature adds to each row's raw prediction, and last what all rows begin with: one number more a row than there are features.
    ///
    /// # Errors
    /// What the library says, and an answer of another size.
    pub fn contributions(&self, data: &XgBoostData) -> Result<Vec<f32>, GbdtError> {
        self.answers(data, PREDICT_CONTRIBUTIONS, self.features()? + 1)
    }

    /// The gain of all splits by a feature, over all trees, by the feature's name; features without a split are left out.
    ///
    /// # Errors
    /// What the library says, also of a model without trees.
    pub fn gains(&self) -> Result<Vec<(String, f32)>, GbdtError> {
        let config = c_text(r#"{"importance_type":"total_gain"}"#);
        let (mut count, mut names, mut dimensions, mut shape, mut scores) = (0, ptr::null(), 0, ptr::null(), ptr::null());
        // SAFETY: `count` names and as many scores are kept until the next call; they are copied here.
        unsafe {
            let (handle, config, score) = (self.handle, config.as_ptr(), self.api.XGBoosterFeatureScore);
            self.api.check(score(handle, config, &raw mut count, &raw mut names, &raw mut dimensions, &raw mut shape, &raw mut scores))?;
            let count = usize::try_from(count).unwrap_or(0);
            if count == 0 {
                return Ok(Vec::new());
            }
            let name = |name: &*const c_char| CStr::from_ptr(*name).to_string_lossy().into_owned();
            let names: Vec<String> = slice::from_raw_parts(names, count).iter().map(name).collect();
            Ok(names.into_iter().zip(slice::from_raw_parts(scores, count).iter().copied()).collect())
        }
    }

    /// `width` numbers a row, of the kind asked for.
    fn answers(&self, data: &XgBoostData, kind: c_int, width: usize) -> Result<Vec<f32>, GbdtError> {
        let config = format!("{{\"type\":{kind},\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false}}");
        let (mut shape, mut dimensions, mut start) = (ptr::null(), 0, ptr::null());
        // SAFETY: `dimensions` sizes at `shape`, and their product of floats at `start`, are kept until the next call; they are copied here.
        unsafe {
            let (handle, config) = (self.handle, c_text(&config));
            let predict = self.api.XGBoosterPredictFromDMatrix;
            self.api.check(predict(handle, data.handle, config.as_ptr(), &raw mut shape, &raw mut dimensions, &raw mut start))?;
            let sizes: &[u64] = slice::from_raw_parts(shape, usize::try_from(dimensions).unwrap_or(0));
            if sizes.iter().product::<u64>() != (data.rows * width) as u64 {
                return Err(GbdtError::Answer { library: "xgboost", answer: format!("predictions of shape {sizes:?}") });
            }
            Ok(slice::from_raw_parts(start, data.rows * width).to_vec())
        }
    }
}

impl Drop for XgBoostBooster {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and freed here alone, before the rows it points to.
        unsafe { (self.api.XGBoosterFree)(self.handle) };
    }
}
