# Everyday commands; `just` alone lists them.

default:
    @just --list --unsorted

# Build the optimised binary
build:
    cargo build --release

# All tests, as the README runs them
test:
    cargo test

# Format check and lints, warnings denied
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Documentation of every crate
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# What continuous integration runs
ci:
    .ci/run

# Train an example, as in `just train power-plant`
train EXAMPLE *ARGS:
    cargo run --release -- train examples/{{EXAMPLE}}.toml {{ARGS}}

# Every kind of picture and a report, from made-up numbers
gallery DIR:
    cargo run -p snel-train --example gallery -- {{DIR}}

# Licences, duplicate crates and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny check licenses bans sources
