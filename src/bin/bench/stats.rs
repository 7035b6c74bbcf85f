//! Small arithmetic on figures, and how they are written for people.

use hdrhistogram::Histogram;

/// The middle one; of an even number the mean of the two in the middle. Nothing of nothing.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> =
        figures.iter().copied().filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted.get(low)? + sorted.get(high)?) / 2.0)
}

/// How many rounds a page is made of, in words.
pub fn rounds(count: u32) -> String {
    if count == 1 { "one round".to_owned() } else { format!("{count} rounds") }
}

/// The place of the figure that is nearest to the median: the run that stands for the others.
pub fn median_at(figures: &[f64]) -> usize {
    let middle = median(figures).unwrap_or_default();
    let distance = |at: &usize| (figures.get(*at).copied().unwrap_or_default() - middle).abs();
    let nearest = (0..figures.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.unwrap_or_default()
}

/// The percentiles of a table: 50, 99, 99.9, 99.99 and the maximum, in microseconds.
pub const PERCENTILES: &[(&str, f64)] =
    &[("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// Their values.
pub fn percentiles(histogram: &Histogram<u64>) -> Vec<f64> {
    let value = |at: f64| match at {
        1.0 => histogram.max(),
        at => histogram.value_at_quantile(at),
    };
    PERCENTILES.iter().map(|(_, at)| value(*at) as f64).collect()
}

/// A figure with three digits that count, or all of those before the point.
pub fn short(figure: f64) -> String {
    match figure.abs() {
        size if !size.is_finite() => "-".to_owned(),
        size if size >= 99.95 || size == 0.0 => format!("{figure:.0}"),
        size if size >= 9.995 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The same of a figure that may be missing.
pub fn short_or_none(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[f64::NAN, 5.0]), Some(5.0));
        assert_eq!(median_at(&[9.0, 1.0, 4.0]), 2);
        assert_eq!(median_at(&[]), 0);
    }

    #[test]
    fn percentiles_of_a_histogram() {
        let mut histogram = crate::recorder::histogram();
        (1..=10_000).for_each(|us| histogram.saturating_record(us));
        let found = percentiles(&histogram);
        for (value, expected) in found.iter().zip([5000.0, 9900.0, 9990.0, 9999.0, 10_000.0]) {
            assert!((value / expected - 1.0).abs() < 0.002, "{found:?}");
        }
    }

    #[test]
    fn figures_for_people() {
        let rows = [(0.0, "0"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234"), (99.97, "100")];
        for (figure, expected) in rows {
            assert_eq!(short(figure), expected);
        }
        assert_eq!(short(f64::NAN), "-");
        assert_eq!(short_or_none(None), "-");
    }
}
