//! What a record is made of.

use serde::{Deserialize, Serialize};

/// Something that a coordinator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A coordinator started on this record.
    Opened {
        /// Its number, counted from 1; those of later coordinators are higher.
        incarnation: u64,
    },
    /// The members changed.
    Epoch {
        /// Number of the membership.
        epoch: u64,
        /// Names of the workers in it.
        members: Vec<String>,
    },
    /// What the workers of the run have in common; the first of them said so.
    Shape {
        /// Parameters of the model.
        parameters: u64,
        /// Chunks of a step.
        chunks: u32,
        /// 32-bit words that the chunks of a step carry.
        #[serde(default)]
        carried: u64,
        /// Values of the chains in a state.
        #[serde(default)]
        chains: u64,
        /// Digest of model, proposal and settings.
        problem: String,
        /// The engine's numerics fingerprint.
        fingerprint: String,
    },
    /// A step was reduced; its workers were told to apply it, or to leave it out.
    Commit {
        /// The step's number.
        step: u64,
        /// Times that it was repeated with a coarser scale before.
        attempt: u32,
        /// The epoch in which it was done.
        epoch: u64,
        /// Of the step's sums; 32 hexadecimal digits in the file.
        #[serde(with = "hex")]
        digest: u128,
        /// True if it was left out.
        refused: bool,
    },
    /// Steps from here on are repeated from a checkpoint. Of a record without steps: the first
    /// one, if the run began with a checkpoint.
    Rewound {
        /// The next step.
        step: u64,
    },
    /// The workers are at this step: the machine of the coordinator failed before the commits
    /// before it were on its disk.
    Adopted {
        /// The next step.
        step: u64,
    },
    /// The run is over, unless another coordinator takes it up.
    Ended {
        /// How it ended, for people.
        outcome: String,
    },
}

/// A `u128` as 32 digits: JSON's numbers are doubles to most readers.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{digest:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        // One form only: no sign, no capital letters, no zero left out.
        let sound =
            text.len() == 32 && !text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let digest = sound.then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        digest.ok_or_else(|| D::Error::custom("a digest is 32 lower-case hexadecimal digits"))
    }
}
