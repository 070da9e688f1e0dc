//! Progress of a long job.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, one line is printed for every tenth of the total.
const STEPS: u64 = 10;

pub(crate) struct Progress(Output);

enum Output {
    Silent,
    Bar(ProgressBar),
    Lines { what: &'static str, total: Option<u64>, printed: u64 },
}

impl Progress {
    pub(crate) fn silent() -> Self {
        Self(Output::Silent)
    }

    pub(crate) fn bar(what: &'static str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = match total {
            Some(_) => "{prefix:<9} [{bar:32}] {human_pos}/{human_len} {msg}",
            None => "{prefix:<9} {spinner} {human_pos} {msg}",
        };
        // Both templates are valid; if one were not, the bar would be drawn without it.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Output::Bar(bar))
    }

    pub(crate) fn lines(what: &'static str, total: Option<u64>) -> Self {
        Self(Output::Lines { what, total, printed: 0 })
    }

    /// Sets how many are done so far.
    pub(crate) fn reached(&mut self, done: u64) {
        match &mut self.0 {
            Output::Silent => {}
            Output::Bar(bar) => bar.set_position(done),
            Output::Lines { what, total: Some(total), printed } => {
                let steps = done.saturating_mul(STEPS).checked_div(*total).unwrap_or(0);
                if steps > *printed {
                    *printed = steps;
                    print_to_stderr(&format!("{what}: {done} of {total}"));
                }
            }
            Output::Lines { total: None, .. } => {}
        }
    }

    /// Reports an event; a bar shows it above itself.
    #[cfg(feature = "demo")]
    pub(crate) fn event(&self, what: &str) {
        match &self.0 {
            Output::Silent => {}
            Output::Bar(bar) => {
                bar.set_message(what.to_owned());
                bar.println(what);
            }
            Output::Lines { .. } => print_to_stderr(what),
        }
    }

    /// Sets the current state, which only a bar shows.
    pub(crate) fn state(&self, what: impl Into<String>) {
        if let Output::Bar(bar) = &self.0 {
            bar.set_message(what.into());
        }
    }

    pub(crate) fn finish(self) {
        if let Output::Bar(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

fn print_to_stderr(line: &str) {
    use std::io::Write as _;
    // If stderr is closed, nobody reads the progress, and the work goes on.
    let _ = writeln!(std::io::stderr(), "{line}");
}
