//! A progress bar on the terminal, for work that takes longer than a second.

use std::time::Duration;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

use crate::convert::Progress;

const PATIENCE: Duration = Duration::from_secs(1);

/// Shows [`Progress`] on stderr, if that is a terminal.
pub struct Bar {
    begin: Instant,
    bar: ProgressBar,
    hidden: bool,
}

impl Bar {
    /// Shows nothing yet.
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        // Counts from the beginning, so that the rate is right when it is shown.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
        Self { begin: Instant::now(), bar, hidden: true }
    }

    /// Shows how far the work is, once it has taken long enough.
    pub fn show(&mut self, progress: Progress<'_>) {
        self.bar.set_length(progress.total_bytes);
        self.bar.set_position(progress.done_bytes);
        self.bar.set_message(progress.tensor.to_string());
        if self.hidden && self.begin.elapsed() >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.hidden = false;
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
