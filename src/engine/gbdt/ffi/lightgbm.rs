//! Owns the calls into `lib_lightgbm`. Invariant: a booster keeps the rows it points to.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::ffi::c::{Handle, Rows, Texts, c_text, c_texts, library, pointers};

library!(
    /// `LightGBM`'s C interface, as far as it is used (`include/LightGBM/c_api.h` of 4.7.0).
    LightGbm, "lightgbm", LGBM_GetLastError, {
        LGBM_DatasetCreateFromMat(*const c_void, c_int, i32, i32, c_int, *const c_char, Handle, *mut Handle);
        LGBM_DatasetSetField(Handle, *const c_char, *const c_void, c_int, c_int);
        LGBM_DatasetSetFeatureNames(Handle, Texts, c_int);
        LGBM_DatasetFree(Handle);
        LGBM_BoosterCreate(Handle, *const c_char, *mut Handle);
        LGBM_BoosterLoadModelFromString(*const c_char, *mut c_int, *mut Handle);
        LGBM_BoosterAddValidData(Handle, Handle);
        LGBM_BoosterUpdateOneIter(Handle, *mut c_int);
        LGBM_BoosterGetEvalCounts(Handle, *mut c_int);
        LGBM_BoosterGetEval(Handle, c_int, *mut c_int, *mut f64);
        LGBM_BoosterGetNumFeature(Handle, *mut c_int);
        LGBM_BoosterGetNumClasses(Handle, *mut c_int);
        LGBM_BoosterSaveModelToString(Handle, c_int, c_int, c_int, i64, *mut i64, *mut c_char);
        LGBM_BoosterPredictForMat(Handle, *const c_void, c_int, i32, i32, c_int, c_int, c_int, c_int, *const c_char, *mut i64, *mut f64);
        LGBM_BoosterFeatureImportance(Handle, c_int, c_int, *mut f64);
        LGBM_BoosterFree(Handle);
    }
);

const FLOAT32: c_int = 0;
const FLOAT64: c_int = 1;
const ROW_MAJOR: c_int = 1;
const PREDICT: c_int = 0;
const PREDICT_CONTRIBUTIONS: c_int = 3;
const GAIN: c_int = 1;

/// Rows in `LightGBM`'s own form.
pub struct LightGbmData {
    api: &'static LightGbm,
    handle: Handle,
}

impl LightGbm {
    /// Takes the rows in, binned by `params` or, for valid rows, as `reference` was.
    ///
    /// # Errors
    /// What the library says.
    pub fn data(&'static self, rows: Rows<f64>, params: &str, reference: Option<&LightGbmData>) -> Result<LightGbmData, GbdtError> {
        let (count, columns) = rows.shape("lightgbm")?;
        let (params, values) = (c_text(params), rows.values.as_ptr().cast());
        let reference = reference.map_or(ptr::null_mut(), |data| data.handle);
        let mut handle = ptr::null_mut();
        // SAFETY: `values` holds rows × columns doubles; the library copies what it needs.
        self.check(unsafe {
            (self.LGBM_DatasetCreateFromMat)(values, FLOAT64, count, columns, ROW_MAJOR, params.as_ptr(), reference, &raw mut handle)
        })?;
        Ok(LightGbmData { api: self, handle })
    }

    /// A booster that learns from `train`.
    ///
    /// # Errors
    /// What the library says.
    pub fn booster(&'static self, train: LightGbmData, params: &str) -> Result<LightGbmBooster, GbdtError> {
        let mut handle = ptr::null_mut();
        // SAFETY: `train` is kept as long as the booster.
        self.check(unsafe { (self.LGBM_BoosterCreate)(train.handle, c_text(params).as_ptr(), &raw mut handle) })?;
        Ok(LightGbmBooster { api: self, handle, data: vec![train] })
    }

