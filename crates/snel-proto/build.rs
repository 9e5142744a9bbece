//! Generates the messages and services from `proto/`, without protoc.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let files = ["work", "control", "error"].map(|name| root.join(format!("snel/v1/{name}.proto")));
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(&files, [&root])?;
    // For server reflection: clients such as grpcurl then need no .proto files.
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(out, prost_bytes(&descriptors))?;
    tonic_prost_build::configure()
        // Payloads are shared between messages, not copied.
        .bytes(".snel.v1")
        .compile_fds(descriptors)?;
    Ok(())
}

fn prost_bytes(message: &impl protox::prost_reflect::prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}
