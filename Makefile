# The habits of this project. Each target is one obvious command.
.PHONY: demo test lint bench

# The main job, on the small real model in tests/data: needs Rust and nothing else.
demo:
	cargo build --release --features cli --bin lowbit --example run_layers
	mkdir -p target/demo
	target/release/lowbit compare tests/data/tiny-llama
	target/release/lowbit quantize tests/data/tiny-llama --format nf4 --double-quant -o target/demo/tiny-llama-nf4 --force
	target/release/lowbit quantize tests/data/tiny-llama --format int8 -o target/demo/tiny-llama-int8 --force
	target/release/examples/run_layers tests/data/tiny-llama target/demo/tiny-llama-nf4 target/demo/tiny-llama-int8

# Everything that must be green.
test: lint
	cargo test --workspace --all-features --lib --bins --examples --tests
	cargo test --workspace --all-features --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

lint:
	cargo fmt --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy --workspace --no-default-features -- -D warnings

# Checks each answer, then times it. Results worth keeping go to benches/record/.
bench:
	cargo bench --bench quantize
	cargo bench --bench multiply
