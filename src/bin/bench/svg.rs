//! Pictures: lines over two axes, as SVG that is legible on light and on dark pages.

use std::fmt::Write;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Equal steps.
    Linear,
    /// Equal factors.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// How values become places.
    pub kind: Kind,
    /// The value at its start.
    pub low: f64,
    /// The value at its end.
    pub high: f64,
    /// The values that are marked, with their names.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Equal steps from `low` to `high`, with about `count` round marks.
    pub fn linear(label: &str, low: f64, high: f64, count: u32) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / f64::from(count.max(1)));
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let digits = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
        let tick = |n: i64| (n as f64 * step, format!("{:.digits$}", n as f64 * step));
        let ticks = (first..=last).map(tick).collect();
        Axis { label: label.to_owned(), kind: Kind::Linear, low, high, ticks }
    }

    /// Microseconds, each factor of ten marked.
    pub fn latency(label: &str, lowest: f64, highest: f64) -> Axis {
        let low = lowest.max(1.0).log10().floor();
        let high = highest.max(1.0).log10().ceil().max(low + 1.0);
        let ticks = (low as i32..=high as i32).map(|n| (10_f64.powi(n), duration(n))).collect();
        let (low, high) = (10_f64.powf(low), 10_f64.powf(high));
        Axis { label: label.to_owned(), kind: Kind::Log, low, high, ticks }
    }

    /// Shares of requests, each nine more as wide as the one before: the x of a tail.
    pub fn nines(label: &str) -> Axis {
        let names = ["0", "90", "99", "99.9", "99.99", "99.999"];
        let ticks = names.iter().zip(0..).map(|(name, n)| (f64::from(n), format!("{name} %")));
        let label = label.to_owned();
        Axis { label, kind: Kind::Linear, low: 0.0, high: 5.0, ticks: ticks.collect() }
    }

    /// Where a value lies: 0 at the start, 1 at the end, never beyond.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        place.clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2, 5, 10, ... times a power of ten that is not below this.
fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-9).log10().floor());
    let factors = [1.0, 2.0, 5.0];
    factors
        .into_iter()
        .map(|f| f * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power)
}

/// A power of ten of microseconds.
fn duration(power: i32) -> String {
    let (unit, power) = match power {
        ..3 => ("us", power),
        3..6 => ("ms", power - 3),
        _ => ("s", power - 6),
    };
    format!("{:.0} {unit}", 10_f64.powi(power))
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// A solid line.
    Solid,
    /// A dashed line.
    Dashed,
    /// A dotted line.
    Dotted,
}

impl Stroke {
    /// Its class in the style sheet, behind that of all lines.
    fn class(self) -> &'static str {
        match self {
            Stroke::Solid => "",
            Stroke::Dashed => " dash",
            Stroke::Dotted => " dots",
        }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Which colour.
    pub color: usize,
    /// How it is drawn.
    pub stroke: Stroke,
    /// Its points, by ascending x.
    pub points: Vec<(f64, f64)>,
}

/// A stretch of the x axis that is marked above the picture.
#[derive(Clone, Debug)]
pub struct Span {
    /// What happened in it.
    pub name: String,
    /// Which colour.
    pub color: usize,
    /// Its start and end on the x axis.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Marked stretches.
    pub spans: Vec<Span>,
}

/// Colours that people with any colour vision tell apart, and that stand out on white and on black.
const COLORS: &[&str] = &["#0a84d0", "#e06000", "#00a070", "#c060a0", "#b09000"];
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 42.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 52.0;
const SPAN_HEIGHT: f64 = 16.0;
/// Columns that a line is reduced to: more than one for each pixel shows nothing more.
const COLUMNS: usize = 860;

const STYLE: &str = "\
.paper{fill:#fff}.ink{fill:#222}.grid{stroke:#ccc;stroke-width:1}.axis{stroke:#666;fill:none}\
text{font:13px sans-serif}.title{font-size:16px;font-weight:bold}\
.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.dash{stroke-dasharray:5 4}\
.dots{stroke-dasharray:1.5 3}\
@media(prefers-color-scheme:dark){.paper{fill:#16181c}.ink{fill:#ddd}.grid{stroke:#3a3d42}\
.axis{stroke:#999}}";

