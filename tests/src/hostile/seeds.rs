//! Sound files of every format, by our own writers where we have one.

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int64Array};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use prost::Message;
use snel_cluster::record::{Entry, Record};
use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::conditional::{ConditionalModel, ConditionalProposal, MixtureLoss, MixtureNetwork};
use snel_core::density::{Affine, Density, Scale};
use snel_core::energy::Energy;
use snel_core::objective::Objective;
use snel_core::partial::{Partial, Side};
use snel_core::problem::{AnyModel, Base, Model, Parametric};
use snel_core::state::State;
use snel_core::statistics::Tally;
use snel_core::vae::{LatentBase, Likelihood, VaeModel};
use snel_data::{Standardise, write_rows};
use snel_proto::v1;
use snel_train::checkpoint::{Checkpoint, Progress};
use snel_train::config::Config;
use snel_train::model_file::{ModelFile, ModelHeader};
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

pub(super) fn config() -> Vec<Vec<u8>> {
    let example = include_str!("../../../examples/power-plant.toml");
    let resolved = Config::parse(example, "power-plant.toml", &[]).expect("a sound config");
    let toy = "seed = 7\nname = \"toy\"\n[data]\ntoy = \"rings\"\nrows = 1_000\n[model]\n\
               widths = [64, 64] # two\nresidual = true\n[model.base]\nkind = \"student\"\n\
               df = 3.0\n[output]\ndir = \"\"\"\nÄrger\"\"\"\n";
    vec![example.into(), resolved.to_toml().into(), toy.into()]
}

pub(super) fn csv() -> Vec<Vec<u8>> {
    let by_hand = "# note\n\"a \"\"b\"\"\"; c\r\n1;2\r\n\r\n-4e3 ;\"5.5\"\n";
    vec![written("rows.csv"), by_hand.into(), b"1 2  3\n 4 5 6\n".to_vec()]
}

pub(super) fn npy() -> Vec<Vec<u8>> {
    let text = "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3, 1), }\n";
    let header = [b"\x93NUMPY\x01\x00".as_slice(), &[text.len() as u8, 0], text.as_bytes()];
    vec![
        written("rows.npy"),
        [&header.concat(), b"\0\x01\0\x02\0\x03\0\x04\0\x05\0\x06".as_slice()].concat(),
    ]
}

pub(super) fn npz() -> Vec<Vec<u8>> {
    let archive = |method| {
        let options = SimpleFileOptions::default().compression_method(method);
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in ["X.npy", "y.npy"].into_iter().zip(npy()) {
            writer.start_file(name, options).expect("a zip archive");
            writer.write_all(&bytes).expect("a zip archive");
        }
        writer.finish().expect("a zip archive").into_inner()
    };
    vec![archive(CompressionMethod::Stored), archive(CompressionMethod::DEFLATE)]
}

pub(super) fn parquet() -> Vec<Vec<u8>> {
    let columns: [(&str, ArrayRef); 3] = [
        ("float", Arc::new((0..40).map(|i| Some(i as f32 * 0.25)).collect::<Float32Array>())),
        ("int", Arc::new((0..40).map(|i| Some(i % 3)).collect::<Int64Array>())),
        ("flag", Arc::new((0..40).map(|i| Some(i % 2 == 0)).collect::<BooleanArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("a table");
    let table = |compression| {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(25))
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))
            .expect("a Parquet table");
        writer.write(&batch).expect("a Parquet table");
        writer.close().expect("a Parquet table");
        bytes
    };
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let mut seeds: Vec<Vec<u8>> =
        [Compression::SNAPPY, Compression::LZ4_RAW, zstd].into_iter().map(table).collect();
    seeds.push(written("rows.parquet"));
    seeds
}

pub(super) fn idx() -> Vec<Vec<u8>> {
    let bytes = b"\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c";
    let floats = b"\0\0\x0d\x01\0\0\0\x02\x3f\x80\0\0\xc0\x20\0\0";
    vec![bytes.to_vec(), floats.to_vec()]
}

pub(super) fn container() -> Vec<Vec<u8>> {
    let at = |scale| Affine { mean: vec![0.5, -1.0], scale };
    let gaussian = Density::Gaussian { at: at(Scale::Lower(vec![1.0, 0.25, 2.0])) };
    let student = Density::Student { df: 3.0, at: at(Scale::Diagonal(vec![1.0, 2.0])) };
    let mixture =
        Density::Mixture { weights: vec![0.75, 0.25], components: vec![gaussian, student] };
    let uniform = Density::Uniform { low: vec![-1.0, -2.0], high: vec![1.0, 2.0] };
    let energy =
        Energy::Mlp { dim: 2, widths: vec![3, 3], activation: Activation::Silu, residual: true };
    let mlp = Model { energy, base: Base::Density(uniform), proposal: mixture.clone() };
    let quadratic =
        Model { energy: Energy::Quadratic { dim: 2 }, base: Base::Proposal, proposal: mixture };
    let conditional = ConditionalModel {
        inputs: 1,
        targets: 1,
        activation: Activation::Tanh,
        features: vec![3],
        energy: vec![4],
        log_normaliser: vec![],
        base: Base::None,
        proposal: ConditionalProposal::Network(MixtureNetwork {
            widths: vec![2],
            components: 2,
            loss: MixtureLoss::Both,
            pretrain: 3,
            defensive: None,
        }),
    };
    let vae = VaeModel {
        inputs: 2,
        encoder: vec![3],
        decoder: vec![2],
        activation: Activation::Relu,
        likelihood: Likelihood::Gaussian { deviation: None },
        base: LatentBase::Mixture { components: 2 },
        energy: Energy::Quadratic { dim: 1 },
        posterior_samples: 2,
        frozen: true,
    };
    let models: [AnyModel; 4] = [mlp.into(), quadratic.into(), conditional.into(), vae.into()];
    models.into_iter().flat_map(|model| [checkpoint(&model), model_file(model)]).collect()
}

