//! Each rule refuses what lies just outside and takes what lies just inside.

use super::faults;
use crate::config::Problem;

const TOY: &str = "[data]\ntoy = \"gaussian\"\n";

/// `KEY=VALUE` that is the one fault.
const REFUSED: &[&str] = &[
    "name=",
    "name=a/b",
    "name=..",
    "name=7",
    "seed=-1",
    "seed=4294967296",
    "seed=0.5",
    "data.rows=9",
    "data.dim=0",
    "data.split=[0.5, 0.5, 0.1]",
    "data.split=[1.0, 0.0, 0.0]",
    "data.split=[nan, 0.5, 0.5]",
    "data.split=[0.5, 0.5]",
    "data.standardise=1",
    "data.memory_limit_mib=0",
    "data.delimiter=;",
    "data.header=true",
    "data.member=x",
    "data.columns=[0]",
    "data.valid=x.csv",
    "data.train=x.csv",
    "data.path=x.csv",
    "model.depth=0",
    "model.depth=65",
    "model.width=0",
    "model.width=65537",
    "model.widths=[]",
    "model.widths=[8, 0]",
    "model.widths=[8, 65537]",
    "model.activation=swish",
    "model.base=data",
    "model.base.df=3",
    "model.base.scale=0",
    "proposal.scale=0",
    "proposal.scale=inf",
    "proposal.scale=1e-4",
    "proposal.df=3",
    "proposal.components=3",
    "proposal.covariance=full",
    "proposal.margin=0.2",
    "proposal.defensive=1.0",
    "proposal.defensive=-0.1",
    "proposal.fit_rows=1",
    "objective.kind=mle",
    "optim.algorithm=sgd",
    "optim.lr=0",
    "optim.lr=nan",
    "optim.lr=inf",
    "optim.lr=1e400",
    "optim.lr=1001",
    "optim.b_lr=1001",
    "optim.b_lr=-1",
    "optim.weight_decay=-1e-9",
    "optim.beta1=1",
    "optim.beta2=1.0",
    "optim.epsilon=0",
    "optim.clip_norm=0",
    "optim.schedule=linear",
    "optim.warmup=10001",
    "optim.final_lr_ratio=1.5",
    "optim.step_every=5",
    "optim.step_factor=0.5",
    "train.steps=0",
    "train.steps=4294967296",
    "train.steps=1.5",
    "train.steps=many",
    "train.batch=0",
    "train.samples=0",
    "train.chunk=0",
    "train.valid_every=0",
    "train.valid_samples=0",
    "train.checkpoint_every=0",
    "train.keep=0",
    "train.patience=0",
    "train.min_ess=1",
    "eval.samples=0",
    "eval.split=all",
    "output.dir=",
    "output.report=yes",
];

const TAKEN: &[&str] = &[
    "name=7up",
    "seed=4294967295",
    "data.rows=1e6",
    "data.rows=1_000_000",
    "data.dim=1",
    "data.split=[0.6, 0.2, 0.2]",
    "model.depth=64",
    "model.width=65536",
    "model.widths=[8, 16]",
    "model.base=none",
    "model.base={ kind = \"student\", df = 3 }",
    "proposal={ kind = \"mixture\", components = 4, covariance = \"diagonal\" }",
    "proposal={ kind = \"uniform\", margin = 0 }",
    "proposal.defensive=0.999",
    "objective.kind=is-mle",
    "optim.lr=1",
    "optim={ algorithm = \"adam\" }",
    "optim={ schedule = \"step\", step_every = 5, step_factor = 1 }",
    "optim={ schedule = \"cosine\", final_lr_ratio = 1 }",
    "optim.weight_decay=0",
    "optim.warmup=10000",
    "train.steps=4294967295",
    "train.samples=1e8",
    "train.min_ess=0",
    "eval.split=valid",
];

