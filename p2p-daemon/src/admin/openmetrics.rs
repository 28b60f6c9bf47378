//! The same metrics as OpenMetrics text, for who asks for it.
//!
//! The exporter writes Prometheus's own format, version 0.0.4. In OpenMetrics 1.0 a counter's family is named without
//! `_total`, which only its samples have; there are no blank lines; and the text ends with `# EOF`, so that half of it is
//! not taken for all.

/// What [`from_prometheus`] makes is called this.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether an `Accept` header wants OpenMetrics rather than plain text. Who wants both alike gets plain text.
pub(super) fn is_preferred(accept: &str) -> bool {
    let quality = |wanted: &[&str]| {
        let ranges = accept.split(',').map(|range| range.split(';').map(str::trim));
        let qualities = ranges.filter_map(|mut range| {
            let media_type = range.next()?;
            let weight = range.find_map(|parameter| parameter.strip_prefix("q="));
            wanted.contains(&media_type).then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
        });
        qualities.fold(0.0_f64, f64::max)
    };
    quality(&["application/openmetrics-text"]) > quality(&["text/plain", "text/*", "*/*"])
}

/// Rewrites what the exporter rendered.
pub(super) fn from_prometheus(text: &str) -> String {
    let mut open = String::with_capacity(text.len() + EOF.len());
    let mut counters = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: std::collections::BTreeSet<_> = counters.by_ref().collect();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (keyword, rest) = match line.split_once(' ') {
            Some(("#", rest)) => rest.split_once(' ').unwrap_or((rest, "")),
            _ => ("", ""),
        };
        let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
        match name.strip_suffix("_total").filter(|_| counters.contains(name)) {
            Some(family) => open.extend(["# ", keyword, " ", family, " ", said, "\n"]),
            None => open.extend([line, "\n"]),
        }
    }
    open.push_str(EOF);
    open
}

const EOF: &str = "# EOF\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_families_of_counters_lose_their_suffix() {
        let prometheus = "# HELP p2p_bytes_total Bytes, as_total counts them.\n# TYPE p2p_bytes_total counter\n\
                          p2p_bytes_total{dir=\"in\"} 7\n\n# TYPE p2p_sum_total gauge\np2p_sum_total 1\n\n";
        let open = "# HELP p2p_bytes Bytes, as_total counts them.\n# TYPE p2p_bytes counter\n\
                    p2p_bytes_total{dir=\"in\"} 7\n# TYPE p2p_sum_total gauge\np2p_sum_total 1\n# EOF\n";
        assert_eq!(from_prometheus(prometheus), open);
    }

    #[test]
    fn the_heavier_type_is_preferred() {
        // Prometheus 2.42 and 3.5, curl, a browser.
        for (accept, preferred) in [
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true),
            ("application/openmetrics-text;version=1.0.0;q=0.6, text/plain;version=0.0.4;q=0.4, */*;q=0.2", true),
            ("*/*", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=nonsense, text/plain;q=0.1", false),
            ("", false),
        ] {
            assert_eq!(is_preferred(accept), preferred, "{accept:?}");
        }
    }
}
