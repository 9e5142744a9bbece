//! Columns asked for, by name or number.

use crate::DataError;
use crate::names::nearest;
use std::path::Path;

/// Positions in `available` of the columns `wanted`; all of them if none is named.
///
/// A wanted text is a name first; only where no column has that name is it a number from 0.
pub(super) fn choose(
    path: &Path,
    available: &[String],
    wanted: &[String],
) -> Result<Vec<usize>, DataError> {
    if wanted.is_empty() {
        return Ok((0..available.len()).collect());
    }
    let repeated = |column: &String, listed| DataError::RepeatedColumn {
        path: path.to_owned(),
        column: column.clone(),
        listed,
    };
    let mut chosen = Vec::with_capacity(wanted.len());
    for want in wanted {
        let mut named = (0..available.len()).filter(|&i| available[i] == *want);
        let position = match (named.next(), named.next()) {
            (Some(_), Some(_)) => return Err(repeated(want, false)),
            (Some(position), None) => Some(position),
            (None, _) => want.parse().ok().filter(|&i| i < available.len()),
        };
        let Some(position) = position else {
            return Err(DataError::UnknownColumn {
                path: path.to_owned(),
                wanted: want.clone(),
                nearest: nearest(want, available),
                available: available.to_vec(),
            });
        };
        if chosen.contains(&position) {
            return Err(repeated(want, true));
        }
        chosen.push(position);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_name_wins_over_a_number() {
        let columns = strings(&["1", "0", "x"]);
        let pick = |wanted: &[&str]| choose(Path::new("f"), &columns, &strings(wanted));
        assert_eq!(pick(&["0", "2"]).unwrap(), [1, 2]);
        assert_eq!(pick(&[]).unwrap(), [0, 1, 2]);
        assert!(matches!(pick(&["3"]), Err(DataError::UnknownColumn { .. })));
        assert!(matches!(pick(&["x", "2"]), Err(DataError::RepeatedColumn { listed: true, .. })));
    }

    #[test]
    fn a_shared_name_is_ambiguous_but_its_number_is_not() {
        let columns = strings(&["a", "a"]);
        let pick = |wanted: &str| choose(Path::new("f"), &columns, &strings(&[wanted]));
        assert!(matches!(pick("a"), Err(DataError::RepeatedColumn { listed: false, .. })));
        assert_eq!(pick("1").unwrap(), [1]);
    }
}