    /// A booster read from a model's text.
    ///
    /// # Errors
    /// What the library says.
    pub fn booster_from_text(&'static self, text: &str) -> Result<LightGbmBooster, GbdtError> {
        let (mut handle, mut rounds) = (ptr::null_mut(), 0);
        // SAFETY: the text ends with a zero and is only read.
        self.check(unsafe { (self.LGBM_BoosterLoadModelFromString)(c_text(text).as_ptr(), &raw mut rounds, &raw mut handle) })?;
        Ok(LightGbmBooster { api: self, handle, data: Vec::new() })
    }
}

impl LightGbmData {
    /// Sets `label` or `weight`, one value a row.
    ///
    /// # Errors
    /// What the library says.
    pub fn set(&mut self, field: &str, values: &[f32]) -> Result<(), GbdtError> {
        let too_large = |_| GbdtError::TooLarge { library: "lightgbm", rows: values.len(), columns: 1 };
        let count = c_int::try_from(values.len()).map_err(too_large)?;
        // SAFETY: `values` holds `count` floats; the library copies them.
        self.api
            .check(unsafe { (self.api.LGBM_DatasetSetField)(self.handle, c_text(field).as_ptr(), values.as_ptr().cast(), count, FLOAT32) })
    }

    /// Names the columns.
    ///
    /// # Errors
    /// What the library says.
    pub fn set_names(&mut self, names: &[&str]) -> Result<(), GbdtError> {
        let texts = c_texts(names);
        let count = c_int::try_from(names.len()).unwrap_or(c_int::MAX);
        // SAFETY: as many texts as said, each ended by a zero; the library copies them.
        self.api.check(unsafe { (self.api.LGBM_DatasetSetFeatureNames)(self.handle, pointers(&texts).as_ptr(), count) })
    }
}

impl Drop for LightGbmData {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and freed here alone.
        unsafe { (self.api.LGBM_DatasetFree)(self.handle) };
    }
}

/// `LightGBM`'s booster, with the rows it learns from.
pub struct LightGbmBooster {
    api: &'static LightGbm,
    handle: Handle,
    data: Vec<LightGbmData>,
}

impl LightGbmBooster {
    /// Adds rows to judge by.
    ///
    /// # Errors
    /// What the library says.
    pub fn add_valid(&mut self, valid: LightGbmData) -> Result<(), GbdtError> {
        // SAFETY: `valid` is kept as long as the booster.
        self.api.check(unsafe { (self.api.LGBM_BoosterAddValidData)(self.handle, valid.handle) })?;
        self.data.push(valid);
        Ok(())
    }

    /// Runs one round of boosting.
    ///
    /// # Errors
    /// What the library says.
    pub fn update(&mut self) -> Result<(), GbdtError> {
        let mut finished = 0;
        // SAFETY: one int is written.
        self.api.check(unsafe { (self.api.LGBM_BoosterUpdateOneIter)(self.handle, &raw mut finished) })
    }

