//! What someone may have meant by a word that is not known.

use super::fault::Problem;
use super::refusal::keys_of;
use super::{Cluster, Config, Data, Eval, Model, Objective, Optim, Output, Proposal, Train};

/// Words of other programs for our keys.
pub(super) const OTHER_WORDS: &[(&str, &str)] = &[
    ("batch_size", "train.batch"),
    ("betas", "optim.beta1"),
    ("dof", "proposal.df"),
    ("early_stopping", "train.patience"),
    ("eps", "optim.epsilon"),
    ("gradient_clip", "optim.clip_norm"),
    ("grad_clip", "optim.clip_norm"),
    ("hidden_dim", "model.width"),
    ("hidden_dims", "model.widths"),
    ("hidden_layers", "model.depth"),
    ("hidden_size", "model.width"),
    ("hidden_sizes", "model.widths"),
    ("iterations", "train.steps"),
    ("layers", "model.depth"),
    ("learning_rate", "optim.lr"),
    ("loss", "objective.kind"),
    ("lr_schedule", "optim.schedule"),
    ("max_steps", "train.steps"),
    ("n_components", "proposal.components"),
    ("n_samples", "train.samples"),
    ("normalize", "data.standardise"),
    ("num_layers", "model.depth"),
    ("num_samples", "train.samples"),
    ("optimizer", "optim.algorithm"),
    ("random_seed", "seed"),
    ("standardize", "data.standardise"),
    ("wd", "optim.weight_decay"),
];

/// Each group with its keys, as serde knows them.
pub(super) fn groups() -> [(&'static str, &'static [&'static str]); 9] {
    [
        ("data", keys_of::<Data>()),
        ("model", keys_of::<Model>()),
        ("proposal", keys_of::<Proposal>()),
        ("objective", keys_of::<Objective>()),
        ("optim", keys_of::<Optim>()),
        ("train", keys_of::<Train>()),
        ("eval", keys_of::<Eval>()),
        ("output", keys_of::<Output>()),
        ("cluster", keys_of::<Cluster>()),
    ]
}

/// Whether `key` is the name of a group or the whole name of a key.
pub(super) fn is_known(key: &str) -> bool {
    let Some((group, name)) = key.rsplit_once('.') else {
        return keys_of::<Config>().contains(&key);
    };
    // A base density of its own has the keys of a proposal.
    let group = if group == "model.base" { "proposal" } else { group };
    groups().iter().any(|(known, keys)| *known == group && keys.contains(&name))
}

/// The problem with an unknown key or group, with the likeliest known one.
///
/// `key` is the whole dotted key; `known` are the keys beside it.
pub(super) fn unknown(key: &str, is_group: bool, known: &'static [&'static str]) -> Problem {
    let (group, name) = key.rsplit_once('.').unwrap_or(("", key));
    let groups = groups();
    let names = groups.map(|(name, _)| name);
    let beside: Vec<&str> = match (group, is_group) {
        ("", true) => names.to_vec(),
        ("", false) => known.iter().copied().filter(|k| !names.contains(k)).collect(),
        _ => known.to_vec(),
    };
    let elsewhere = || {
        let other = |(group, keys): &(&str, &'static [&'static str])| {
            keys.contains(&name).then(|| format!("{group}.{name}"))
        };
        groups.iter().find_map(other)
    };
    let nearest = nearest(name, &beside)
        .map(str::to_owned)
        .or_else(|| if is_group { None } else { other_word(group, name).or_else(elsewhere) });
    Problem::Unknown { group: group.to_owned(), is_group, nearest, known: sorted(beside) }
}

/// The known word with the fewest slips of the pen to `word`, if they are few for its length.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = word.to_lowercase().replace('-', "_");
    let slips = |known: &str| strsim::damerau_levenshtein(&plain, &known.replace('-', "_"));
    let (fewest, best) = known.iter().map(|k| (slips(k), *k)).min()?;
    let length = plain.chars().count().max(best.len());
    (fewest <= (length / 3).max(1) && fewest < best.len()).then_some(best)
}

/// Our key for another program's word; without its group if that is the group at hand.
fn other_word(group: &str, name: &str) -> Option<String> {
    let plain = name.to_lowercase().replace('-', "_");
    let (_, ours) = OTHER_WORDS.iter().find(|(other, _)| *other == plain)?;
    let short = ours.strip_prefix(group).and_then(|rest| rest.strip_prefix('.'));
    Some(short.unwrap_or(ours).to_owned())
}

fn sorted(mut words: Vec<&'static str>) -> Vec<&'static str> {
    words.sort_unstable();
    words
}
