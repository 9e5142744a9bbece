//! Tensors and one JSON header in a safetensors file.
//!
//! The header is one metadata key holding one JSON text with sorted keys: equal contents are equal
//! bytes, which a map of several keys would not promise.
//!
//! Fails with [`ContainerError`], which names the file; a truncated or foreign file is told apart
//! from one that cannot be read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::file::{FileError, write_atomically};

const KEY: &str = "snel";

/// Why a container cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Truncated, damaged, or not one of ours.
    #[error("{} is damaged or not a Snel file: {}", path.display(), plain(why))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// At most 300 characters of `text`, none of which a terminal would obey: it may quote the file.
fn plain(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A named tensor of `f32`.
pub struct Tensor<'a> {
    /// Name.
    pub name: &'a str,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: &'a [f32],
}

/// Writes `tensors` and `header` atomically.
///
/// # Errors
/// [`ContainerError`]; what was at `path` is then still there.
pub fn write(
    path: &Path,
    header: &impl Serialize,
    tensors: &[Tensor],
) -> Result<(), ContainerError> {
    Ok(write_atomically(path, &to_bytes(path, header, tensors)?)?)
}

/// The bytes of a file of `tensors` and `header`; `path` is for messages.
///
/// # Errors
/// [`ContainerError::Damaged`] if they do not fit together.
pub fn to_bytes(
    path: &Path,
    header: &impl Serialize,
    tensors: &[Tensor],
) -> Result<Vec<u8>, ContainerError> {
    let damaged = |why: String| ContainerError::Damaged { path: path.to_path_buf(), why };
    // Through a value, whose maps are sorted.
    let header = serde_json::to_value(header).map_err(|e| damaged(e.to_string()))?.to_string();
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(t, bytes)| {
        TensorView::new(Dtype::F32, t.shape.clone(), bytes).map(|view| (t.name, view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(|e| damaged(e.to_string()))?;
    let metadata = HashMap::from([(KEY.to_owned(), header)]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| damaged(e.to_string()))
}

/// Tensors of a file by name.
pub type Tensors = HashMap<String, Vec<f32>>;

/// All bytes of a file.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, ContainerError> {
    Ok(std::fs::read(path).map_err(FileError::at("read", path))?)
}

/// Header and tensors in `bytes`, which may be anyone's; `path` is for messages.
///
/// # Errors
/// [`ContainerError::Damaged`].
pub fn from_bytes<H: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
) -> Result<(H, Tensors), ContainerError> {
    parse(bytes).map_err(|why| ContainerError::Damaged { path: path.to_path_buf(), why })
}

fn parse<H: DeserializeOwned>(bytes: &[u8]) -> Result<(H, Tensors), String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let header = header.ok_or_else(|| format!("its metadata has no key `{KEY}`"))?;
    let header = serde_json::from_str(header).map_err(|e| format!("its header: {e}"))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{name}` is not f32"));
        }
        let values = view.data().chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name.to_owned(), values);
    }
    Ok((header, tensors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sample(folder: &Path) -> PathBuf {
        let path = folder.join("x.safetensors");
        let tensors = [
            Tensor { name: "w", shape: vec![2, 2], values: &[1.0, -2.5, f32::MIN_POSITIVE, 0.0] },
            Tensor { name: "b", shape: vec![1], values: &[3.0] },
        ];
        write(&path, &json!({"z": 1, "a": {"y": 2, "b": 3}}), &tensors).unwrap();
        path
    }

    #[test]
    fn round_trip_and_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = sample(folder.path());
        let first = std::fs::read(&path).unwrap();
        let (header, tensors) = parse::<Value>(&first).unwrap();
        assert_eq!(header["a"]["b"], 3);
        assert_eq!(tensors["w"], [1.0, -2.5, f32::MIN_POSITIVE, 0.0]);
        sample(folder.path());
        assert_eq!(std::fs::read(&path).unwrap(), first);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = std::fs::read(sample(folder.path())).unwrap();
        for end in 0..bytes.len() {
            assert!(parse::<Value>(&bytes[..end]).is_err(), "{end}");
        }
        assert!(parse::<Value>(&bytes).is_ok());
    }
}
