//! Files that cannot be configs, and paths that stay right from anywhere.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use crate::config::{Config, ConfigError};

#[test]
fn data_paths_are_absolute_from_the_file_or_from_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("power.toml");
    fs::write(&path, "[data]\ntrain = 'a.npy'\nvalid = './b/b.npy'\ntest = '/c.npy'\n").unwrap();
    let config = Config::load(&path, &["data.train=typed.npy".to_owned()]).unwrap();
    assert_eq!(config.name, "power");
    assert_eq!(config.run_folder(), Path::new("runs/power"));
    assert_eq!(config.data.train, Some(absolute("typed.npy").unwrap()));
    assert_eq!(config.data.valid, Some(folder.path().join("b/b.npy")));
    assert_eq!(config.data.test, Some(PathBuf::from("/c.npy")));

    let elsewhere = tempfile::tempdir().unwrap();
    let resolved = elsewhere.path().join("config.toml");
    fs::write(&resolved, config.to_toml()).unwrap();
    assert_eq!(Config::load(&resolved, &[]).unwrap(), config);
}

#[test]
fn what_is_no_config_is_refused_by_its_nature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let shown = path.display().to_string();

    let error = Config::load(&path, &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the config {shown}: there is no such file"));
    assert!(error.hint().unwrap().contains("TOML file"));

    let error = Config::load(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, ConfigError::Folder { holds_config: false, .. }));
    fs::write(folder.path().join("config.toml"), "").unwrap();
    let error = Config::load(folder.path(), &[]).unwrap_err();
    assert!(error.hint().unwrap().ends_with("config.toml"));

    fs::write(&path, b"name = 'x'\n\n# caf\xe9\n").unwrap();
    let error = Config::load(&path, &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("{shown} is not UTF-8 text: byte 0xe9 in line 3"));

    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    let error = Config::load(&path, &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("{shown} is no config: it has more than 1048576 bytes"));
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_no_fault() {
    let config = Config::parse("\u{feff}[data]\r\ntoy = 'rings'\r\n", "x.toml", &[]);
    assert!(config.is_ok(), "{}", config.unwrap_err());
}
