//! A progress bar on the terminal, for work that takes longer than a second.

use std::time::Duration;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

use crate::convert::Progress;

const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far work is on stderr, if that is a terminal.
pub struct Bar {
    begin: Instant,
    bar: ProgressBar,
    hidden: bool,
}

impl Bar {
    /// For bytes; shows nothing yet.
    pub fn new() -> Self {
        Self::with("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}")
    }

    /// For steps; shows nothing yet.
    pub fn of_steps() -> Self {
        Self::with("{bar:30} {pos}/{len} eta {eta} {msg}")
    }

    fn with(template: &str) -> Self {
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        // Counts from the beginning, so that the rate is right when it is shown.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
        Self { begin: Instant::now(), bar, hidden: true }
    }

    /// Shows how far the work is, once it has taken long enough.
    pub fn show(&mut self, progress: Progress<'_>) {
        self.step(progress.done_bytes, progress.total_bytes, progress.tensor.to_string());
    }

    /// Shows that `done` of `total` are done and what is next, once it has taken long enough.
    pub fn step(&mut self, done: u64, total: u64, next: String) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(next);
        if self.hidden && self.begin.elapsed() >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.hidden = false;
        }
    }
}

impl Bar {
    /// Prints something without the bar in its way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
