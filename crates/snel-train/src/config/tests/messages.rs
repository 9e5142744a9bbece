//! Messages word for word, as a user reads them.

use crate::config::Config;

/// The message and the hint for a text under overrides.
fn message(text: &str, overrides: &[&str]) -> (String, Option<String>) {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let error = Config::parse(text, "power.toml", &overrides).unwrap_err();
    (error.to_string(), error.hint().map(Into::into))
}

#[test]
fn an_unknown_key_shows_the_nearest_and_the_keys_of_its_group() {
    let text = "[data]\ntoy = \"rings\"\n\n[model]\nhidden_size = 128\n";
    let expected = "\
unknown key `model.hidden_size` in power.toml, line 5
  5 | hidden_size = 128
    | ^^^^^^^^^^^ did you mean `width`?
keys of [model]: activation, base, components, decoder, depth, deviation, encoder, energy, features, \
freeze, kind, latent, likelihood, log_normaliser, prior, residual, start, width, widths";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn an_unknown_key_that_resembles_nothing_lists_the_keys() {
    let text = "data.toy = \"rings\"\nobjective.colour = 3\n";
    let expected = "\
unknown key `objective.colour` in power.toml, line 2
  2 | objective.colour = 3
    |           ^^^^^^
keys of [objective]: adapt, buffer, kernel, kind, leapfrog, noise, posterior_step_size, posterior_steps, reinit, start, step_size, steps";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn a_key_in_the_wrong_group_is_told_where_it_belongs() {
    let text = "[data]\ntoy = \"rings\"\n[train]\nlr = 0.1\n";
    let expected = "\
unknown key `train.lr` in power.toml, line 4
  4 | lr = 0.1
    | ^^ did you mean `optim.lr`?
keys of [train]: batch, checkpoint_every, chunk, keep, min_ess, patience, posterior_samples, \
samples, steps, valid_every, valid_samples";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn an_unknown_group_is_reported_once_with_the_nearest() {
    let text = "[data]\ntoy = \"rings\"\n[modle]\nwidth = 3\ndepth = 4\n";
    let expected = "\
unknown group `modle` in power.toml, line 3
  3 | [modle]
    |  ^^^^^ did you mean `model`?
groups: cluster, data, eval, model, objective, optim, output, proposal, train";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn a_wrong_type_shows_what_was_found_and_what_is_allowed() {
    let text = "[data]\ntoy = \"rings\"\n[train]\nsteps = \"many\" # all\n";
    let expected = "\
`train.steps` is \"many\" in power.toml, line 4
  4 | steps = \"many\" # all
    |         ^^^^^^ allowed: a whole number, not negative";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn a_mistyped_choice_shows_the_nearest_and_all() {
    let text = "[data]\ntoy = \"ring\"\n";
    let expected = "\
`data.toy` is \"ring\" in power.toml, line 2
  2 | toy = \"ring\"
    |       ^^^^^^ did you mean \"rings\"?
allowed: \"rings\", \"pinwheel\", \"checkerboard\", \"two_moons\", \"funnel\", \"gaussian\", \
\"gaussian_mixture\", \"banana\", \"sine_lognormal\", \"patchwork\"";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn a_value_out_of_range_from_an_override_shows_the_override() {
    let text = "[data]\ntoy = \"rings\"\n[optim]\nlr = 0.1\n";
    let expected = "\
`optim.lr` is -1 in `--set`
  --set | optim.lr=-1
        |          ^^ allowed: a number above 0, at most 1000";
    assert_eq!(message(text, &["optim.lr=-1"]), (expected.to_owned(), None));
}

#[test]
fn a_key_without_use_names_its_cause_and_a_way_out() {
    let text = "[data]\ntoy = \"rings\"\n[proposal]\nkind = \"gaussian\"\ndf = 4.0\n";
    let expected = "\
`proposal.df` has no use beside `proposal.kind = \"gaussian\"` in power.toml, line 5
  5 | df = 4.0
    | ^^ allowed with kind = \"student\"";
    let hint = "remove `proposal.df`, or change `proposal.kind`".to_owned();
    assert_eq!(message(text, &[]), (expected.to_owned(), Some(hint)));
}

#[test]
fn a_key_made_useless_by_an_override_is_hinted_to_replace_the_group() {
    let text = "[data]\ntoy = \"rings\"\n[proposal]\nkind = \"student\"\ndf = 4.0\n";
    let expected = "\
`proposal.df` has no use beside `proposal.kind = \"gaussian\"` in power.toml, line 5
  5 | df = 4.0
    | ^^ allowed with kind = \"student\"";
    let hint = "replace the whole group: --set 'proposal={ kind = \"gaussian\" }'".to_owned();
    let (message, hinted) = message(text, &["proposal.kind=gaussian"]);
    assert_eq!((message, hinted), (expected.to_owned(), Some(hint)));
    // The hint does what it says.
    let replaced = ["proposal={ kind = \"gaussian\" }".to_owned()];
    assert!(Config::parse(text, "power.toml", &replaced).is_ok());
}

#[test]
fn a_syntax_error_points_at_its_place() {
    let text = "[data]\ntoy = rings\n";
    let expected = "\
syntax error in power.toml, line 2
  2 | toy = rings
    |       ^^^^^ string values must be quoted, expected literal string";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));

    let text = "[data]\ntoy = \"rings\"\n[train\n\n\n";
    let expected = "\
syntax error in power.toml, line 3
  3 | [train
    |       ^ unclosed table, expected `]`";
    assert_eq!(message(text, &[]), (expected.to_owned(), None));
}

#[test]
fn an_override_without_a_value_says_how_to_write_one() {
    let expected = "\
an override is not KEY=VALUE in `--set`
  --set | optim.lr
        | ^^^^^^^^ a known key, `=`, a value";
    let hint = "write KEY=VALUE, as in --set optim.lr=3e-4".to_owned();
    let found = message("data.toy = \"rings\"\n", &["optim.lr"]);
    assert_eq!(found, (expected.to_owned(), Some(hint)));
}

#[test]
fn missing_data_are_asked_for() {
    let expected = "\
no data are named in power.toml
  one of `path`, `train`, `toy` is needed in [data]";
    assert_eq!(message("", &[]), (expected.to_owned(), None));
}

#[test]
fn several_faults_come_together_in_the_order_of_the_text() {
    let text = "[data]\ntoy = \"rings\"\nsplit = [0.8, 0.1, 0.2]\n[train]\nbatch = 0\nstep = 10\n";
    let expected = "\
4 faults in power.toml and `--set`

`data.split` is [0.8, 0.1, 0.2] in power.toml, line 3
  3 | split = [0.8, 0.1, 0.2]
    |         ^^^^^^^^^^^^^^^ allowed: three numbers above 0 that sum to 1

`train.batch` is 0 in power.toml, line 5
  5 | batch = 0
    |         ^ allowed: a whole number from 1 to 4294967296

unknown key `train.step` in power.toml, line 6
  6 | step = 10
    | ^^^^ did you mean `steps`?
keys of [train]: batch, checkpoint_every, chunk, keep, min_ess, patience, posterior_samples, \
samples, steps, valid_every, valid_samples

`model.base` is 3 in `--set`
  --set | model.base=3
        |            ^ allowed: \"none\", \"proposal\" or a table like [proposal]";
    assert_eq!(message(text, &["model.base=3"]), (expected.to_owned(), None));
}

#[test]
fn of_a_long_line_the_part_around_the_fault_is_shown() {
    let (before, after) = (" ".repeat(300), "#".repeat(300));
    let text = format!("data = {{ toy = \"rings\",{before}rows = 0 }} {after}\n");
    let expected = format!(
        "\
`data.rows` is 0 in power.toml, line 1
  1 | {:33}rows = 0 }} {}
    | {:40}^ allowed: a whole number from 10 to 1000000000",
        "",
        "#".repeat(56),
        ""
    );
    assert_eq!(message(&text, &[]), (expected, None));
}
