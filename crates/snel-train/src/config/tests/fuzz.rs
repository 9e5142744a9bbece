//! Damaged configs are refused or taken; they never panic, and what is taken is whole.

use snel_core::philox::philox4x32_10;

use crate::config::{Config, ConfigError};

const SEEDS: &[&str] = &[
    "name = \"power\"\nseed = 7\n\n[data]\npath = \"power.csv\"\ncolumns = [\"a\", 2]\n\
     delimiter = \";\"\nsplit = [0.8, 0.1, 0.1]\n\n[model]\nwidths = [64, 64] # two\n\
     residual = true\n\n[model.base]\nkind = \"student\"\ndf = 3.0\n\n[optim]\nlr = 3e-4\n\
     schedule = \"cosine\"\n\n[train]\nsteps = 1_000\nsamples = 1e6\n",
    "data = { toy = \"rings\", rows = 1000 }\r\nproposal.kind = 'mixture'\r\n\
     \"output\".\"dir\" = \"\"\"\r\nÄrger 🦀\\u00e9\"\"\"\r\neval.samples = 0x10\r\n",
];

/// Random numbers by counter, so that a failure names the round that shows it again.
struct Draws {
    round: u32,
    next: u32,
}

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.next += 1;
        philox4x32_10([11, 0], [self.round, self.next, 0, 0])[0] as usize % bound.max(1)
    }
}

fn damage(bytes: &mut Vec<u8>, draws: &mut Draws) {
    const SPICE: &[&[u8]] = &[
        b"[",
        b"]",
        b"\"",
        b"'",
        b"=",
        b"\n",
        b"\r",
        b"\t",
        b"\\",
        b"#",
        b"{",
        b"}",
        b".",
        b"nan",
        b"-inf",
        b"1e999",
        b"99999999999999999999999999999999999999999999",
        b"\xf0\x9f\xa6\x80",
        b"\0",
        b"\xef\xbb\xbf",
        b"[[a]]\n",
        b"1979-05-27T07:32:00Z",
        b"\"\"\"",
    ];
    let at = draws.below(bytes.len());
    let end = (at + draws.below(20)).min(bytes.len());
    match draws.below(5) {
        0 if at < bytes.len() => bytes[at] ^= 1 << draws.below(8),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let copy = bytes[at..end].to_vec();
            let to = draws.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        3 => bytes.truncate(at),
        _ => {
            let spice = SPICE[draws.below(SPICE.len())];
            bytes.splice(at..at, spice.iter().copied());
        }
    }
}

#[test]
fn damaged_texts_and_overrides_never_panic() {
    let (mut taken, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut draws = Draws { round, next: 0 };
        let mut bytes = SEEDS[draws.below(SEEDS.len())].as_bytes().to_vec();
        let mut set = b"proposal.kind=\"student\"".to_vec();
        for _ in 0..=draws.below(4) {
            damage(&mut bytes, &mut draws);
        }
        if draws.below(2) == 0 {
            damage(&mut set, &mut draws);
        }
        let text = String::from_utf8_lossy(&bytes);
        let overrides = match draws.below(3) {
            0 => vec![String::from_utf8_lossy(&set).into_owned()],
            _ => Vec::new(),
        };
        match Config::parse(&text, "power.toml", &overrides) {
            Ok(config) => {
                taken += 1;
                let again = Config::parse(&config.to_toml(), "power.toml", &[]);
                assert_eq!(again.ok().as_ref(), Some(&config), "round {round}: {text}");
            }
            Err(error) => {
                refused += 1;
                let ConfigError::Invalid { faults, .. } = &error else { panic!("{error}") };
                assert!(!faults.is_empty(), "round {round}");
                let shown = error.to_string();
                let plain = shown.chars().all(|c| c == '\n' || !c.is_control());
                assert!(plain, "round {round}: {shown:?}");
            }
        }
    }
    // Both outcomes were truly visited.
    assert!(taken > 500 && refused > 5_000, "{taken} taken, {refused} refused");
}

#[test]
fn a_text_full_of_faults_is_refused_without_reading_them_all() {
    let keys = (0..50_000).map(|i| format!("a{i} = 1")).collect::<Vec<_>>().join("\n");
    for group in ["", "[data]\n", "[model.base]\n"] {
        let error = Config::parse(&format!("{group}{keys}"), "x.toml", &[]).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("100 or more faults in x.toml\n"), "{shown}");
        assert!(shown.ends_with("\n\nand 80 more"), "{shown}");
    }
    // One unknown group is one fault, however much is in it; the missing data are the other.
    let error = Config::parse(&format!("[other]\n{keys}"), "x.toml", &[]).unwrap_err();
    assert!(error.to_string().starts_with("2 faults in x.toml\n"), "{error}");
}
