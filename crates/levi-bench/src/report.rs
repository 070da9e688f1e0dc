//! What was measured: figures with what they are held against, as a table and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::stats::Spread;

/// What a ratio must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Mark {
    AtLeast(f64),
    AtMost(f64),
    /// Shown for comparison.
    None,
}

impl Mark {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::None => "-".to_owned(),
        }
    }
}

/// One line of the table: Levi beside its limit or rival, round by round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was done, under which conditions.
    pub(crate) what: String,
    /// What Levi is held against.
    pub(crate) against: String,
    pub(crate) unit: String,
    /// One value a round.
    pub(crate) levi: Vec<f64>,
    /// The rival's value of the same round; or one limit for all.
    pub(crate) rival: Vec<f64>,
    pub(crate) mark: Mark,
    /// Whatever else is worth reading beside it.
    pub(crate) note: String,
}

impl Figure {
    /// Levi's value over the rival's, round by round.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        let rival = |round: usize| self.rival.get(round).or(self.rival.last()).copied().unwrap_or(1.0);
        self.levi.iter().enumerate().map(|(round, levi)| levi / rival(round)).collect()
    }

    fn row(&self, group: &str) -> String {
        let ratio = Spread::of(&self.ratios());
        let verdict = match self.mark.is_met(ratio.median) {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        format!(
            "| {} | {} | {} | {} | {} | {:.2} / **{:.2}** / {:.2} | {} | {} | {} |\n",
            group,
            self.what,
            number(Spread::of(&self.levi).median, &self.unit),
            self.against,
            number(Spread::of(&self.rival).median, &self.unit),
            ratio.min,
            ratio.median,
            ratio.max,
            self.mark.text(),
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

/// A picture for `docs/plots`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plot {
    /// The file's name without `.svg`.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) log_x: bool,
    pub(crate) log_y: bool,
    pub(crate) lines: Vec<Line>,
}

/// One group of figures, measured in one go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Such as `drain`.
    pub(crate) group: String,
    /// How busy the machine was with it and with other things.
    pub(crate) conditions: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) plots: Vec<Plot>,
}

impl Run {
    pub(crate) fn figure(&mut self, figure: Figure) {
        println!("{}", figure.row(&self.group).trim_end());
        self.figures.push(figure);
    }
}

/// What the page shows: every group as it was measured last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Vec<String>,
    pub(crate) runs: Vec<Run>,
}

impl Report {
    /// Puts a group in its place, instead of what was measured of it before. Figures of one group never come from two
    /// runs.
    pub(crate) fn put(&mut self, run: Run, order: &[&str]) {
        self.runs.retain(|earlier| earlier.group != run.group);
        self.runs.push(run);
        self.runs.sort_by_key(|run| order.iter().position(|group| *group == run.group));
    }

    /// As Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for line in &self.machine {
            let _ = writeln!(text, "- {line}");
        }
        for run in &self.runs {
            let _ = writeln!(text, "- {}: {}", run.group, run.conditions);
        }
        text.push('\n');
        text.push_str(
            "| group | what | Levi | rival or limit | its figure | ratio min / median / max | mark | | note |\n",
        );
        text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
        for run in &self.runs {
            text.extend(run.figures.iter().map(|figure| figure.row(&run.group)));
        }
        text
    }

    /// How many marks were missed.
    pub(crate) fn missed(&self) -> usize {
        let missed =
            |figure: &&Figure| figure.mark.is_met(Spread::of(&figure.ratios()).median) == Some(false);
        self.runs.iter().flat_map(|run| &run.figures).filter(missed).count()
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

    fn figure(levi: &[f64], rival: &[f64], mark: Mark) -> Figure {
        Figure {
            what: String::new(),
            against: String::new(),
            unit: "ms".into(),
            levi: levi.to_vec(),
            rival: rival.to_vec(),
            mark,
            note: String::new(),
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round_and_a_single_limit_holds_for_all() {
        assert_eq!(figure(&[2.0, 9.0], &[1.0, 3.0], Mark::None).ratios(), [2.0, 3.0]);
        assert_eq!(figure(&[2.0, 9.0], &[2.0], Mark::None).ratios(), [1.0, 4.5]);
    }

    #[test]
    fn a_missed_mark_is_counted_and_shown() {
        let mut run = Run { group: "g".into(), ..Run::default() };
        run.figure(figure(&[2.0], &[1.0], Mark::AtMost(1.5)));
        run.figure(figure(&[2.0], &[1.0], Mark::AtLeast(1.5)));
        run.figure(figure(&[2.0], &[1.0], Mark::None));
        let report = Report { runs: vec![run], ..Report::default() };
        assert_eq!(report.missed(), 1);
        assert_eq!(report.table().matches("**missed**").count(), 1);
    }

    #[test]
    fn a_group_measured_again_replaces_the_one_of_before_and_the_others_stay_in_order() {
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
