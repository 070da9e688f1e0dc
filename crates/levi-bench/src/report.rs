//! The results: figures with their baselines, as a table and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::stats::Spread;

/// The value that a median ratio must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// The median ratio is one, or differs from it by no more than this.
    Within(f64),
    /// The figure is shown for comparison only.
    None,
}

impl Target {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::Within(most) => Some((value - 1.0).abs() <= most),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Within(most) => format!("1 ± {most}"),
            Self::None => "-".to_owned(),
        }
    }
}

/// One row of the table: Levi and its baseline in each round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The operation and its conditions.
    pub(crate) what: String,
    /// The baseline or limit.
    pub(crate) against: String,
    pub(crate) unit: String,
    /// Levi's value in each round.
    pub(crate) levi: Vec<f64>,
    /// The baseline's value in each round, or one limit for all rounds.
    pub(crate) baseline: Vec<f64>,
    pub(crate) target: Target,
    /// Remarks, such as percentiles or processor time.
    pub(crate) note: String,
}

impl Figure {
    /// Levi's value divided by the baseline's, for each round.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        let baseline =
            |round: usize| self.baseline.get(round).or(self.baseline.last()).copied().unwrap_or(1.0);
        self.levi.iter().enumerate().map(|(round, levi)| levi / baseline(round)).collect()
    }

    fn row(&self) -> String {
        let ratio = Spread::of(&self.ratios());
        let verdict = match self.target.is_met(ratio.median) {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        format!(
            "| {} | {} | {} | {} | {:.2} / **{:.2}** / {:.2} | {} | {} | {} |\n",
            self.what,
            number(Spread::of(&self.levi).median, &self.unit),
            self.against,
            number(Spread::of(&self.baseline).median, &self.unit),
            ratio.min,
            ratio.median,
            ratio.max,
            self.target.text(),
            verdict,
            self.note
        )
    }
}

/// A line of a plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot for `docs/performance`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plot {
    /// The name of the file without `.svg`.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) log_x: bool,
    pub(crate) log_y: bool,
    pub(crate) lines: Vec<Line>,
}

/// One group of figures from one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The name of the group, such as `drain`.
    pub(crate) group: String,
    /// The duration, and the load of other programs meanwhile.
    pub(crate) conditions: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) plots: Vec<Plot>,
}

impl Run {
    pub(crate) fn figure(&mut self, figure: Figure) {
        println!("{}: {}", self.group, figure.row().trim_end());
        self.figures.push(figure);
    }
}

/// The beginning of `docs/performance/tables.md`.
const HEAD: &str = "# Benchmark tables

<!-- Written by `cargo xtask bench --write`. Do not edit by hand. -->

The last full run. How to read it: [performance.md](../performance.md). Round by round:
[figures.json](figures.json).

";

/// Every group as it was measured last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Vec<String>,
    pub(crate) runs: Vec<Run>,
}

impl Report {
    /// Replaces the group of this name, so that the figures of one group come from one run.
    pub(crate) fn put(&mut self, run: Run, order: &[&str]) {
        self.runs.retain(|earlier| earlier.group != run.group);
        self.runs.push(run);
        self.runs.sort_by_key(|run| order.iter().position(|group| *group == run.group));
    }

    /// The page with the tables, in Markdown: a section for each group.
    pub(crate) fn page(&self) -> String {
        let mut text = HEAD.to_owned();
        for line in &self.machine {
            let _ = writeln!(text, "- {line}");
        }
        for run in &self.runs {
            let (title, subject) = section(&run.group);
            let _ = writeln!(text, "\n## {title}\n\n{subject} {}.\n\n{COLUMNS}", run.conditions);
            text.extend(run.figures.iter().map(Figure::row));
            for plot in &run.plots {
                let _ = writeln!(text, "\n![{}]({}.svg)", plot.title, plot.file);
            }
        }
        text
    }

    /// How many targets were missed.
    pub(crate) fn missed(&self) -> usize {
        let missed =
            |figure: &&Figure| figure.target.is_met(Spread::of(&figure.ratios()).median) == Some(false);
        self.runs.iter().flat_map(|run| &run.figures).filter(missed).count()
    }
}

const COLUMNS: &str =
    "| what | Levi | baseline or limit | its value | ratio min / median / max | target | | note |
| --- | --- | --- | --- | --- | --- | --- | --- |";

/// The title of a group's section, and what the group measures.
fn section(group: &str) -> (&str, &'static str) {
    match group {
        "request-build" => (
            "Request build",
            "Encrypting, encoding and building a request, without a disk and without a network.",
        ),
        "fan-out" => ("Fan-out", "Sealing one session secret for many devices and sending it."),
        "enqueue" => ("Enqueue", "`enqueue_durable`: from the call to the receipt."),
        "drain" => ("Drain", "A backlog that is sent: claim, read, send, acknowledge."),
        "command" => ("Command", "The whole process `levi sync`, with a server in another process."),
        "latency" => ("Latency", "From `enqueue` to the request."),
        "reading" => {
            ("Reading", "Another device: how soon it sees a message, and what a poll and a message cost.")
        }
        "device-list" => (
            "Device list",
            "Messages of version 2, adding and removing a device, a start, next to the same without a list.",
        ),
        "cost" => (
            "Cost of a day",
            "Five loads in real time, and a model that is fitted to the first three. The pictures are the model's.",
        ),
        "scaling" => ("Scaling", "The four steps of a batch, by the number of pending rows."),
        "memory" => ("Memory", "A process that starts with a backlog and drains it."),
        "space" => {
            ("Space", "What a drained backlog leaves on the disk, and what giving it back costs a message.")
        }
        "idle" => ("Idle", "A process with nothing to do."),
        other => (other, ""),
    }
}

fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(levi: &[f64], baseline: &[f64], target: Target) -> Figure {
        Figure {
            what: String::new(),
            against: String::new(),
            unit: "ms".into(),
            levi: levi.to_vec(),
            baseline: baseline.to_vec(),
            target,
            note: String::new(),
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round_and_a_single_limit_holds_for_all() {
        assert_eq!(figure(&[2.0, 9.0], &[1.0, 3.0], Target::None).ratios(), [2.0, 3.0]);
        assert_eq!(figure(&[2.0, 9.0], &[2.0], Target::None).ratios(), [1.0, 4.5]);
    }

    #[test]
    fn a_missed_target_is_counted_and_shown() {
        let mut run = Run { group: "g".into(), ..Run::default() };
        run.figure(figure(&[2.0], &[1.0], Target::AtMost(1.5)));
        run.figure(figure(&[2.0], &[1.0], Target::AtLeast(1.5)));
        run.figure(figure(&[2.0], &[1.0], Target::None));
        let report = Report { runs: vec![run], ..Report::default() };
        assert_eq!(report.missed(), 1);
        assert_eq!(report.page().matches("**missed**").count(), 1);
    }

    #[test]
    fn a_group_measured_again_replaces_the_earlier_one_and_the_others_stay_in_order() {
        let run = |group: &str, conditions: &str| Run {
            group: group.into(),
            conditions: conditions.into(),
            ..Run::default()
        };
        let mut report = Report { runs: vec![run("a", "old"), run("b", "old")], ..Report::default() };
        report.put(run("a", "new"), &["a", "b"]);
        let now: Vec<_> = report.runs.iter().map(|run| (&*run.group, &*run.conditions)).collect();
        assert_eq!(now, [("a", "new"), ("b", "old")]);
    }
}
