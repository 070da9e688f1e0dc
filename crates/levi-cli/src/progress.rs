//! How far a long job is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Plain lines come at every tenth of the whole.
const TENTHS: u64 = 10;

pub(crate) struct Progress(Shown);

enum Shown {
    Silent,
    Bar(ProgressBar),
    Lines { what: &'static str, total: Option<u64>, told: u64 },
}

impl Progress {
    pub(crate) fn silent() -> Self {
        Self(Shown::Silent)
    }

    pub(crate) fn bar(what: &'static str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let form = match total {
            Some(_) => "{prefix:<9} [{bar:32}] {human_pos}/{human_len} {msg}",
            None => "{prefix:<9} {spinner} {human_pos} {msg}",
        };
        // The template is a constant that is drawn in every test of this file; a bad one falls back to plain.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Shown::Bar(bar))
    }

    pub(crate) fn lines(what: &'static str, total: Option<u64>) -> Self {
        Self(Shown::Lines { what, total, told: 0 })
    }

    /// So many are done.
    pub(crate) fn reached(&mut self, done: u64) {
        match &mut self.0 {
            Shown::Silent => {}
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines { what, total: Some(total), told } => {
                let tenth = (done.saturating_mul(TENTHS)).checked_div(*total).unwrap_or(0);
                if tenth > *told {
                    *told = tenth;
                    eprintln_quietly(&format!("{what}: {done} of {total}"));
                }
            }
            Shown::Lines { total: None, .. } => {}
        }
    }

    /// Something happened meanwhile.
    pub(crate) fn event(&self, what: &str) {
        match &self.0 {
            Shown::Silent => {}
            Shown::Bar(bar) => {
                bar.set_message(what.to_owned());
                bar.println(what);
            }
            Shown::Lines { .. } => eprintln_quietly(what),
        }
    }

    /// What is going on now, for as long as it goes on; only a bar has room for it.
    pub(crate) fn state(&self, what: impl Into<String>) {
        if let Shown::Bar(bar) = &self.0 {
            bar.set_message(what.into());
        }
    }

    pub(crate) fn finish(self) {
        if let Shown::Bar(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

fn eprintln_quietly(line: &str) {
    use std::io::Write as _;
    // Where stderr is closed nobody wants to know.
    let _ = writeln!(std::io::stderr(), "{line}");
}
