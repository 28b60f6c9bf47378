//! The viewer: one HTML file that holds the trace and all it takes to look at it. It loads nothing from anywhere.

use std::io::{self, Write};

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::super::{Event, Trace, What};

/// Records that a viewer is given at most: 32 MB of them, which a browser takes a second to read. The first ones count.
pub const VIEWER_RECORDS_MAX: usize = 500_000;

const PAGE: &str = include_str!("viewer/page.html");
const STYLE: &str = include_str!("viewer/style.css");
const SCRIPT: [&str; 3] =
    [include_str!("viewer/trace.js"), include_str!("viewer/draw.js"), include_str!("viewer/main.js")];

impl Trace {
    /// Writes a page that shows the trace: the peers, the messages between them at any moment, and a space-time diagram in
    /// which a click on a message shows what led to it.
    ///
    /// `failure` says how the run failed, if it did. Of more than [`VIEWER_RECORDS_MAX`] kept records, the first are shown;
    /// [`KeepFrom`](crate::TraceMode::KeepFrom) chooses others.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_html(&self, mut out: impl Write, title: &str, failure: Option<&str>) -> io::Result<()> {
        let about = json!({
            "title": title,
            "verdict": failure.unwrap_or("no failure"),
            "failed": failure.is_some(),
            "names": names(),
        });
        let trace = match self.kept.len() > VIEWER_RECORDS_MAX {
            true => &Self { kept: self.kept[..VIEWER_RECORDS_MAX].to_vec(), ..self.clone() },
            false => self,
        };
        let mut file = Vec::new();
        trace.write_to(&mut file)?;
        // Nothing of these contains a placeholder of another, as each is put where it stands once, in this order.
        let mut rest = PAGE;
        for (placeholder, text) in [
            ("{{title}}", escape(title)),
            ("{{style}}", STYLE.into()),
            // A script ends at the first `</script`, even within a string.
            ("{{about}}", about.to_string().replace('<', "\\u003c")),
            ("{{trace}}", BASE64.encode(&file)),
            ("{{script}}", SCRIPT.concat()),
        ] {
            let (before, after) = rest.split_once(placeholder).expect("the page has every placeholder, in this order");
            out.write_all(before.as_bytes())?;
            out.write_all(text.as_bytes())?;
            rest = after;
        }
        out.write_all(rest.as_bytes())
    }
}

/// What numbers in records mean.
fn names() -> Value {
    let table = |entries: &mut dyn Iterator<Item = (u8, String)>| -> Map<String, Value> {
        entries.map(|(number, name)| (number.to_string(), name.into())).collect()
    };
    json!({
        "events": {
            "sent": Event::Sent as u8,
            "arrived": Event::Arrived as u8,
            "held": Event::Held as u8,
            "lost": Event::Lost as u8,
        },
        "kinds": {
            "data": What::Data as u8,
            "finish": What::Finish as u8,
            "dial": What::Dial as u8,
            "dialAnswer": What::DialAnswer as u8,
            "datagram": What::Datagram as u8,
            "close": What::Close as u8,
            "reset": What::Reset as u8,
            "stop": What::Stop as u8,
            "fault": What::Fault as u8,
            "faultEnd": What::FaultEnd as u8,
            "partition": What::Partition as u8,
            "heal": What::Heal as u8,
            "crash": What::Crash as u8,
            "restart": What::Restart as u8,
            "note": What::Note as u8,
        },
        "whats": table(&mut What::ALL.into_iter().map(|what| (what as u8, what.to_string()))),
        "verbs": table(&mut Event::ALL.into_iter().map(|event| (event as u8, event.to_string()))),
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::super::{Recorder, TraceMode};

    fn page(title: &str, failure: Option<&str>) -> String {
        let mut recorder = Recorder::new(TraceMode::Keep, "seed=1");
        recorder.name_peer(1, "alice");
        let mut page = Vec::new();
        recorder.trace().write_html(&mut page, title, failure).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn a_page_stands_by_itself_and_no_name_breaks_out_of_it() {
        let page = page("</title><script>x", Some("</script>{{trace}}"));
        assert!(!page.contains("<script>x") && !page.contains("</script>{{trace}}"), "{page}");
        assert_eq!(page.matches("<script").count(), page.matches("</script>").count());
        for outside in ["src=", "href=", "@import", "http://", "https://", "fetch("] {
            assert!(!page.contains(outside), "the page refers to something outside: {outside}");
        }
    }
}