/// The picture as a file.
pub fn render(chart: &Chart) -> String {
    let top = TOP + SPAN_HEIGHT * chart.spans.len() as f64;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let x = |value: f64| LEFT + chart.x.place(value) * (right - LEFT);
    let y = |value: f64| bottom - chart.y.place(value) * (bottom - top);
    let mut out = open(&chart.title, HEIGHT);
    for (value, name) in &chart.x.ticks {
        let at = x(*value);
        line(&mut out, (at, top), (at, bottom));
        text(&mut out, (at, bottom + 18.0), "middle", name);
    }
    for (value, name) in &chart.y.ticks {
        let at = y(*value);
        line(&mut out, (LEFT, at), (right, at));
        text(&mut out, (LEFT - 8.0, at + 4.0), "end", name);
    }
    text(&mut out, ((LEFT + right) / 2.0, HEIGHT - 12.0), "middle", &chart.x.label);
    let middle = (top + bottom) / 2.0;
    let _ = writeln!(
        out,
        "<text class=\"ink\" text-anchor=\"middle\" transform=\"translate(16 {middle:.1}) \
         rotate(-90)\">{}</text>",
        escape(&chart.y.label)
    );
    legend(&mut out, &chart.series);
    for (i, span) in chart.spans.iter().enumerate() {
        let from = x(span.from);
        // One that is too short to be seen is drawn two pixels wide.
        let width = (x(span.to) - from).max(2.0);
        let at = TOP + SPAN_HEIGHT * i as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"5\" fill=\"{}\"/>",
            at - 6.0,
            color(span.color)
        );
        // Beside the bar, on the side where there is room.
        let (place, anchor) = match from + width < WIDTH * 0.6 {
            true => (from + width + 5.0, "start"),
            false => (from - 5.0, "end"),
        };
        text(&mut out, (place, at), anchor, &span.name);
    }
    for series in &chart.series {
        let points: Vec<String> = reduce(&series.points)
            .into_iter()
            .map(|(a, b)| format!("{:.1},{:.1}", x(a), y(b)))
            .collect();
        let class = series.stroke.class();
        let _ = writeln!(
            out,
            "<polyline class=\"line{class}\" stroke=\"{}\" points=\"{}\"/>",
            color(series.color),
            points.join(" ")
        );
    }
    let _ = writeln!(
        out,
        "<rect class=\"axis\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" \
         height=\"{:.1}\"/>\n</svg>",
        right - LEFT,
        bottom - top
    );
    out
}

/// A picture of bars: in each group one for each server.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What it shows, with its unit.
    pub title: String,
    /// The servers.
    pub names: Vec<String>,
    /// The groups, each with a value for each server.
    pub groups: Vec<(String, Vec<f64>)>,
    /// Linear: a bar is relative to the longest of its group. Log: groups compare, in microseconds.
    pub scale: Kind,
}

/// Where the bars begin: names of groups are long.
const BARS_LEFT: f64 = 290.0;
const BAR_HEIGHT: f64 = 15.0;

