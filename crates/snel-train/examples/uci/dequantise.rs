//! Whole numbers as targets: a density may rise without bound at them, so a likelihood of what is
//! there says nothing. Uniform noise as wide as their distance makes the mean log-density a lower
//! bound of the log-probability of the whole number (Theis, van den Oord, Bethge 2016).

use std::error::Error;
use std::path::Path;

use snel_core::philox::{Key, Stream, uniform};

/// Writes `from` with noise between -1/2 and 1/2 added to `column`; the same for every run.
pub(crate) fn dequantise(from: &Path, column: &str, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut table = csv::Reader::from_path(from)?;
    let headers = table.headers()?.clone();
    let missing = || format!("{} has no column {column}", from.display());
    let at = headers.iter().position(|name| name == column).ok_or_else(missing)?;
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(&headers)?;
    let key = Key::new(0, Stream::Toy);
    for (i, record) in table.records().enumerate() {
        let record = record?;
        let mut fields: Vec<String> = record.iter().map(ToOwned::to_owned).collect();
        let whole: f64 = fields[at].parse()?;
        let noise = uniform(key.block(0, i as u64, 0)[0]) - 0.5;
        fields[at] = (whole + noise).to_string();
        out.write_record(&fields)?;
    }
    let bytes = out.into_inner().map_err(|e| e.to_string())?;
    Ok(snel_train::file::write_atomically(to, &bytes)?)
}
