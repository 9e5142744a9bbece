//! What a study leaves for people: pictures, a page, and lines for the terminal.

use std::path::Path;

use super::StudyError;
use super::check::Check;
use crate::file::write_atomically;
use crate::pictures::{Picture, save};
use crate::plot::{self, Scaling};
use crate::report::{Figure, Headline, Report, Table, html};

/// The findings of a study.
#[derive(Default)]
pub struct Findings {
    /// Predictions and verdicts; none if there was nothing to predict.
    pub checks: Vec<Check>,
    /// Numbers.
    pub tables: Vec<Table>,
    /// Pictures.
    pub pictures: Vec<Picture>,
}

impl Findings {
    /// Whether every prediction holds.
    pub fn hold(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// Adds a picture to be kept as `name`.
    pub(crate) fn picture(
        &mut self,
        name: &'static str,
        scaling: &Scaling,
        caption: &str,
    ) -> Result<(), StudyError> {
        let figure = Figure {
            title: scaling.title.to_owned(),
            caption: caption.to_owned(),
            svg: plot::scaling(scaling)?,
        };
        self.pictures.push(Picture { name, figure });
        Ok(())
    }

    /// Writes `plots/` and `study.html` into `folder`.
    ///
    /// # Errors
    /// [`StudyError`] if a picture cannot be drawn or a file not be written.
    pub fn save(self, folder: &Path, about: &About<'_>) -> Result<(), StudyError> {
        save(&self.pictures, &folder.join("plots"))?;
        let warnings =
            self.checks.iter().filter(|check| !check.holds).map(Check::verdict).collect();
        let mut tables = self.tables;
        let mut headlines = Vec::new();
        if !self.checks.is_empty() {
            let held = self.checks.iter().filter(|check| check.holds).count();
            headlines.push(Headline {
                name: "Predictions of theory that hold within the errors".to_owned(),
                interval: format!("{held} of {}", self.checks.len()),
                explanation: about.explanation.iter().map(|&text| text.to_owned()).collect(),
            });
            tables.insert(0, verdicts(&self.checks));
        }
        let report = Report {
            title: about.title.to_owned(),
            headlines,
            warnings,
            tables,
            figures: self.pictures.into_iter().map(|p| p.figure).collect(),
            command: about.command.to_owned(),
            ..Report::default()
        };
        Ok(write_atomically(&folder.join("study.html"), html(&report).as_bytes())?)
    }
}

/// What the page says besides its findings.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its title.
    pub title: &'a str,
    /// How to read it, a paragraph an entry.
    pub explanation: &'a [&'a str],
    /// The command that made it.
    pub command: &'a str,
}

fn verdicts(checks: &[Check]) -> Table {
    let row = |check: &Check| {
        let Check { claim, number, expected, measured, holds } = check;
        let verdict = if *holds { "holds" } else { "fails" };
        vec![
            claim.clone(),
            (*number).to_owned(),
            format!("{expected:.4}"),
            format!("{:.4} ± {:.4}", measured.value, measured.se),
            verdict.to_owned(),
        ]
    };
    Table {
        title: "Predictions".to_owned(),
        caption: format!(
            "A prediction holds if it is within {} standard errors, which a sound measurement \
             misses once in a thousand times.",
            super::check::LIMIT
        ),
        columns: ["claim", "number", "theory", "measured", "verdict"].map(str::to_owned).to_vec(),
        rows: checks.iter().map(row).collect(),
    }
}
