//! Many samples of one quantity in three numbers, or, if they are of different times, in how they rise.

use std::fmt;

use serde::Serialize;

/// The quartiles. On a busy machine a few samples are far off; these hardly notice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// A quarter of the samples are below.
    pub low: f64,
    /// Half of them are below.
    pub median: f64,
    /// A quarter of them are above.
    pub high: f64,
}

impl Summary {
    /// Of at least one sample.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        assert!(!sorted.is_empty(), "a summary of nothing");
        sorted.sort_by(f64::total_cmp);
        Self { low: quantile(&sorted, 0.25), median: quantile(&sorted, 0.5), high: quantile(&sorted, 0.75) }
    }

    /// Half of the distance between the quartiles, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.median
    }
}

/// The value below which that part of the samples lies, between two samples in proportion.
///
/// # Panics
/// If there is no sample.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// As a ratio: `0.97 (0.95 to 1.02)`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.low, self.high)
    }
}

/// A line through points, by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// By how much it rises over 1.
    pub slope: f64,
    /// The slope's standard error.
    pub error: f64,
}

impl Line {
    /// Through at least three points of different abscissas; fewer say nothing.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 3 {
            return None;
        }
        let count = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let width: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / width;
        let left: f64 = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum();
        Some(Self { slope, error: (left / (count - 2.0) / width).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_samples_does_not_matter_and_one_that_is_far_off_hardly() {
        let summary = Summary::of([3.0, 1.0, 1000.0, 2.0, 4.0]);
        assert_eq!(summary, Summary { low: 2.0, median: 3.0, high: 4.0 });
        assert!((summary.spread() - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn between_two_samples_quantiles_are_in_proportion() {
        assert_eq!(Summary::of([1.0, 2.0]), Summary { low: 1.25, median: 1.5, high: 1.75 });
        assert_eq!(Summary::of([7.0]), Summary { low: 7.0, median: 7.0, high: 7.0 });
    }

    #[test]
    fn a_line_has_its_slope_and_no_error_and_noise_has_one() {
        let line = Line::through(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-9 && line.error < 1e-9, "{line:?}");
        let line = Line::through(&[(0.0, 5.0), (1.0, 9.0), (2.0, 5.0), (3.0, 9.0)]).unwrap();
        assert!(line.error > 0.5, "{line:?}");
        assert_eq!(Line::through(&[(0.0, 1.0), (1.0, 2.0)]), None);
    }
}
