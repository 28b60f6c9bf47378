//! What samples come to: median and quartiles.

pub struct Summary {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Summary {
    /// Nothing if there are no samples.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let at = |quarter: usize| samples[quarter * (samples.len() - 1) / 4];
        (!samples.is_empty()).then(|| Self { lower: at(1), median: at(2), upper: at(3) })
    }

    /// Half the distance of the quartiles is the spread.
    pub fn with_spread(&self) -> String {
        format!("{} ± {:.0} %", thousands(self.median), 50.0 * (self.upper - self.lower) / self.median)
    }

    pub fn with_quartiles(&self) -> String {
        format!("{:.1} ({:.1} to {:.1})", self.median, self.lower, self.upper)
    }
}

fn thousands(number: f64) -> String {
    if number < 1000.0 { format!("{number:.0}") } else { format!("{:.1} k", number / 1000.0) }
}