pub(super) fn partial() -> Vec<Vec<u8>> {
    let all = [0, 1, 2, 3, 4, 5, 6, 7];
    [sums(&[2, 5, 1], false), sums(&all, true), sums(&[], false)]
        .iter()
        .map(|partial| {
            let mut bytes = Vec::new();
            partial.write_to(&mut bytes);
            bytes
        })
        .collect()
}

/// Sums of some of eight chunks over three parameters.
pub(super) fn sums(chunks: &[u32], separates_samples: bool) -> Partial {
    let mut partial = Partial::new(3, 30, 8, separates_samples);
    for &chunk in chunks {
        let mut tally = Tally::default();
        tally.add_row(-1.5);
        tally.add_sample(0.5, 0.5f64.exp());
        let mut sums = partial.empty_sums();
        let side = if chunk < 4 { Side::Rows } else { Side::Samples };
        sums.add_chunk(side, &[1.0, -0.25, chunk as f32], &tally);
        partial.add(&ChunkSet::of(chunk..chunk + 1), &sums).expect("a chunk of its own");
    }
    partial
}

pub(super) fn record() -> Vec<Vec<u8>> {
    let opened = |incarnation| Entry::Opened { incarnation };
    let epoch = |epoch| Entry::Epoch { epoch, members: vec!["a".to_owned(), "b".to_owned()] };
    let commit = |step, epoch| Entry::Commit {
        step,
        attempt: 0,
        epoch,
        digest: 7 << (3 * step),
        refused: step == 1,
    };
    let ended = Entry::Ended { outcome: "done".to_owned() };
    let repeated = [
        opened(1),
        epoch(1),
        commit(0, 1),
        commit(1, 1),
        opened(2),
        epoch(2),
        Entry::Rewound { step: 1 },
        commit(1, 2),
        ended,
    ];
    let resumed = [opened(1), Entry::Rewound { step: 7 }, commit(7, 1), commit(8, 1)];
    [&repeated[..], &resumed, &[]]
        .iter()
        .map(|entries| {
            in_scratch("record", |path| {
                let (mut record, _) = Record::open(path).expect("a record");
                entries.iter().for_each(|entry| record.append(entry).expect("a record"));
            })
        })
        .collect()
}

/// A body in one frame, and two in several, one after the other.
pub(super) fn frames() -> Vec<Vec<u8>> {
    let frame = |sequence: u32, last, data: &'static [u8], step| v1::Frame {
        run: "rings".to_owned(),
        round: Some(v1::Round { epoch: 2, step, attempt: 0 }),
        sequence,
        last,
        checksum: crc32c::crc32c(data),
        data: Bytes::from_static(data),
        digest: Bytes::from_static(&[7; 16]),
        kind: v1::ArtifactKind::Checkpoint.into(),
    };
    let one = [frame(0, true, b"alone", 3)];
    let two = [frame(0, false, b"first, ", 4), frame(1, true, b"second", 4)];
    let three = [frame(0, false, b"a", 5), frame(1, false, b"", 5), frame(2, true, b"b", 5)];
    let encode = |frames: &[v1::Frame]| {
        frames.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
    };
    vec![encode(&one), encode(&two), encode(&[&two[..], &three[..]].concat())]
}

fn model_file(model: AnyModel) -> Vec<u8> {
    let parameters = model.initial_parameters(7).into();
    let header = ModelHeader {
        format: ModelHeader::format(),
        columns: vec!["x".to_owned(), "y".to_owned()],
        standardise: Standardise::identity(2),
        objective: Objective::Snl,
        seed: 7,
        step: 100,
        fingerprint: "cpu".to_owned(),
        model,
    };
    let file = ModelFile { header, parameters };
    in_scratch("model.safetensors", |path| file.save(path).expect("a model file"))
}

fn checkpoint(model: &AnyModel) -> Vec<u8> {
    let state = State::new(vec![0.25; model.layout().len()]);
    let progress = Progress { best: Some(-1.5), ..Progress::default() };
    let checkpoint =
        Checkpoint { state, progress, model: model.clone(), fingerprint: "cpu".to_owned() };
    in_scratch("step.safetensors", |path| checkpoint.save(path).expect("a checkpoint"))
}

/// Ten rows of two columns in the format that `name` ends in.
fn written(name: &str) -> Vec<u8> {
    let values: Vec<f64> = (0..20).map(|i| f64::from(i) * 0.37 - 3.0).collect();
    let columns = ["first".to_owned(), "second".to_owned()];
    in_scratch(name, |path| write_rows(path, &columns, &values).expect("a table"))
}

/// The bytes that `write` puts into a file.
fn in_scratch(name: &str, write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("scratch space");
    let path = folder.path().join(name);
    write(&path);
    std::fs::read(path).expect("the file just written")
}
