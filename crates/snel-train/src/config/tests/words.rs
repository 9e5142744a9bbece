//! The lists that suggestions draw on agree with the structs.

use crate::config::Config;
use crate::config::refusal::keys_of;
use crate::config::suggest::{OTHER_WORDS, groups, is_known, nearest};

#[test]
fn groups_are_the_tables_of_a_serialised_config() {
    let table: toml::Table = Config::default().to_toml().parse().unwrap();
    let tables = table.iter().filter(|(_, value)| value.is_table());
    let mut serialised: Vec<&str> = tables.map(|(name, _)| name.as_str()).collect();
    let mut listed = groups().map(|(name, _)| name).to_vec();
    serialised.sort_unstable();
    listed.sort_unstable();
    assert_eq!(serialised, listed);
}

#[test]
fn groups_list_the_keys_that_are_written() {
    let config = Config::parse("data.toy = 'rings'", "x.toml", &[]).unwrap();
    let table: toml::Table = config.to_toml().parse().unwrap();
    for (group, keys) in groups() {
        assert!(!keys.is_empty(), "[{group}] lost its keys");
        for key in table[group].as_table().unwrap().keys() {
            assert!(keys.contains(&key.as_str()), "{group}.{key} is written but not listed");
        }
    }
    assert_eq!(keys_of::<Config>().len(), groups().len() + 2);
}

#[test]
fn other_words_lead_to_keys_that_exist() {
    for (other, ours) in OTHER_WORDS {
        assert!(is_known(ours), "`{other}` leads to `{ours}`");
        assert!(!is_known(other));
    }
}

#[test]
fn a_slip_is_forgiven_and_another_word_is_not() {
    let known = ["width", "depth", "energy"];
    assert_eq!(nearest("widht", &known), Some("width"));
    assert_eq!(nearest("Width", &known), Some("width"));
    assert_eq!(nearest("colour", &known), None);
    assert_eq!(nearest("", &known), None);
    assert_eq!(nearest("width", &[]), None);
}
