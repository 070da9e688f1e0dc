//! Line plots as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Fallible;
use crate::report::{Line, Plot};

const SIZE: (u32, u32) = (720, 320);
const LEGEND_WIDTH: i32 = 240;
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x0b, 0x6e, 0xfd),
    RGBColor(0xd6, 0x33, 0x6c),
    RGBColor(0x2b, 0x8a, 0x3e),
    RGBColor(0xe8, 0x59, 0x0c),
    RGBColor(0x67, 0x41, 0xd9),
    RGBColor(0x0c, 0x85, 0x99),
    RGBColor(0x86, 0x8e, 0x96),
    RGBColor(0x5c, 0x3d, 0x00),
];

/// A linear or logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let mut axis = Self { low: f64::INFINITY, high: f64::NEG_INFINITY, log };
        for value in values.map(|value| axis_value(value, log)) {
            (axis.low, axis.high) = (axis.low.min(value), axis.high.max(value));
        }
        // A linear axis starts at zero, because otherwise differences look larger than they are.
        (axis.low, axis.high) =
            if log { (axis.low.floor(), axis.high.ceil()) } else { (0.0, axis.high * 1.05) };
        if axis.high <= axis.low {
            axis.high = axis.low + 1.0;
        }
        axis
    }

    /// One label for each power of ten, or about five.
    fn labels(&self) -> usize {
        if self.log { (self.high - self.low) as usize + 1 } else { 5 }
    }

    fn label(&self, at: &f64) -> String {
        let value = if self.log { 10_f64.powf(*at) } else { *at };
        match value {
            value if value >= 1e6 => format!("{}M", value / 1e6),
            value if value >= 1e3 => format!("{:.0}k", value / 1e3),
            value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
            value => format!("{value:.2}"),
        }
    }
}

fn axis_value(value: f64, log: bool) -> f64 {
    if log { value.max(1e-9).log10() } else { value }
}

/// Draws a plot with its legend on the right.
pub(crate) fn svg(plot: &Plot) -> Fallible<String> {
    let mut svg = String::new();
    draw(plot, &SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())?;
    Ok(svg)
}

fn draw(plot: &Plot, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Fallible<()> {
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let x = Axis::over(points().map(|point| point.0), plot.log_x);
    let y = Axis::over(points().map(|point| point.1), plot.log_y);
    area.fill(&WHITE)?;
    let (chart, legend) = area.split_horizontally(SIZE.0 as i32 - LEGEND_WIDTH);
    let mut chart = ChartBuilder::on(&chart)
        .caption(&plot.title, ("sans-serif", 13))
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(x.low..x.high, y.low..y.high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(x.labels())
        .y_labels(y.labels())
        .x_label_formatter(&|at| x.label(at))
        .y_label_formatter(&|at| y.label(at))
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .label_style(("sans-serif", 11))
        .draw()?;
    for (index, line) in plot.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let Line { name, points } = line;
        let points = points.iter().map(|(x, y)| (axis_value(*x, plot.log_x), axis_value(*y, plot.log_y)));
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?;
        let style = ("sans-serif", 11).into_font().color(&colour);
        legend.draw(&Text::new(name.as_str(), (8, 36 + 16 * index as i32), style))?;
    }
    Ok(area.present()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_line_for_each_series_and_escapes_text() {
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
        let drawn = svg(&plot).unwrap();
        assert!(drawn.contains("a&lt;b") && drawn.contains("1M"), "{drawn}");
        let x = Axis::over([1.0, 1e6].into_iter(), true);
        assert_eq!((x.low, x.high, x.labels()), (0.0, 6.0, 7));
    }
}
