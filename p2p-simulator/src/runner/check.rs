//! Whether a case runs the same way again, and if not, where the two runs part and why that may be.
//!
//! A run repeated in the same process misses what differs from process to process, such as the order of a `HashMap`. So the
//! second run is made by a process of its own: the same program, asked to run one case and write down its trace.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use p2p::P2PError;

use super::trace_case;
use crate::{
    case::{Case, invalid},
    trace::{Difference, Trace, TraceMode, locate},
    workload::Registry,
};

/// How a sweep checks that each seed runs the same way again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Check {
    /// Not at all.
    #[default]
    Off,
    /// Once more in this process. Misses what differs between processes only.
    Here,
    /// Once more in a process of its own.
    Fresh(FreshProcess),
}

/// A program that runs one case and writes down its trace: one whose `main` is `cli::main`, or that
/// calls [`answer`](Self::answer) by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshProcess {
    program: PathBuf,
    arguments: Vec<String>,
}

/// Where two runs of one case part.
#[derive(Debug, Clone)]
pub struct Divergence {
    /// The first difference; nothing if further runs did not differ again.
    pub difference: Option<Difference>,
}

/// Pairs of further runs in which the first difference is looked for.
const TRIES_MAX: usize = 5;

impl FreshProcess {
    /// That program, with the arguments that make it call [`answer`](Self::answer).
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
    }

    /// The other side: runs the case in that file, and writes its trace to the one beside it.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) if a file cannot be read or written.
    pub fn answer(request: &Path, registry: &Registry) -> Result<(), P2PError> {
        let failed = |error: &dyn fmt::Display| invalid(&request.display().to_string(), error);
        let text = fs::read_to_string(request).map_err(|error| failed(&error))?;
        let mut table: toml::Table = toml::from_str(&text).map_err(|error| failed(&error))?;
        let mode = match table.remove(KEEP_FROM).and_then(|from| from.as_integer()) {
            Some(from) => TraceMode::KeepFrom(from.cast_unsigned()),
            None => TraceMode::Hash,
        };
        let (_, trace) = trace_case(&Case::from_table(table)?, registry, mode)?;
        let answer = fs::File::create(answer_to(request)).map_err(|error| failed(&error))?;
        trace.write_to(std::io::BufWriter::new(answer)).map_err(|error| failed(&error))
    }

    fn trace(&self, case: &Case, mode: TraceMode) -> Result<Trace, P2PError> {
        let folder = Folder::new()?;
        let request = folder.0.join("case.toml");
        let mut table = case.to_table();
        if let TraceMode::KeepFrom(from) = mode {
            table.insert(KEEP_FROM.into(), from.cast_signed().into());
        }
        let failed = |error: &dyn fmt::Display| invalid(&self.program.display().to_string(), error);
        fs::write(&request, table.to_string()).map_err(|error| failed(&error))?;
        let mut command = Command::new(&self.program);
        let run = command.args(&self.arguments).arg(&request).stdin(Stdio::null()).output();
        let run = run.map_err(|error| failed(&error))?;
        if !run.status.success() {
            return Err(failed(&format_args!("{}: {}", run.status, String::from_utf8_lossy(&run.stderr).trim_end())));
        }
        let answer = fs::File::open(answer_to(&request)).map_err(|error| failed(&error))?;
        Trace::read_from(std::io::BufReader::new(answer)).map_err(|error| failed(&error))
    }
}

/// In a request, from which record on the trace is to be kept.
const KEEP_FROM: &str = "keep-from";

fn answer_to(request: &Path) -> PathBuf {
    request.with_extension("trace")
}

/// Where one question and its answer are, until this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, P2PError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("p2p-sim-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(|error| invalid(&path.display().to_string(), error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // At worst a file is left in the system's folder for such.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Check {
    /// Runs the case once more, and says where that run parts from the first, if it does.
    pub(super) fn look(&self, case: &Case, registry: &Registry, first: &Trace) -> Result<Option<Divergence>, P2PError> {
        let again = |mode| match self {
            Self::Fresh(process) => process.trace(case, mode),
            Self::Off | Self::Here => Ok(trace_case(case, registry, mode)?.1),
        };
        if *self == Self::Off {
            return Ok(None);
        }
        let Some(mut difference) = locate(first, &again(TraceMode::Hash)?) else {
            return Ok(None);
        };
        // The checkpoints say between which records; those are then kept, by both sides.
        for _ in 0..TRIES_MAX {
            let Difference::Among { from, .. } = difference else {
                return Ok(Some(Divergence { difference: Some(difference) }));
            };
            let mode = TraceMode::KeepFrom(from);
            let (ours, theirs) = (trace_case(case, registry, mode)?.1, again(mode)?);
            // Two that are equal by chance say nothing.
            difference = locate(&ours, &theirs).unwrap_or(difference);
        }
        let difference = Some(difference).filter(|difference| !matches!(difference, Difference::Among { .. }));
        Ok(Some(Divergence { difference }))
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same case ran in two ways")?;
        match &self.difference {
            Some(difference) => write!(f, "\n{difference}\nlikely cause: {}", difference.likely_cause()),
            None => write!(f, ", and not again in {TRIES_MAX} further tries"),
        }
    }
}