    /// The metrics on the first valid rows added.
    ///
    /// # Errors
    /// What the library says.
    pub fn valid_scores(&self) -> Result<Vec<f64>, GbdtError> {
        let (mut count, mut written) = (0, 0);
        // SAFETY: one int is written.
        self.api.check(unsafe { (self.api.LGBM_BoosterGetEvalCounts)(self.handle, &raw mut count) })?;
        let mut scores = vec![0.0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: `scores` holds as many values as the library said it writes.
        self.api.check(unsafe { (self.api.LGBM_BoosterGetEval)(self.handle, 1, &raw mut written, scores.as_mut_ptr()) })?;
        Ok(scores)
    }

    /// The model's text with its first `rounds` rounds.
    ///
    /// # Errors
    /// What the library says.
    pub fn text(&self, rounds: u32) -> Result<String, GbdtError> {
        let rounds = c_int::try_from(rounds).unwrap_or(c_int::MAX);
        let mut buffer: Vec<u8> = vec![0; 1 << 20];
        loop {
            let mut length = 0;
            let room = i64::try_from(buffer.len()).unwrap_or(i64::MAX);
            let start = buffer.as_mut_ptr().cast();
            // SAFETY: at most `room` bytes are written; `length` is what the whole text needs.
            self.api.check(unsafe { (self.api.LGBM_BoosterSaveModelToString)(self.handle, 0, rounds, 0, room, &raw mut length, start) })?;
            let needed = usize::try_from(length).unwrap_or(0);
            if needed > buffer.len() {
                buffer.resize(needed, 0);
                continue;
            }
            buffer.truncate(needed.saturating_sub(1));
            return String::from_utf8(buffer).map_err(|e| GbdtError::Answer { library: "lightgbm", answer: e.to_string() });
        }
    }

    /// How many features a row must have.
    ///
    /// # Errors
    /// What the library says.
    pub fn features(&self) -> Result<usize, GbdtError> {
        let mut count = 0;
        // SAFETY: one int is written.
        self.api.check(unsafe { (self.api.LGBM_BoosterGetNumFeature)(self.handle, &raw mut count) })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// One prediction a row.
    ///
    /// # Errors
    /// What the library says, also when the rows have another number of features.
    pub fn predict(&self, rows: Rows<f64>, params: &str) -> Result<Vec<f64>, GbdtError> {
        self.answers(rows, params, PREDICT, 1)
    }

    /// The probability of each of so many classes, class after class within a row.
    ///
    /// # Errors
    /// What the library says, also when the rows have another number of features.
    pub fn probabilities(&self, rows: Rows<f64>, params: &str) -> Result<Vec<f64>, GbdtError> {
        let mut classes = 0;
        // SAFETY: one int is written.
        self.api.check(unsafe { (self.api.LGBM_BoosterGetNumClasses)(self.handle, &raw mut classes) })?;
        self.answers(rows, params, PREDICT, usize::try_from(classes).unwrap_or(0))
    }

    /// What each feature adds to each row's raw prediction, and last what all rows begin with: `columns + 1` numbers a row.
    ///
    /// # Errors
    /// What the library says, also when the rows have another number of features or the trees' leaves are linear.
    pub fn contributions(&self, rows: Rows<f64>, params: &str) -> Result<Vec<f64>, GbdtError> {
        self.answers(rows, params, PREDICT_CONTRIBUTIONS, self.features()? + 1)
    }

    /// The gain of all splits by each feature, over all trees.
    ///
    /// # Errors
    /// What the library says.
    pub fn gains(&self) -> Result<Vec<f64>, GbdtError> {
        let mut gains = vec![0.0; self.features()?];
        // SAFETY: one value a feature is written.
        self.api.check(unsafe { (self.api.LGBM_BoosterFeatureImportance)(self.handle, 0, GAIN, gains.as_mut_ptr()) })?;
        Ok(gains)
    }

    /// `width` numbers a row, of the kind asked for.
    fn answers(&self, rows: Rows<f64>, params: &str, kind: c_int, width: usize) -> Result<Vec<f64>, GbdtError> {
        let (count, columns) = rows.shape("lightgbm")?;
        let mut answers = vec![0.0; rows.rows * width];
        let (mut written, params) = (0, c_text(params));
        // SAFETY: as many values a row as `width` says are written: the model's outputs, or its features and one; the rows are only read.
        self.api.check(unsafe {
            let values = rows.values.as_ptr().cast();
            let (handle, answers) = (self.handle, answers.as_mut_ptr());
            (self.api.LGBM_BoosterPredictForMat)(
                handle,
                values,
                FLOAT64,
                count,
                columns,
                ROW_MAJOR,
                kind,
                0,
                -1,
                params.as_ptr(),
                &raw mut written,
                answers,
            )
        })?;
        Ok(answers)
    }
}

impl Drop for LightGbmBooster {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and freed here alone, before the rows it points to.
        unsafe { (self.api.LGBM_BoosterFree)(self.handle) };
    }
}
