//! A trace as lines of JSON, for `jq` and the like.

use std::io::{self, Write};

use serde_json::json;

use super::super::Trace;

impl Trace {
    /// Writes the header, then each kept record, as one line of JSON each. Times are in nanoseconds.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json_lines(&self, mut out: impl Write) -> io::Result<()> {
        let header =
            json!({ "header": self.header.trim_end(), "records": self.records, "hash": self.hash.to_string() });
        writeln!(out, "{header}")?;
        for record in &self.kept {
            let line = json!({
                "seq": record.seq,
                "t": record.t,
                "parent": record.parent,
                "event": record.event.to_string(),
                "what": record.what.to_string(),
                "src": self.peers.get(&record.src),
                "dst": self.peers.get(&record.dst),
                "conn": record.conn,
                "stream": record.stream,
                "len": record.len,
                "payload_hash": format!("{:08x}", record.payload_hash),
                "retransmissions": record.retransmissions,
                "words": self.describe(record),
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}
