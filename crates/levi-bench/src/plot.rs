//! Line plots as SVG, plain enough to be read as text in a diff.

use std::fmt::Write as _;

use crate::report::Plot;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 8] =
    ["#0b6efd", "#d6336c", "#2b8a3e", "#e8590c", "#6741d9", "#0c8599", "#868e96", "#5c3d00"];

/// One axis: from values to pixels.
struct Axis {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, log: bool, from: f64, to: f64) -> Self {
        let scale = |value: f64| if log { value.max(1e-9).log10() } else { value };
        let high = values.clone().map(scale).fold(f64::NEG_INFINITY, f64::max);
        let low = values.map(scale).fold(f64::INFINITY, f64::min);
        // A linear axis starts at zero, or differences look larger than they are.
        let (low, high) = if log { (low.floor(), high.ceil()) } else { (0.0, high * 1.05) };
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).log10() } else { value };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            return (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power)).collect();
        }
        (0..=4).map(|step| self.low + (self.high - self.low) * f64::from(step) / 4.0).collect()
    }
}

/// Draws a plot.
pub(crate) fn svg(plot: &Plot) -> String {
    let points = plot.lines.iter().flat_map(|line| &line.points);
    let x = Axis::over(points.clone().map(|point| point.0), plot.log_x, LEFT, WIDTH - RIGHT);
    let y = Axis::over(points.map(|point| point.1), plot.log_y, HEIGHT - BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{}</text>\n",
        escape(&plot.title)
    );
    axes(&mut out, plot, &x, &y);
    for (index, line) in plot.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<String> = line
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1)))
            .collect();
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            path.join(" ")
        );
        for place in path.iter().filter_map(|point| point.split_once(',')) {
            let _ =
                writeln!(out, "<circle cx=\"{}\" cy=\"{}\" r=\"2.5\" fill=\"{colour}\"/>", place.0, place.1);
        }
        let at = TOP + 8.0 + 16.0 * index as f64;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{}</text>",
            WIDTH - RIGHT + 12.0,
            escape(&line.name)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn axes(out: &mut String, plot: &Plot, x: &Axis, y: &Axis) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in y.ticks() {
        let at = y.place(tick);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    for tick in x.ticks() {
        let at = x.place(tick);
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            short(tick)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        (LEFT + right) / 2.0,
        HEIGHT - 8.0,
        escape(&plot.x),
        (TOP + bottom) / 2.0,
        escape(&plot.y)
    );
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{:.0}k", value / 1e3),
        value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Line;

    #[test]
    fn points_land_inside_the_frame_and_text_is_escaped() {
        let lines = vec![Line { name: "a<b".into(), points: vec![(1.0, 5.0), (1e6, 50.0)] }];
        let plot = Plot {
            file: "t".into(),
            title: "t".into(),
            x: "x".into(),
            y: "y".into(),
            log_x: true,
            log_y: false,
            lines,
        };
        let drawn = svg(&plot);
        assert!(drawn.contains("a&lt;b") && drawn.ends_with("</svg>\n"));
        let x = Axis::over([1.0, 1e6].into_iter(), true, LEFT, WIDTH - RIGHT);
        assert_eq!((x.place(1.0), x.place(1e6)), (LEFT, WIDTH - RIGHT));
    }
}