#[test]
fn refused_values_are_one_fault_at_their_key() {
    for assignment in REFUSED {
        let (key, _) = assignment.split_once('=').unwrap();
        let found = faults(TOY, &[assignment]);
        // Of two sources the second is refused, whichever was overridden.
        let key = if matches!(key, "data.path" | "data.train") { "data.toy" } else { key };
        let keys: Vec<&str> = found.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [key], "{assignment}");
    }
}

#[test]
fn values_at_the_edge_are_taken() {
    for assignment in TAKEN {
        assert_eq!(faults(TOY, &[assignment]), [], "{assignment}");
    }
}

#[test]
fn keys_of_another_kind_are_refused() {
    let cases = [
        ("data={ path = \"x.csv\", member = \"a\" }", "data.member"),
        ("data={ path = \"x.npy\", delimiter = \";\" }", "data.delimiter"),
        ("data={ path = \"x.parquet\", header = true }", "data.header"),
        ("proposal={ kind = \"uniform\", scale = 2 }", "proposal.scale"),
        ("proposal={ kind = \"student\", margin = 2 }", "proposal.margin"),
        ("model={ energy = \"quadratic\", width = 8 }", "model.width"),
        ("model={ energy = \"quadratic\", activation = \"relu\" }", "model.activation"),
        ("model={ widths = [8], depth = 1 }", "model.depth"),
        ("model={ widths = [8, 9], residual = true }", "model.widths"),
        ("optim={ algorithm = \"adam\", weight_decay = 0 }", "optim.weight_decay"),
        ("optim={ schedule = \"step\", final_lr_ratio = 0 }", "optim.final_lr_ratio"),
        ("data={ toy = \"rings\", dim = 3 }", "data.dim"),
        ("data={ toy = \"banana\", dim = 3 }", "data.dim"),
        ("train={ samples = 1e12, chunk = 1 }", "train.chunk"),
        ("data={ toy = \"funnel\", dim = 1 }", "data.dim"),
        ("data={ path = \"x.csv\", rows = 100 }", "data.rows"),
        ("data={ path = \"x.csv\", dim = 3 }", "data.dim"),
        ("data={ path = \"x.csv\", test = \"y.csv\" }", "data.test"),
        ("data={ path = \"x.csv\", columns = [] }", "data.columns"),
        ("data={ path = \"x.csv\", columns = [1, 'a', 1] }", "data.columns"),
        ("data={ path = \"x.csv\", columns = [-1] }", "data.columns"),
        ("data={ path = \"x.csv\", delimiter = 'ab' }", "data.delimiter"),
        ("data={ path = \"x.csv\", delimiter = '→' }", "data.delimiter"),
        ("data={ path = '' }", "data.path"),
        ("data={ train = 'a', valid = 'b' }", "data.train"),
        ("data={ train = 'a', valid = 'b', test = 'c', split = [0.8, 0.1, 0.1] }", "data.split"),
        ("data={}", "data"),
    ];
    for (assignment, key) in cases {
        let found = faults(TOY, &[assignment]);
        let keys: Vec<&str> = found.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [key], "{assignment}");
    }
}

#[test]
fn a_fault_in_a_group_keeps_rules_between_its_keys_quiet() {
    // With the kind unread, whether `df` has a use cannot be said.
    let found = faults(TOY, &["proposal.kind=studnet", "proposal.df=3"]);
    assert_eq!(found.len(), 1);
    assert!(
        matches!(&found[0].problem, Problem::Refused { nearest: Some(n), .. } if n == "\"student\"")
    );
}

#[test]
fn overrides_win_over_the_file_and_later_ones_over_earlier() {
    let text = "[data]\ntoy = \"rings\"\n[model.base]\nkind = \"diagonal\"\n[optim]\nlr = 1.0\n";
    let overrides = ["optim.lr=2", "model.base=none", "optim . lr = 3e-1"].map(str::to_owned);
    let config = crate::config::Config::parse(text, "x.toml", &overrides).unwrap();
    assert_eq!(config.optim.lr, 0.3);
    assert_eq!(config.optim.b_lr, Some(1.5));
    assert_eq!(config.model.base, crate::config::Base::None);
}
