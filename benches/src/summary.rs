//! Where results go.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// The summary file and whether every bound held so far.
pub(crate) struct Summary {
    file: File,
    missed: Vec<String>,
}

/// What a ratio has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Measured for the record.
    None,
}

/// One result.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: f64,
    pub(crate) unit: &'a str,
    /// What it is compared with, and that one's value in the same unit.
    pub(crate) baseline: (&'a str, f64),
    pub(crate) ratio: f64,
    pub(crate) bound: Bound,
}

impl Summary {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { file, missed: Vec::new() })
    }

    pub(crate) fn add(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        let (bound, holds) = match line.bound {
            Bound::AtMost(bound) => (format!("<= {bound}"), line.ratio <= bound),
            Bound::AtLeast(bound) => (format!(">= {bound}"), line.ratio >= bound),
            Bound::None => ("none".to_owned(), true),
        };
        let json = serde_json::json!({
            "name": line.name,
            "value": line.value,
            "unit": line.unit,
            "baseline": { "name": line.baseline.0, "value": line.baseline.1 },
            "ratio": line.ratio,
            "bound": bound,
            "holds": holds,
        });
        writeln!(self.file, "{json}")?;
        let verdict = if holds { "holds" } else { "MISSED" };
        let mut out = std::io::stdout();
        writeln!(
            out,
            "{:28} {:>12.1} {:8} {:24} {:>12.1}   ratio {:>8.3}   bound {bound:9} {verdict}",
            line.name, line.value, line.unit, line.baseline.0, line.baseline.1, line.ratio
        )?;
        if !holds {
            self.missed.push(line.name.to_owned());
        }
        Ok(())
    }

    /// Fails if a bound was missed.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.missed.is_empty(), "bounds missed: {}", self.missed.join(", "));
        Ok(())
    }
}
