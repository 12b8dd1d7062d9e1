//! A progress bar on the terminal, for work that takes longer than a second.

use std::time::Duration;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::convert::Progress;

const PATIENCE: Duration = Duration::from_secs(1);

/// Shows [`Progress`] on stderr, if that is a terminal.
pub struct Bar {
    begin: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// Shows nothing yet.
    pub fn new() -> Self {
        Self { begin: Instant::now(), bar: None }
    }

    /// Shows how far the work is, once it has taken long enough.
    pub fn show(&mut self, progress: Progress<'_>) {
        if self.bar.is_none() && self.begin.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}");
            // Begins where the work is, so that the rate shown is not that of one jump.
            ProgressBar::new(progress.total_bytes)
                .with_position(progress.done_bytes)
                .with_elapsed(self.begin.elapsed())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(progress.done_bytes);
        bar.set_message(progress.tensor.to_string());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
