//! Traces for people: a page to look at, Perfetto's format, lines of JSON.

mod html;
mod lines;
mod perfetto;

pub use self::html::VIEWER_RECORDS_MAX;
