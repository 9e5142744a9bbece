# Lists these commands
default:
    @just --list

# Builds everything, optimised; the program is target/release/snel
build:
    cargo build --locked --release

# Runs all tests
test *args:
    cargo test {{ args }}

# Checks format and lints
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings

# Builds the documentation of the crates: target/doc
doc:
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps

# Everything that CI runs
ci:
    bash .ci/run

# Searches for bytes that break a reader: config csv npy npz parquet idx container partial frames record
fuzz target seconds="60":
    cp Cargo.lock fuzz/Cargo.lock
    cargo run --locked --quiet -p snel-tests --example seeds -- fuzz/corpus
    # The sanitizer's flags need a nightly compiler, or this word to a stable one.
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{ target }} -- \
        -max_total_time={{ seconds }} -malloc_limit_mb=256 -timeout=10

# Checks licences and sources of the dependencies (needs `cargo install cargo-deny`)
deny:
    cargo deny --locked check licenses bans sources

# Times the engine's parts: products, elementwise, sums
bench *args:
    cargo bench --locked -p snel-benches {{ args }}

# Times a step of Snel, PyTorch and JAX in turn (benches/peers/README.md)
peers *args:
    cargo build --locked --release
    python3 benches/peers/run.py {{ args }}

# Draws every kind of picture into the folder
gallery folder="target/gallery":
    cargo run --locked --release -p snel-train --example gallery -- {{ folder }}

# Trains examples/EXAMPLE.toml
train example *args:
    cargo run --locked --release -p snel-cli -- train examples/{{ example }}.toml {{ args }}

# Trains a model by every objective at equal budget: the tables of docs/objectives.md
objectives folder="target/objectives":
    cargo build --locked --release
    benches/objectives.sh {{ folder }}

# Trains a variational auto-encoder with each kind of prior on MNIST: the table of docs/vae.md
priors data folder="target/priors" steps="20000" seeds="1 2 3":
    cargo build --locked --release
    benches/priors.sh {{ data }} {{ folder }} {{ steps }} "{{ seeds }}"

# Trains conditional models on toy regressions by every objective and prints the table of
# docs/regression.md; runs that are in the folder already are only read
regression folder="target/regression":
    cargo run --locked --release -p snel-train --example regression -- {{ folder }}

# Trains regressions on the UCI tables in DATA: the table of docs/regression.md, which names the files
uci data folder="target/uci" *names:
    cargo run --locked --release -p snel-train --example uci -- {{ data }} {{ folder }} {{ names }}

# Kills, freezes and restarts workers and coordinators for a while, and compares bytes
chaos seconds="600":
    SNEL_CHAOS_SECONDS={{ seconds }} cargo test --locked -p snel-cli --test end_to_end chaos -- --nocapture

# Looks for data races and bad memory in the engine's threads (the flags need RUSTC_BOOTSTRAP on a
# stable compiler). Tests with a harness are left out of the first: its threads race by design.
sanitize:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
        cargo test --locked -p snel-cpu --test no_allocation \
        --target x86_64-unknown-linux-gnu --target-dir target/sanitize-thread
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
        cargo test --locked -p snel-cpu --lib --tests \
        --target x86_64-unknown-linux-gnu --target-dir target/sanitize-address

# Looks for bad memory and undefined behaviour in the CUDA kernels, on the emulator (needs g++)
sanitize-kernels:
    cargo test --locked -p snel-cuda --test emulated no_bad_memory -- --ignored --nocapture

# Checks deploy/ with the program that the tests have built: files manifests images rehearsal compose slurm systemd
deploy *parts:
    .ci/deploy {{ parts }}
