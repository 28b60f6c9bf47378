//! A trace in the Trace Event Format of Chrome, which [Perfetto](https://ui.perfetto.dev) opens.
//!
//! Each peer is a process: what it sends, receives and notes are slices of its first track, and an arrow leads from a
//! sending to its arrival. Packets under way are slices of tracks of their own, at the sender; faults are those of a process of
//! their own.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::super::{Event, Record, Trace, What};

/// The process of the faults; peers follow.
const FAULTS: usize = 1;
/// Microseconds that an event takes on the screen, so that there is something to click on.
const EVENT_MICROS: f64 = 1.0;

impl Trace {
    /// Writes what was kept as JSON for Perfetto.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_perfetto(&self, mut out: impl Write) -> io::Result<()> {
        let mut writer = Writer { trace: self, out: &mut out, any: false, processes: BTreeMap::new() };
        writer.out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        writer.name_process(FAULTS, "faults")?;
        for (pid, (number, name)) in (FAULTS + 1..).zip(&self.peers) {
            writer.processes.insert(*number, pid);
            writer.name_process(pid, name)?;
        }
        self.kept.iter().try_for_each(|record| writer.record(record))?;
        let end = json!({ "header": self.header.trim_end(), "hash": self.hash.to_string() });
        writeln!(out, "\n],\"otherData\":{end}}}")
    }
}

struct Writer<'a, W> {
    trace: &'a Trace,
    out: &'a mut W,
    /// Whether an event was written, so that the next needs a comma.
    any: bool,
    /// Of the peers, by their numbers in records.
    processes: BTreeMap<u64, usize>,
}

impl<W: Write> Writer<'_, W> {
    fn event(&mut self, event: Value) -> io::Result<()> {
        if std::mem::replace(&mut self.any, true) {
            self.out.write_all(b",\n")?;
        }
        write!(self.out, "{event}")
    }

    fn name_process(&mut self, pid: usize, name: &str) -> io::Result<()> {
        self.event(json!({ "ph": "M", "pid": pid, "tid": 1, "name": "process_name", "args": { "name": name } }))
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        let process = |number| self.processes.get(&number).copied().unwrap_or(FAULTS);
        let (src, dst) = (process(record.src), process(record.dst));
        let (what, words) = (record.what.to_string(), self.trace.describe(record));
        let at = micros(record.t);
        let slice = |pid: usize, name: String| {
            json!({
                "ph": "X", "pid": pid, "tid": 1, "ts": at, "dur": EVENT_MICROS, "name": name, "cat": what,
                "args": { "record": record.seq, "because of": record.parent, "words": words },
            })
        };
        let arrow = |ph: &str, pid: usize, id: u64| json!({ "ph": ph, "bp": "e", "pid": pid, "tid": 1, "ts": at, "id": id, "cat": "message", "name": what });
        // Begins or ends what lasts, on a track of its own.
        let lasting = |ph: &str, pid: usize, id: u64, name: &str| json!({ "ph": ph, "pid": pid, "tid": 1, "ts": at, "id": id, "cat": name, "name": name, "args": { "words": words } });
        match (record.event, record.what) {
            (Event::Sent, _) => {
                self.event(slice(src, format!("{what} sent")))?;
                self.event(arrow("s", src, record.seq))?;
                self.event(lasting("b", src, record.seq, &format!("{what} under way")))
            }
            (Event::Arrived, _) => {
                self.event(slice(dst, format!("{what} arrived")))?;
                self.event(arrow("f", dst, record.parent))?;
                self.event(lasting("e", src, record.parent, &format!("{what} under way")))
            }
            (Event::Lost, _) => {
                self.event(slice(src, format!("{what} lost")))?;
                self.event(lasting("e", src, record.parent, &format!("{what} under way")))
            }
            (_, What::Fault | What::FaultEnd) => {
                let ph = if record.what == What::Fault { "b" } else { "e" };
                let name = self.trace.faults.get(&record.conn).map_or_else(|| "a fault".into(), ToString::to_string);
                self.event(lasting(ph, FAULTS, record.conn, &name))
            }
            (_, What::Note) => {
                let note = self.trace.notes.get(&record.seq).cloned().unwrap_or(what.clone());
                self.event(slice(src, note))
            }
            _ => self.event(slice(src, format!("{what} {}", record.event))),
        }
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}
