//! Owns looking at how far running steps are. Invariant: it only looks; a file that is not there, or not whole yet, is nothing to tell of.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::clock;
use crate::io::fs;
use crate::model::progress::{self, Progress};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// The steps that run, each with the folder that it may say it in.
#[derive(Debug)]
pub struct Watched<I> {
    steps: Vec<(I, PathBuf, Option<Progress>)>,
    looked: Option<Instant>,
}

impl<I> Default for Watched<I> {
    fn default() -> Self {
        Self { steps: Vec::new(), looked: None }
    }
}

impl<I: Copy + PartialEq> Watched<I> {
    /// A step begins. What an earlier run of it said is not told again.
    pub fn begin(&mut self, id: I, folder: PathBuf) {
        let said = read(&folder);
        self.steps.push((id, folder, said));
    }

    /// A step has ended.
    pub fn end(&mut self, id: I) {
        self.steps.retain(|(step, ..)| *step != id);
    }

    /// What is new since the last look; nothing where that was less than a second ago.
    pub fn look(&mut self) -> Vec<(I, Progress)> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Vec::new();
        }
        self.looked = Some(clock::start());
        let news = self.steps.iter_mut().filter_map(|(id, folder, last)| {
            let progress = read(folder).filter(|progress| last.as_ref() != Some(progress))?;
            *last = Some(progress.clone());
            Some((*id, progress))
        });
        news.collect()
    }
}

/// What is said in the folder, and in that of the part that runs.
fn read(folder: &Path) -> Option<Progress> {
    let text = fs::read_if_any(&folder.join(progress::FILE)).ok()??;
    let mut progress: Progress = serde_json::from_slice(&text).ok()?;
    progress.within = read(&progress::part(folder, progress.done)).map(Box::new);
    Some(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(folder: &Path, unit: &str, done: u64) {
        let figures = [("valid_loss".to_owned(), 0.5)].into();
        let progress = Progress { unit: unit.to_owned(), done, of: 9, figures, left_ms: None, within: None };
        fs::create_folders(folder).unwrap();
        fs::write(&folder.join(progress::FILE), serde_json::to_string(&progress).unwrap().as_bytes()).unwrap();
    }

    #[test]
    fn the_part_that_runs_is_told_of_with_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        say(folder.path(), "fold", 1);
        assert_eq!(read(folder.path()).unwrap().in_words(), "fold 1 of 9, valid_loss 0.5000");
        for part in [0, 1] {
            say(&progress::part(folder.path(), part), "epoch", 3 + part);
        }
        assert_eq!(read(folder.path()).unwrap().in_words(), "fold 2 of 9, valid_loss 0.5000, epoch 4 of 9, valid_loss 0.5000");
    }

    #[test]
    fn what_an_earlier_run_said_is_not_told_as_this_ones() {
        let folder = tempfile::tempdir().unwrap();
        say(folder.path(), "epoch", 5);
        let mut watched = Watched::default();
        watched.begin(7, folder.path().to_owned());
        assert!(watched.look().is_empty());
        say(folder.path(), "epoch", 6);
        watched.looked = None;
        assert_eq!(watched.look().len(), 1);
    }

    #[test]
    fn what_a_step_says_is_told_once_and_never_of_one_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let say = |done: u64| say(folder.path(), "epoch", done);
        let mut watched = Watched::default();
        let look = |watched: &mut Watched<u8>| {
            watched.looked = None;
            watched.look().into_iter().map(|(_, progress)| progress.in_words()).collect::<Vec<_>>()
        };
        watched.begin(7, folder.path().to_owned());
        assert!(look(&mut watched).is_empty());
        say(2);
        assert_eq!(look(&mut watched), ["epoch 2 of 9, valid_loss 0.5000"]);
        assert!(look(&mut watched).is_empty());
        fs::write(&folder.path().join(progress::FILE), b"{\"unit\": \"ep").unwrap();
        assert!(look(&mut watched).is_empty(), "half a file");
        say(3);
        watched.end(7);
        assert!(look(&mut watched).is_empty());
    }
}
