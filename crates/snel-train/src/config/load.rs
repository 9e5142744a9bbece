//! From a file and overrides to a checked config with every default written out.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, absolute};

use super::check::Check;
use super::document::Document;
use super::error::ConfigError;
use super::latent::{vae_defaults, vae_rules};
use super::{Base, Config, Kernel, ModelKind, ObjectiveKind, Output, ProposalKind, read};

/// The largest config file, in bytes.
const MOST_BYTES: u64 = 1 << 20;
const MOST_NAME: usize = 100;

impl Config {
    /// Reads, overrides, checks and resolves a config file.
    ///
    /// Each override is `KEY=VALUE`, as in `optim.lr=3e-4`; a value that is not TOML is a string.
    /// Relative data paths of the file become absolute from its folder, those of overrides from
    /// the working directory.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read as text, or what it says is refused.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let shown = path.display().to_string();
        let (mut config, document) = parse_document(&text, &shown, overrides)?;
        let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
        let here = absolute(path).map_err(unreadable)?;
        let folder = here.parent().unwrap_or(Path::new("/"));
        let mut check = Check::new(&document, Vec::new());
        let start = config.model.start.as_mut().map(|path| ("model.start", path));
        for (key, path) in config.data.paths_mut().chain(start) {
            let typed = document.get(key).is_some_and(|entry| entry.node.place.is_override());
            *path = absolute(if typed { path.clone() } else { folder.join(&*path) })
                .map_err(unreadable)?;
            let allowed = "a path whose folders have names in UTF-8";
            check.that(path.to_str().is_some(), key, allowed);
        }
        match check.into_faults() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(ConfigError::Invalid { file: shown, faults }),
        }
    }

    /// Parses, overrides, checks and resolves the text of a config; `file_name` is for messages
    /// and for the default of `name`. Paths stay as they are written.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every fault that was found.
    pub fn parse(text: &str, file_name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        parse_document(text, file_name, overrides).map(|(config, _)| config)
    }
}

fn parse_document(
    text: &str,
    file: &str,
    overrides: &[String],
) -> Result<(Config, Document), ConfigError> {
    let invalid = |faults| ConfigError::Invalid { file: file.to_owned(), faults };
    let (document, mut faults) =
        Document::parse(text, file, overrides).map_err(|fault| invalid(vec![*fault]))?;
    let Some(mut config) = read::read(&document, &mut faults) else {
        faults.sort_by_key(super::Fault::order);
        return Err(invalid(faults));
    };
    if document.get("name").is_none() {
        config.name = name_from(file);
    }
    if config.data.scale.is_some() && document.get("data.standardise").is_none() {
        config.data.standardise = false;
    }
    if config.model.kind == ModelKind::Vae {
        vae_defaults(&mut config, |key| document.get(key).is_some());
    }
    let faults = validate(&config, Check::new(&document, faults));
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    if config.model.kind == ModelKind::Conditional {
        conditional_defaults(&mut config, &document);
    }
    config.resolve();
    Ok((config, document))
}

/// Counts of samples that were not written are those of a row, and smaller.
fn conditional_defaults(config: &mut Config, document: &Document) {
    let Config { train, eval, .. } = config;
    for (key, count, default) in [
        ("train.samples", &mut train.samples, 64),
        ("train.valid_samples", &mut train.valid_samples, 256),
        ("eval.samples", &mut eval.samples, 4096),
    ] {
        if document.get(key).is_none() {
            *count = default;
        }
    }
}

/// Every rule of every group; returns all faults in the order of the text.
fn validate(config: &Config, mut check: Check<'_>) -> Vec<super::Fault> {
    let name = &config.name;
    let letters = name.chars().all(|c| !c.is_control() && !matches!(c, '/' | '\\'));
    let named = !name.is_empty() && name.chars().count() <= MOST_NAME && letters;
    let allowed = format!("1 to {MOST_NAME} characters that can name a folder");
    check.that(named && name != "." && name != "..", "name", &allowed);
    config.data.check(&mut check);
    config.model.check(&mut check);
    check.not_empty("model.start");
    config.proposal.check("proposal", &mut check);
    if check.clean("data") && check.clean("model") && check.clean("proposal") {
        check_kind(config, &mut check);
    }
    config.objective.check(&mut check);
    config.optim.check(config.train.steps, &mut check);
    config.train.check(&mut check);
    if ["model", "proposal", "objective", "train"].iter().all(|group| check.clean(group)) {
        check_objective(config, &mut check);
    }
    config.eval.check(&mut check);
    Output::check(&mut check);
    config.cluster.check(&mut check);
    check.into_faults()
}

/// Rules between the kind of the model and other groups.
fn check_kind(config: &Config, check: &mut Check<'_>) {
    let Config { data, model, proposal, .. } = config;
    data.check_targets(model.kind, check);
    vae_rules(config, check);
    if model.kind != ModelKind::Conditional {
        let allowed = "a kind that does not depend on the row, or model.kind = \"conditional\"";
        check.that(!proposal.is_of_row(), "proposal.kind", allowed);
    }
    let looks = proposal.kind == ProposalKind::Observed;
    let allowed = "\"none\" or a table, as the proposal looks at the observed targets";
    check.that(!(looks && model.base == Base::Proposal), "model.base", allowed);
}

/// Rules between the objective and other groups.
fn check_objective(config: &Config, check: &mut Check<'_>) {
    let Config { model, proposal, objective, train, .. } = config;
    if objective.kind != ObjectiveKind::Mcmc {
        return;
    }
    let allowed = "a kind that weighs samples, as the model is conditional";
    check.that(model.kind != ModelKind::Conditional, "objective.kind", allowed);
    if train.samples > 0 {
        objective.check_chains(train.samples, train.chunk, check);
    }
    let base = match &model.base {
        Base::None => None,
        Base::Proposal => Some(proposal.kind),
        Base::Own(own) => Some(own.kind),
    };
    let ends = base == Some(ProposalKind::Uniform);
    let unadjusted = objective.chains(train.samples).kernel == Kernel::Ula;
    let allowed =
        "\"mala\" or \"hmc\", for the base density ends at a box, which others step out of";
    check.that(!(ends && unadjusted), "objective.kernel", allowed);
}

impl Config {
    /// Writes out the defaults that hang on other keys.
    fn resolve(&mut self) {
        self.data.resolve();
        self.model.resolve();
        self.proposal.resolve();
        self.objective.resolve(self.train.samples);
        self.optim.resolve(self.train.steps);
        self.output.resolve(&self.name);
    }
}

/// The file's name without extension, made fit to name a folder.
fn name_from(file: &str) -> String {
    let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
    let fit = |c: char| if c.is_control() || c == '\\' { '-' } else { c };
    let name: String = stem.chars().map(fit).take(MOST_NAME).collect();
    if name.is_empty() { "run".to_owned() } else { name }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source: io::Error| ConfigError::Read { path: path.to_owned(), source };
    if path.is_dir() {
        let holds_config = path.join("config.toml").is_file();
        return Err(ConfigError::Folder { path: path.to_owned(), holds_config });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit: MOST_BYTES });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        ConfigError::NotUtf8 {
            path: path.to_owned(),
            line: String::from_utf8_lossy(&bytes[..valid]).matches('\n').count() + 1,
            byte: bytes[valid],
        }
    })
}
