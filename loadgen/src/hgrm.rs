//! HdrHistogram's text form of a percentile distribution, as its plotters read it.

use hdrhistogram::Histogram;
use std::fmt::Write;

/// Steps of the percentiles between each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;

/// A histogram of microseconds as text in milliseconds.
pub fn text(histogram: &Histogram<u64>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, histogram);
    out
}

fn write_text(out: &mut String, histogram: &Histogram<u64>) -> std::fmt::Result {
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1e3;
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:12.3} {quantile:14.12} {total:10}")?;
        if quantile < 1.0 {
            writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out)?;
        }
    }
    let ms = |us: f64| us / 1e3;
    writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        ms(histogram.mean()),
        ms(histogram.stdev())
    )?;
    writeln!(
        out,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        ms(histogram.max() as f64),
        histogram.len()
    )?;
    writeln!(
        out,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        histogram.distinct_values()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_ends_at_the_maximum_with_every_count() {
        let mut histogram = Histogram::new_with_bounds(1, 120_000_000, 3).expect("constant bounds");
        for us in 1..=1_000u64 {
            histogram.record(us).expect("within bounds");
        }
        let text = text(&histogram);
        let last = text.lines().rfind(|line| !line.starts_with('#')).expect("rows");
        let fields: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(fields, ["1.000", "1.000000000000", "1000"]);
        assert!(text.contains("#[Max     =        1.000, Total count    =         1000]"), "{text}");
    }
}
