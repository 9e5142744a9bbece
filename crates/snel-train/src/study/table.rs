//! `study.csv`: what was measured, a quantity a row, and so what need not be measured again.
//!
//! The first line is a comment that names the settings, all that a row depends on besides what it
//! says itself.
//!
//! Invariants
//! 1. A table never mixes rows of different settings.
//! 2. The rows of a cell are added together: all of them are in the file, or none.
//!
//! Fails with [`TableError`]; the file is then as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::file::{FileError, create_folder, write_atomically};

const MARK: &str = "# settings: ";

/// The rows of a study, in memory and on disk.
#[derive(Debug)]
pub struct Table<R> {
    path: PathBuf,
    settings: String,
    rows: Vec<R>,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder holds another study.
    #[error("{} holds a study with other settings: {}", path.display(), differences.join("; "))]
    OtherSettings {
        /// The file.
        path: PathBuf,
        /// What differs, in words.
        differences: Vec<String>,
    },
    /// It was not written by a study, or was changed since.
    #[error("{} is not the table of this study: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl<R: Serialize + DeserializeOwned> Table<R> {
    /// The table in `folder`, with what is there already.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn open(folder: &Path, settings: &impl Serialize) -> Result<Self, TableError> {
        let path = folder.join("study.csv");
        let settings = serde_json::to_value(settings).map_err(|e| damaged(&path, e))?;
        let rows = match std::fs::read_to_string(&path) {
            Ok(text) => read(&path, &text, &settings)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                create_folder(folder)?;
                Vec::new()
            }
            Err(error) => return Err(FileError::at("read", &path)(error).into()),
        };
        Ok(Self { path, settings: settings.to_string(), rows })
    }

    /// All rows.
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// Adds the rows of a cell.
    ///
    /// # Errors
    /// [`TableError`]; the cell is then not in the file.
    pub fn add(&mut self, cell: Vec<R>) -> Result<(), TableError> {
        self.rows.extend(cell);
        let mut writer =
            csv::Writer::from_writer(format!("{MARK}{}\n", self.settings).into_bytes());
        for row in &self.rows {
            writer.serialize(row).map_err(|e| damaged(&self.path, e))?;
        }
        let bytes = writer.into_inner().map_err(|e| damaged(&self.path, e.into_error()))?;
        Ok(write_atomically(&self.path, &bytes)?)
    }
}

fn damaged(path: &Path, why: impl ToString) -> TableError {
    TableError::Damaged { path: path.to_path_buf(), why: why.to_string() }
}

fn read<R: DeserializeOwned>(
    path: &Path,
    text: &str,
    settings: &Value,
) -> Result<Vec<R>, TableError> {
    let first = text.lines().next().and_then(|line| line.strip_prefix(MARK));
    let found = first.and_then(|json| serde_json::from_str::<Value>(json).ok());
    let found = found.ok_or_else(|| damaged(path, "its first line does not name its settings"))?;
    if found != *settings {
        let differences = differences(&found, settings);
        return Err(TableError::OtherSettings { path: path.to_path_buf(), differences });
    }
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().map_err(|e| damaged(path, e))
}

/// The keys whose values differ, with both values.
fn differences(found: &Value, asked: &Value) -> Vec<String> {
    let keys = |v: &Value| -> BTreeMap<String, Value> {
        v.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let (found, asked) = (keys(found), keys(asked));
    let names: std::collections::BTreeSet<&String> = found.keys().chain(asked.keys()).collect();
    let none = Value::Null;
    names
        .into_iter()
        .map(|name| (name, found.get(name).unwrap_or(&none), asked.get(name).unwrap_or(&none)))
        .filter(|(_, there, here)| there != here)
        .map(|(name, there, here)| format!("{name} is {there} there and {here} now"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        value: f64,
        theory: Option<f64>,
    }

    #[derive(Serialize)]
    struct Settings {
        seed: u32,
    }

    fn rows(values: &[f64]) -> Vec<Row> {
        let row = |&value: &f64| Row { name: "a, \"b\"".into(), value, theory: None };
        values.iter().map(row).collect()
    }

    #[test]
    fn what_is_added_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Table::<Row>::open(&folder.path().join("new"), &Settings { seed: 1 });
        let mut table = open().unwrap();
        table.add(rows(&[0.1 + 0.2, 1e-300])).unwrap();
        table.add(rows(&[f64::INFINITY])).unwrap();
        assert_eq!(open().unwrap().rows(), rows(&[0.1 + 0.2, 1e-300, f64::INFINITY]));
    }

    #[test]
    fn other_settings_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::open(folder.path(), &Settings { seed: 1 }).unwrap();
        table.add(rows(&[1.0])).unwrap();
        let open = || Table::<Row>::open(folder.path(), &Settings { seed: 2 });
        let told = open().unwrap_err().to_string();
        assert!(told.ends_with("other settings: seed is 1 there and 2 now"), "{told}");
        std::fs::write(folder.path().join("study.csv"), "name,value\nx,1\n").unwrap();
        assert!(matches!(open(), Err(TableError::Damaged { .. })));
        std::fs::write(folder.path().join("study.csv"), "# settings: {\"seed\":2}\nname\nx\n")
            .unwrap();
        assert!(matches!(open(), Err(TableError::Damaged { .. })));
    }
}