/// The picture as a file. Each bar tells its value. On a linear scale groups would differ by orders
/// of magnitude, and what is compared stands in one group, so there each has a scale of its own.
pub fn render_bars(bars: &Bars) -> String {
    let group_height = BAR_HEIGHT * bars.names.len() as f64 + 12.0;
    let height = TOP + group_height * bars.groups.len() as f64 + 16.0;
    let mut out = open(&bars.title, height);
    let series = |(color, name): (usize, &String)| Series {
        name: name.clone(),
        color,
        stroke: Stroke::Solid,
        points: Vec::new(),
    };
    legend(&mut out, &bars.names.iter().enumerate().map(series).collect::<Vec<_>>());
    let all = || bars.groups.iter().flat_map(|(_, values)| values.iter().copied());
    let axis = Axis::latency("", all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
    for (i, (name, values)) in bars.groups.iter().enumerate() {
        let top = TOP + group_height * i as f64;
        let middle = top + BAR_HEIGHT * values.len() as f64 / 2.0 + 4.0;
        text(&mut out, (BARS_LEFT - 8.0, middle), "end", name);
        let longest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        for (color_number, value) in values.iter().enumerate() {
            let at = top + BAR_HEIGHT * color_number as f64;
            let share = match bars.scale {
                Kind::Linear => value / longest,
                Kind::Log => axis.place(*value),
            };
            let width = (WIDTH - RIGHT - 70.0 - BARS_LEFT) * share;
            let _ = writeln!(
                out,
                "<rect x=\"{BARS_LEFT}\" y=\"{at:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                 fill=\"{}\"/>",
                BAR_HEIGHT - 2.0,
                color(color_number)
            );
            let value = crate::stats::short(*value);
            text(&mut out, (BARS_LEFT + width + 6.0, at + 11.0), "start", &value);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The head of a picture: its paper and its title.
fn open(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{0}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"ink title\" x=\"{LEFT}\" y=\"24\">{0}</text>\n",
        escape(title)
    )
}

fn legend(out: &mut String, series: &[Series]) {
    let mut at = LEFT;
    for series in series {
        let class = series.stroke.class();
        let _ = writeln!(
            out,
            "<path class=\"line{class}\" stroke=\"{}\" d=\"M{at:.1} 41h26\"/>",
            color(series.color)
        );
        text(out, (at + 32.0, 45.0), "start", &series.name);
        at += 52.0 + 7.2 * series.name.len() as f64;
    }
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        out,
        "<path class=\"grid\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
        at.0,
        at.1,
        escape(text)
    );
}

fn color(number: usize) -> &'static str {
    COLORS.get(number % COLORS.len()).copied().unwrap_or("#808080")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// At most `COLUMNS` points: of neighbours the highest, since what is looked for is the worst.
fn reduce(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(COLUMNS).max(1);
    let highest = |chunk: &[(f64, f64)]| chunk.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(size).filter_map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_ticks() {
        let axis = Axis::linear("x", 0.0, 10.0, 5);
        let names: Vec<&str> = axis.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["0", "2", "4", "6", "8", "10"]);
        assert_eq!((axis.place(-1.0), axis.place(5.0), axis.place(99.0)), (0.0, 0.5, 1.0));
        let small = Axis::linear("x", -0.25, 0.3, 4);
        let names: Vec<&str> = small.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["-0.2", "0.0", "0.2"]);
        let log = Axis::latency("y", 35.0, 12_000.0);
        let names: Vec<&str> = log.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["10 us", "100 us", "1 ms", "10 ms", "100 ms"]);
        assert!((log.place(1000.0) - 0.5).abs() < 1e-9);
        assert_eq!(log.place(0.0), 0.0);
        assert_eq!(duration(6), "1 s");
        // Nothing to show is shown as nothing, not as a division by zero.
        assert_eq!(Axis::linear("x", 3.0, 3.0, 5).place(3.0), 0.0);
    }

    #[test]
    fn bars_tell_their_values() {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let groups = vec![("x".to_owned(), vec![1.0, 2.0]), ("y".to_owned(), vec![0.0, 0.0])];
        let mut bars = Bars { title: "t".to_owned(), names, groups, scale: Kind::Linear };
        for scale in [Kind::Linear, Kind::Log] {
            bars.scale = scale;
            let text = render_bars(&bars);
            assert!(text.contains(">2.00<") && text.contains(">1.00<") && !text.contains("NaN"));
            assert!(text.ends_with("</svg>\n"));
        }
    }

    #[test]
    fn the_worst_is_kept() {
        let points: Vec<(f64, f64)> =
            (0..5000).map(|n| (f64::from(n), if n == 777 { 99.0 } else { 1.0 })).collect();
        let fewer = reduce(&points);
        assert!(fewer.len() <= COLUMNS && fewer.contains(&(777.0, 99.0)));
    }

    #[test]
    fn a_picture_is_well_formed() {
        let series = |stroke| Series {
            name: "a & b".to_owned(),
            color: 1,
            stroke,
            points: vec![(0.0, 10.0), (1.0, 20.0)],
        };
        let chart = Chart {
            title: "x < y".to_owned(),
            x: Axis::linear("s", 0.0, 1.0, 5),
            y: Axis::latency("latency", 10.0, 1000.0),
            series: vec![series(Stroke::Solid), series(Stroke::Dashed)],
            spans: vec![Span { name: "s".to_owned(), color: 0, from: 0.1, to: 0.9 }],
        };
        let text = render(&chart);
        assert!(text.contains("x &lt; y") && text.contains("a &amp; b") && !text.contains("NaN"));
        assert_eq!(text.matches("<polyline").count(), 2);
        let open = text.matches('<').count();
        let closed = text.matches("</").count() + text.matches("/>").count();
        // Each element that is opened is closed.
        assert_eq!(open, 2 * text.matches("</").count() + text.matches("/>").count(), "{closed}");
    }
}
