//! A request on one line, for people: what it asked for and what became of it, and no value.

use std::fmt;

use serde::Serialize;

use crate::entry::{Entry, Outcome};
use crate::fault::FaultId;

/// A request on one line: as text by `Display`, as JSON by serde. It names the fields of the body, and has neither
/// their values nor the key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its place in the log.
    pub seq: u64,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// The names of the fields of its body, sorted.
    pub fields: Vec<String>,
    /// The status it was answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `answered`, `pending`, `cut`, or `abandoned` by the client.
    pub outcome: &'static str,
    /// From arrival to outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Whether it changed what is stored.
    pub applied: bool,
    /// The fault that met it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultId>,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl Line {
    /// The line of a request.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            seq: entry.seq,
            method: entry.method.to_string(),
            path: entry.path.clone(),
            fields: entry.fields(),
            status: entry.status(),
            outcome: match entry.outcome {
                Outcome::Pending => "pending",
                Outcome::Answered(_) => "answered",
                Outcome::Cut => "cut",
                Outcome::Abandoned => "abandoned",
            },
            milliseconds: entry
                .took()
                .map(|took| (took.as_secs_f64() * 1e6).round() / 1e3),
            applied: entry.applied,
            fault: entry.fault,
            user_agent: entry.header("user-agent").map(str::to_owned),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {{{}}} ",
            self.method,
            self.path,
            self.fields.join(",")
        )?;
        match self.status {
            Some(status) => write!(formatter, "{status}")?,
            None => formatter.write_str(self.outcome)?,
        }
        if let Some(milliseconds) = self.milliseconds {
            write!(formatter, " {milliseconds:.3}ms")?;
        }
        if self.applied {
            formatter.write_str(" applied")?;
        }
        match self.fault {
            Some(fault) => write!(formatter, " fault={fault}"),
            None => Ok(()),
        }
    }
}
