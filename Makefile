# The habits of this project. Each target is one obvious command.
.PHONY: demo test tools lint args kernels counts gpu-bundle bench

# The main job, on the small real model in tests/data: needs Rust and nothing else, and runs on the CPU.
demo: export LOWBIT_KERNELS ?= skip
demo:
	cargo build --release --features cli --bin lowbit --example run_layers
	mkdir -p target/demo
	target/release/lowbit compare tests/data/tiny-llama
	target/release/lowbit quantize tests/data/tiny-llama --format nf4 --double-quant -o target/demo/tiny-llama-nf4 --force
	target/release/lowbit quantize tests/data/tiny-llama --format int8 -o target/demo/tiny-llama-int8 --force
	target/release/examples/run_layers tests/data/tiny-llama target/demo/tiny-llama-nf4 target/demo/tiny-llama-int8

# Everything that must be green.
test: tools lint
	cargo test --workspace --all-features --lib --bins --examples --tests
	cargo test --workspace --all-features --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

# nvcc for the kernels and libclang for their argument structs, from PyPI where this machine has none. What cannot be had
# is left out of the build and its tests say so, unless LOWBIT_KERNELS or LOWBIT_ARGS is `require`, as in CI.
tools:
	@scripts/cuda-toolkit || [ "$$LOWBIT_KERNELS" != require ]
	@scripts/libclang || [ "$$LOWBIT_ARGS" != require ]

lint:
	cargo fmt --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy --workspace --all-targets --no-default-features -- -D warnings

# src/cuda/args.rs from cuda/include/args.h.
args:
	scripts/libclang
	LOWBIT_ARGS=require LOWBIT_WRITE_ARGS=src/cuda/args.rs LOWBIT_KERNELS=skip cargo check --lib --features buildtime-bindgen

# target/kernels, a folder for LOWBIT_KERNELS on a machine that has no nvcc.
kernels:
	scripts/cuda-toolkit
	rm -rf target/kernels
	LOWBIT_KERNELS=require LOWBIT_WRITE_KERNELS=target/kernels cargo check --lib

# What each kernel executes and moves, counted by the simulator: no time is derived from it.
counts:
	scripts/cuda-toolkit
	mkdir -p benches/record/simulator
	LOWBIT_KERNELS=require LOWBIT_WRITE_COUNTS=$(CURDIR)/benches/record/simulator/counts.txt \
		cargo test --all-features --test it -- counts::

# target/gpu-bundle, to be copied to a machine with a GPU: `./run.sh RESULTS` there.
gpu-bundle:
	scripts/cuda-toolkit
	scripts/gpu-bundle

# Checks each answer, then times it. Results worth keeping go to benches/record/.
bench:
	cargo bench --bench quantize
	cargo bench --bench multiply
